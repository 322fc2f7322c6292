"""Half a character: a lone surrogate, as a program makes that cuts a text between UTF-16 units. It
is refused in words at every door, or mended, and hangs nobody."""

from __future__ import annotations

import json
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.test import Client

from streaming.client import ChatClient, ChatError
from streaming.models import Conversation
from streaming.protocol.errors import ProtocolError
from streaming.protocol.parsing import parse_client_event, peek_event_id
from tests.integration.conftest import owner_of
from tests.integration.http import CHAT, call
from tests.support.fake_engine import FakeEngine

pytestmark = pytest.mark.django_db(transaction=True)

HALVES = ["\ud83d", "\ude00", "a\ud83d\ud83d b", "\ude00\ud83d"]
ID = "4c1f7a52-2b7c-4d7e-9a54-0f5f3a0b6c11"


@pytest.mark.parametrize("half", HALVES)
async def test_a_websocket_is_told_which_field(client: Any, start_worker: Any, half: str) -> None:
    await start_worker(FakeEngine())
    chat = await client()
    name = "".join("\ufffd" if "\ud800" <= letter <= "\udfff" else letter for letter in half)
    for fields, param in (
        ({"input": half}, "input"),
        ({"input": "x", "params": {"stop": [half]}}, "params.stop.0"),
        ({"input": "x", half: 1}, name),
    ):
        await chat.send("response.create", event_id="mine", **fields)
        error = await chat.until("error")
        assert (error["code"], error["event_id"]) == ("invalid_event", "mine")
        assert error["param"] == param
        assert "half a character" in error["message"]
    await chat.send("chatstream:update", event_id="edit", response_id=ID, input=half)
    assert (await chat.until("error"))["event_id"] == "edit"
    await chat.send("response.create", event_id=half, input="x")
    error = await chat.until("error")
    assert (error["code"], error["event_id"], error["param"]) == ("invalid_event", None, "event_id")
    await chat.ask("stop 1")  # the socket goes on
    assert (await chat.end())["status"] == "completed"


def test_pairs_are_characters() -> None:
    frame = json.dumps({"type": "response.create", "input": "\U0001f600 \ud83d\ude00"})
    assert parse_client_event(frame).input == "\U0001f600 \U0001f600"  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "frame",
    [
        "[" * 100_000 + '"\\ud83d"',
        '{"a": ' * 50_000 + '"\\ud83d"',
        '{"type": "response.create", "input": "\\ud83d',
        '"\\ud83d"',
        '[{"event_id": "x"}, "\\ud83d"]',
        '{"event_id": 5, "x": {"x": {"x": {"x": {"x": "\\ud83d"}}}}}',
    ],
    ids=["deep list", "deep object", "cut", "a text", "a list", "far inside"],
)
def test_hostile_frames_with_halves_are_refused(frame: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        parse_client_event(frame)
    assert caught.value.code == "invalid_event"
    caught.value.message.encode()
    assert peek_event_id(frame) is None


@pytest.mark.parametrize("half", HALVES)
@pytest.mark.parametrize("where", ["content", "part", "stop", "model", "role", "user"])
async def test_the_api_answers(start_worker: Any, half: str, where: str) -> None:
    await start_worker(FakeEngine())
    content: Any = half if where == "content" else "stop 1"
    if where == "part":
        content = [{"type": "text", "text": half}]
    role = half if where == "role" else "user"
    body: dict[str, Any] = {"model": "default", "messages": [{"role": role, "content": content}]}
    if where in ("stop", "model", "user"):
        body[where] = half
    request, answer = await call("POST", CHAT, body=body)
    assert request.status == 400, answer
    assert answer["error"]["type"] == "invalid_request_error"
    field = answer["error"]["param"]
    assert answer["error"]["message"] == f"`{field}` has half a character in it (a lone surrogate)."


async def test_the_python_client_says_so(layer: Any) -> None:
    with pytest.raises(ChatError, match="half a character") as caught:
        await ChatClient("ws://127.0.0.1:1/").ask("\ud83d")
    assert caught.value.code == "invalid_event"


def test_forms_and_searches_mend_it() -> None:
    browser = Client()
    browser.get("/")
    row = Conversation.objects.create(owner=owner_of(browser), title="old")
    raw = b"title=half%ED%A0%BD"
    kind = "application/x-www-form-urlencoded"
    renamed = browser.post(f"/conversations/{row.pk}/rename/", raw, content_type=kind)
    assert renamed.status_code == 200
    row.refresh_from_db()
    row.title.encode()
    for path in ("/conversations/?q=%ED%A0%BD", "/conversations/?after=%ED%A0%BD"):
        assert browser.get(path).status_code in (200, 400)


def test_the_admin_searches_for_it(admin_client: Client) -> None:
    for model in ("response", "conversation", "message"):
        assert admin_client.get(f"/admin/streaming/{model}/?q=%ED%A0%BD").status_code == 200
    page = admin_client.get("/admin/streaming/response/queue/?q=%ED%A0%BD")
    assert page.status_code == 200


def test_an_argument_that_is_no_text() -> None:
    """What a shell hands on as it is, `$'\\xff'`."""
    out = StringIO()
    with pytest.raises(SystemExit):
        call_command("chat", "\udcff", "--url", "ws://127.0.0.1:1/", stdout=out)
