"""Clients of other versions of the protocol are told so, and have no reason to come back."""

from __future__ import annotations

from typing import Any

import pytest

from streaming.sockets import version_hint
from tests.integration.conftest import ChatClient

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.parametrize(
    ("query", "version"),
    [
        ("?markup=html", "1"),  # as pages of version 1 ask
        ("?version=1", "1"),
        ("?markup=html&version=3", "3"),
        ("?version=" + "9" * 500, "9" * 20),
        ("?version=%00%ff", "\x00\ufffd"),
    ],
)
async def test_another_version_is_refused(layer: Any, query: str, version: str) -> None:
    """With the code after which pages and programs of version 1 stay away."""
    chat = ChatClient(query=query)
    error = await chat.connect()
    assert (error["type"], error["code"]) == ("error", "unsupported_version")
    assert (
        f"speaks version 2 of the protocol, and this client version {version}."
        in (error["message"])
    )
    assert "Reload the page" in error["message"]
    assert await chat.close_code() == 4403
    await chat.leave()


@pytest.mark.parametrize("query", ["", "?version=2", "?markup=html&version=2", "?other=1"])
async def test_this_version_is_greeted(client: Any, layer: Any, query: str) -> None:
    chat = await client(query=query)
    greeting = chat.received[0]
    assert (greeting["type"], greeting["protocol_version"]) == ("chatstream:session", 2)


@pytest.mark.parametrize(
    "type_", ["session.ping", "session.resume", "response.resume", "response.update"]
)
async def test_an_event_of_version_1_ends_the_socket(client: Any, layer: Any, type_: str) -> None:
    """One frame, one error: nobody asks on for what never comes."""
    chat = await client()
    for _ in range(3):
        await chat.send(type_, event_id="create:1", response_id="x")
    error = await chat.until("error")
    assert (error["code"], error["event_id"]) == ("unsupported_version", "create:1")
    assert await chat.close_code() == 4403
    assert len(chat.received) == 2


async def test_a_program_of_version_1_that_waits_in_silence_is_told(
    client: Any, layer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By what it takes for a greeting, with a version that it refuses."""
    monkeypatch.setattr(version_hint, "SECONDS", 0.01)
    chat = await client()
    hint = await chat.next()
    assert (hint["type"], hint["protocol_version"]) == ("session.created", 2)
    assert hint.keys() >= {"model", "limits"}
    assert hint["limits"].keys() == {"max_input_chars", "max_tokens", "context_tokens"}
    await chat.send("chatstream:ping", event_id="1")
    assert (await chat.next())["type"] == "chatstream:pong"


@pytest.mark.parametrize("query", ["", "?version=2"])
async def test_whoever_speaks_or_says_the_version_is_told_nothing(
    client: Any, layer: Any, monkeypatch: pytest.MonkeyPatch, query: str
) -> None:
    monkeypatch.setattr(version_hint, "SECONDS", 0.2)
    chat = await client(query=query)
    if not query:
        await chat.send("chatstream:ping")
        await chat.until("chatstream:pong")
    assert await chat._communicator.receive_nothing(0.5)
