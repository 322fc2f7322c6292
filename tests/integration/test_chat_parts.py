"""Images and files in a chat completion's messages, and what an answer has besides its text."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from streaming.api.answers import ChatCompletion, ErrorBody
from streaming.engine.upstream import UpstreamEngine
from streaming.models import Conversation, Message, StoredFile
from tests.integration.http import CHAT, call, chunks_of, complete, open_stream
from tests.support.fake_engine import FakeEngine
from tests.support.fake_upstream import Exchange, FakeUpstream

pytestmark = pytest.mark.django_db(transaction=True)

PIXEL = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAAC0lEQVR4nGNgAAIAAAUAAXpeqz8AAAAASUVORK5CYII="
)
IMAGE = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}}
AT_AN_ADDRESS = {
    "type": "image_url",
    "image_url": {"url": "https://example.org/a.png", "detail": "low"},
}
NOTES = {
    "type": "file",
    "file": {
        "filename": "notes.md",
        "file_data": "data:text/markdown;base64," + base64.b64encode(b"# The plan\n").decode(),
    },
}


@pytest.fixture(autouse=True)
def media(settings: Any, tmp_path: Path) -> None:
    settings.MEDIA_ROOT = tmp_path


@pytest.fixture
def upstream() -> Iterator[FakeUpstream]:
    server = FakeUpstream().start()
    yield server
    server.stop()


def front(upstream: FakeUpstream) -> Any:
    engine: Any = UpstreamEngine(upstream.url, pause_seconds=0.01)
    engine.max_running = 2
    return engine


def showing(*parts: Any) -> dict[str, Any]:
    content = [{"type": "text", "text": "What is this?"}, *parts]
    return {"model": "default", "messages": [{"role": "user", "content": content}]}


async def test_an_image_goes_to_a_model_that_takes_it(
    start_worker: Any, upstream: FakeUpstream
) -> None:
    await start_worker(front(upstream))
    request, answer = await call("POST", CHAT, body=showing(IMAGE, AT_AN_ADDRESS))
    assert request.status == 200, answer
    (sent,) = upstream.bodies
    text, image, address = sent["messages"][0]["content"]
    assert text == {"type": "text", "text": "What is this?"}
    assert image["image_url"]["url"] == IMAGE["image_url"]["url"]  # type: ignore[index]
    assert address["image_url"]["url"] == "https://example.org/a.png"
    row = await Message.objects.aget(role="user")
    assert row.content == "What is this?"
    assert [part["type"] for part in row.parts] == ["input_text", "input_image", "input_image"]
    assert (await StoredFile.objects.aget()).owner == "address:127.0.0.1"


async def test_an_image_is_refused_where_the_model_reads_text(start_worker: Any) -> None:
    await start_worker(FakeEngine())
    for image in (IMAGE, AT_AN_ADDRESS):
        request, answer = await call("POST", CHAT, body=showing(image))
        error = ErrorBody.model_validate(answer).error
        assert (request.status, error.type) == (400, "invalid_request_error")
        assert error.param == "messages.0.content[1]"
        assert "text only" in error.message
    assert not await Conversation.objects.aexists()


async def test_a_file_becomes_text(start_worker: Any) -> None:
    engine = FakeEngine()
    seen: list[Any] = []
    submit = engine.submit
    engine.submit = lambda request: (seen.append(request), submit(request))  # type: ignore
    await start_worker(engine)
    body = {**showing(NOTES), "max_tokens": 1}
    request, answer = await call("POST", CHAT, body=body)
    assert request.status == 200, answer
    (message,) = seen[0].messages
    assert message.content.startswith('What is this?\n\nFile "notes.md":')
    assert "# The plan" in message.content


WRONG: dict[str, tuple[Any, str]] = {
    "an image that is none": (
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,eHg="}},
        "messages.0.content[1]",
    ),
    "another address": (
        {"type": "image_url", "image_url": {"url": "ftp://example.org/a"}},
        "messages.0.content[1]",
    ),
    "no Base64": (
        {"type": "file", "file": {"filename": "a.txt", "file_data": "data:text/plain;base64,%"}},
        "messages.0.content[1]",
    ),
    "somebody's file": (
        {"type": "file", "file": {"file_id": "file_" + "0" * 32}},
        "messages.0.content[1]",
    ),
    "no file": ({"type": "file", "file": {}}, "messages.0.content"),
    "no image": ({"type": "image_url", "image_url": {}}, "messages.0.content"),
    "sound": ({"type": "input_audio", "input_audio": {}}, "messages.0.content"),
}


@pytest.mark.parametrize("name", WRONG)
async def test_a_wrong_part_is_named(layer: Any, name: str) -> None:
    part, param = WRONG[name]
    request, answer = await call("POST", CHAT, body=showing(part))
    error = ErrorBody.model_validate(answer).error
    assert request.status == 400, answer
    assert (error.param or "").startswith(param)
    assert not await Conversation.objects.aexists()


async def test_files_count_among_the_characters(layer: Any, chatstream: Any) -> None:
    chatstream(max_conversation_chars=1000)
    data = base64.b64encode(b"word " * 400).decode()
    part = {"type": "file", "file": {"filename": "long.txt", "file_data": data}}
    request, answer = await call("POST", CHAT, body=showing(part))
    assert (request.status, answer["error"]["code"]) == (400, "context_length_exceeded")


# --- what an answer has besides ---


async def test_a_fingerprint_names_the_model_and_its_build(start_worker: Any) -> None:
    await start_worker(FakeEngine())
    whole = ChatCompletion.model_validate(await complete("stop 1"))
    again = await complete("stop 1")
    chunks = chunks_of(await (await open_stream("stop 1")).rest())
    words = {whole.system_fingerprint, again["system_fingerprint"]}
    words |= {chunk["system_fingerprint"] for chunk in chunks}
    (word,) = words
    assert word is not None
    assert word.startswith("fp_")


async def test_of_another_server_nobody_knows(start_worker: Any, upstream: FakeUpstream) -> None:
    note = {"type": "url_citation", "url_citation": {"url": "https://example.org"}}

    async def act(exchange: Exchange) -> None:
        await exchange.begin()
        await exchange.say("Hi", service_tier="flex")
        await exchange.chunk({"choices": [{"delta": {"annotations": [note]}}]})
        await exchange.chunk({"choices": [{"delta": {}, "finish_reason": "stop"}],
                              "service_tier": "flex"})  # fmt: skip
        await exchange.data("[DONE]")
        await exchange.close()

    upstream.acts.extend([act, act])
    await start_worker(front(upstream))
    whole = await complete("Hello")
    ChatCompletion.model_validate(whole)
    assert (whole["system_fingerprint"], whole["service_tier"]) == (None, "flex")
    assert whole["choices"][0]["message"]["annotations"] == [note]
    chunks = chunks_of(await (await open_stream("Hello")).rest())
    said = [chunk["choices"][0]["delta"].get("annotations") for chunk in chunks]
    assert [each for each in said if each] == [[note]]
    assert chunks[-1]["service_tier"] == "flex"


async def test_what_says_nothing_of_the_answer_is_taken(start_worker: Any) -> None:
    await start_worker(FakeEngine())
    fields = {
        "store": False, "metadata": {"a": "b"}, "service_tier": "priority", "user": "me",
        "prompt_cache_key": "k", "safety_identifier": "s", "max_completion_tokens": 3,
        "prediction": None, "verbosity": "low",
    }  # fmt: skip
    answer = await complete("go", **fields)
    assert answer["usage"]["completion_tokens"] == 3
