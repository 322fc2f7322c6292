"""The OpenAI-compatible API in one process: answers, streams, the queue, errors, leaving."""

from __future__ import annotations

import asyncio
import itertools
import json
from typing import Any

import pytest

from streaming.api import completions, sse
from streaming.api.answers import ChatCompletion, ChatCompletionChunk, ErrorBody
from streaming.api.errors import ApiError
from streaming.api.sent_text import SentText, SentThought
from streaming.delivery import subscription
from streaming.lifecycle import accepting, ending
from streaming.models import Conversation, Message, Response, Status
from tests.integration.conftest import eventually
from tests.integration.http import (
    CHAT,
    HttpRequest,
    asking,
    call,
    chunks_of,
    complete,
    open_chat,
    open_stream,
    text_of,
)
from tests.support.fake_engine import FakeEngine, words
from tests.support.passing_time import outlast

pytestmark = pytest.mark.django_db(transaction=True)


async def open_rows() -> int:
    return await Response.objects.exclude(
        status__in=[Status.CANCELLED, Status.COMPLETED, Status.FAILED, Status.INCOMPLETE]
    ).acount()


async def leave_all(*requests: HttpRequest) -> None:
    for request in requests:
        await request.leave()

    async def gone() -> bool:
        return not await open_rows()

    await eventually(gone)


# --- answers ---


async def test_an_empty_answer_is_an_answer(start_worker: Any) -> None:
    await start_worker(FakeEngine())
    answer = await complete("stop 0")
    choice = answer["choices"][0]
    assert (choice["message"]["content"], choice["finish_reason"]) == ("", "stop")
    assert answer["usage"]["completion_tokens"] == 0
    chunks = chunks_of(await (await open_stream("stop 0")).rest())
    assert (text_of(chunks), chunks[-1]["choices"][0]["finish_reason"]) == ("", "stop")


async def test_a_plain_answer(start_worker: Any) -> None:
    await start_worker(FakeEngine())
    messages = [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": "hello"},
        {"role": "assistant", "content": "Hi."},
        {
            "role": "user",
            "content": [{"type": "text", "text": "stop"}, {"type": "text", "text": ""}],
        },
        {"role": "user", "content": "stop 3"},
    ]
    body = {"model": "fake", "messages": messages, "user": "x", "store": True, "metadata": {"a": 1}}
    request, answer = await call("POST", CHAT, body=body)
    assert request.status == 200
    assert request.headers["cache-control"] == "no-store"
    ChatCompletion.model_validate(answer)
    response = await Response.objects.select_related("prompt", "conversation").aget()
    assert request.headers["x-response-id"] == request.headers["x-request-id"] == str(response.pk)
    assert answer["id"] == f"chatcmpl-{response.pk}"
    assert answer["model"] == "fake"
    choice = answer["choices"][0]
    assert choice["message"] == {"role": "assistant", "content": "w0 w1 w2 ", "refusal": None}
    assert choice["finish_reason"] == "stop"
    assert answer["usage"] == {"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8}
    assert answer["chatstream"]["response_id"] == str(response.pk)
    assert answer["chatstream"]["timings"]["total_ms"] >= 0
    assert response.owner == response.conversation.owner == "address:127.0.0.1"
    assert response.conversation.source == Conversation.Source.API
    chain, turn = [], response.prompt
    while turn is not None:
        chain.append((turn.role, turn.content))
        turn = await Message.objects.filter(pk=turn.parent_id).afirst()
    assert chain[::-1] == [
        ("system", "Be brief."),
        ("user", "hello"),
        ("assistant", "Hi."),
        ("user", "stop\n"),
        ("user", "stop 3"),
    ]


async def test_the_model_sees_the_messages_and_nothing_else(start_worker: Any) -> None:
    engine = FakeEngine()
    seen: list[Any] = []
    submit = engine.submit
    engine.submit = lambda request: (seen.append(request), submit(request))  # type: ignore
    await start_worker(engine)
    await complete("stop 1")
    await complete(
        "stop 1", temperature=0, top_p=0.5, top_k=4, seed=7, stop="x", max_tokens=9, ignore_eos=True
    )
    begun = [{"role": "user", "content": "stop 9"}, {"role": "assistant", "content": "stop 2"}]
    await complete("", messages=begun)
    assert [[(turn.role, turn.content) for turn in request.messages] for request in seen] == [
        [("user", "stop 1")],
        [("user", "stop 1")],
        [("user", "stop 9"), ("assistant", "stop 2")],
    ]
    params = seen[1].params
    assert (params.temperature, params.top_p, params.top_k, params.seed) == (0, 0.5, 4, 7)
    assert (params.stop, params.max_tokens, params.ignore_eos) == (("x",), 9, True)


async def test_an_answer_cut_by_its_limit_says_so(start_worker: Any) -> None:
    await start_worker(FakeEngine())
    answer = await complete("go", max_completion_tokens=4)
    assert answer["choices"][0]["finish_reason"] == "length"
    assert answer["usage"]["completion_tokens"] == 4


async def test_a_stream(start_worker: Any) -> None:
    await start_worker(FakeEngine())
    request = await open_stream("stop 40", stream_options={"include_usage": True})
    assert request.headers["content-type"].startswith("text/event-stream")
    assert request.headers["cache-control"] == "no-store"
    assert request.headers["x-accel-buffering"] == "no"
    stream = await request.rest()
    assert stream.endswith("data: [DONE]\n\n")
    chunks = chunks_of(stream)
    for chunk in chunks:
        ChatCompletionChunk.model_validate(chunk)
    assert chunks[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert text_of(chunks) == "".join(words(40))
    assert [c["choices"][0]["finish_reason"] for c in chunks[:-1]] == [None] * (len(chunks) - 2) + [
        "stop"
    ]
    assert all(chunk["usage"] is None for chunk in chunks[:-1])
    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"]["completion_tokens"] == 40
    assert chunks[-2]["chatstream"]["timings"]["ttft_ms"] is not None
    assert {chunk["id"] for chunk in chunks} == {f"chatcmpl-{request.headers['x-response-id']}"}


async def test_no_usage_unless_asked(start_worker: Any) -> None:
    await start_worker(FakeEngine())
    chunks = chunks_of(await (await open_stream("stop 2")).rest())
    assert all("usage" not in chunk and chunk["choices"] for chunk in chunks)


async def test_a_waiting_stream_tells_its_place(start_worker: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(completions, "KEEP_ALIVE_SECONDS", 0.2)
    await start_worker(FakeEngine(max_running=1))
    running = await open_stream("go", max_tokens=1000)
    await running.until("w0")
    first = await open_stream("go", max_tokens=1000)
    second = await open_stream("stop 2")
    stream = await second.until(": queued position 2 of 2\n\n")
    stream += await second.until(": queued position 2 of 2\n\n")  # kept alive
    await running.leave()
    stream += await second.until(": queued position 1 of 1\n\n")
    await first.leave()
    stream += await second.rest()
    chunks = chunks_of(stream)
    told = [chunk["chatstream"] for chunk in chunks if "chatstream" in chunk]
    places = [place["position"] for place in told if "position" in place]
    assert [place for place, _ in itertools.groupby(places)] == [2, 1]
    assert text_of(chunks) == "w0 w1 "


async def test_a_slow_answer_is_kept_alive(start_worker: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(completions, "KEEP_ALIVE_SECONDS", 0.1)
    await start_worker(FakeEngine(step_seconds=0.5))
    stream = await (await open_stream("stop 2")).rest()
    assert stream.count(": keep-alive\n\n") >= 2


async def test_a_slow_reader_loses_nothing(start_worker: Any, monkeypatch: Any, layer: Any) -> None:
    """The reader's events are bounded; what it was too slow for comes from the log."""
    monkeypatch.setattr(subscription, "_UNREAD_EVENTS", 2)
    await start_worker(FakeEngine(max_running=1))
    stream = HttpRequest("POST", CHAT, body=asking("stop 60", stream=True))
    stream._output_queue = asyncio.Queue(1)  # what is not read is not sent
    await (await stream.send()).start()
    await eventually(lambda: Response.objects.filter(status=Status.COMPLETED).aexists())
    await outlast(1.5, "three polls of the viewer")
    chunks = chunks_of(await stream.rest())
    assert text_of(chunks) == "".join(words(60))
    # Event by event, not the whole text of the last one.
    assert len(chunks) > 10


# --- failures ---


async def test_a_failed_answer_is_an_error(start_worker: Any) -> None:
    await start_worker(FakeEngine())
    request, answer = await call("POST", CHAT, body=asking("fail 2"))
    assert (request.status, answer["error"]["code"]) == (500, "engine_error")
    ErrorBody.model_validate(answer)
    stream = await (await open_stream("fail 2")).rest()
    chunks = chunks_of(stream)
    assert chunks[-1]["error"]["code"] == "engine_error"
    assert text_of(chunks[:-1]) == "w0 w1 "
    assert "[DONE]" not in stream


async def test_an_answer_that_was_cancelled_is_not_tried_again(
    start_worker: Any, layer: Any
) -> None:
    await start_worker(FakeEngine())
    request = await open_chat("go", max_tokens=1000)

    async def running() -> Response | None:
        return await Response.objects.filter(status=Status.IN_PROGRESS).afirst()

    await ending.cancel(layer, str((await eventually(running)).pk))
    await request.start()
    assert request.status == 500
    assert request.headers["x-should-retry"] == "false"
    assert json.loads(await request.rest())["error"]["code"] == "cancelled"


async def test_waiting_too_long_is_unavailable(start_worker: Any, chatstream: Any) -> None:
    chatstream(queue_timeout=0.3)
    await start_worker(FakeEngine(max_running=1, step_seconds=0.05))  # a minute: it is in the way
    running = await open_stream("go", max_tokens=1000)
    request, answer = await call("POST", CHAT, body=asking("stop 1"))
    assert (request.status, answer["error"]["code"]) == (503, "queue_timeout")
    assert 1 <= int(request.headers["retry-after"]) <= 60
    await leave_all(running)


async def test_without_a_worker_it_is_unavailable(layer: Any) -> None:
    for stream in (False, True):
        request, answer = await call("POST", CHAT, body=asking("hello", stream=stream))
        assert (request.status, answer["error"]["code"]) == (503, "unavailable")
        assert int(request.headers["retry-after"]) > 0
    assert not await Conversation.objects.aexists()


async def test_a_database_that_is_away_is_unavailable(
    start_worker: Any, monkeypatch: Any, caplog: Any
) -> None:
    await start_worker(FakeEngine())

    async def away(*args: Any) -> None:
        raise ConnectionError("away")

    monkeypatch.setattr(accepting, "admit", lambda *args, **kwargs: away())
    request, answer = await call("POST", CHAT, body=asking("hello"))
    assert (request.status, answer["error"]["code"]) == (503, "unavailable")

    async def ended() -> bool:
        return not await open_rows()

    await eventually(ended)


# --- the queue ---


@pytest.mark.parametrize("stream", [False, True])
async def test_a_full_queue_is_said_before_anything_else(
    start_worker: Any, chatstream: Any, stream: bool
) -> None:
    chatstream(max_waiting=1)
    await start_worker(FakeEngine(max_running=1))
    await complete("stop 20")  # from here on there is something to forecast by
    kept = [await open_stream("go", max_tokens=1000) for _ in range(2)]
    request, answer = await call("POST", CHAT, body=asking("hello", stream=stream))
    assert request.status == 429
    ErrorBody.model_validate(answer)
    assert answer["error"]["code"] == "rate_limit_exceeded"
    assert answer["error"]["chatstream"] == {"code": "queue_full"}
    assert answer["error"]["type"] == "rate_limit_error"
    assert 1 <= int(request.headers["retry-after"]) <= 60
    assert request.headers["content-type"] == "application/json"
    assert await Conversation.objects.acount() == 3
    await leave_all(*kept)


async def test_the_bounds_of_an_owner_and_an_address(
    start_worker: Any, chatstream: Any, make_key: Any
) -> None:
    chatstream(max_per_owner=1, max_per_address=2)
    await start_worker(FakeEngine(max_running=4))
    keys = [await make_key(name) for name in ("ada", "bob", "eve")]

    async def ask(key: str | None, address: str) -> tuple[int, str]:
        options = {"key": key, "address": address, "body": asking("stop 1")}
        request, answer = await call("POST", CHAT, **options)
        error = answer.get("error", {"code": "", "chatstream": {"code": ""}})
        assert error["code"] == ("rate_limit_exceeded" if request.status == 429 else "")
        return request.status, error["chatstream"]["code"]

    kept = [await open_chat("go", key=keys[0], address="10.0.0.1", stream=True, max_tokens=1000)]
    await kept[0].start()
    assert await ask(keys[0], "10.0.0.9") == (429, "user_limit")  # wherever it comes from
    assert await ask(keys[1], "10.0.0.1") == (200, "")
    kept.append(await open_chat("go", address="10.0.0.1", stream=True, max_tokens=1000))
    await kept[1].start()
    assert await ask(None, "10.0.0.1") == (429, "user_limit")  # nobody with a key is hindered
    assert await ask(keys[2], "10.0.0.1") == (429, "address_limit")
    assert await ask(None, "10.0.0.2") == (200, "")
    await leave_all(*kept)


# --- leaving ---


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("waits", [False, True])
async def test_leaving_cancels(
    start_worker: Any, chatstream: Any, stream: bool, waits: bool
) -> None:
    chatstream(max_waiting=1)
    await start_worker(FakeEngine(max_running=1))
    kept = [await open_stream("go", max_tokens=1000)] if waits else []
    leaver = await open_chat("again", stream=stream, max_tokens=1000)

    async def accepted() -> Response | None:
        status = Status.QUEUED if waits else Status.IN_PROGRESS
        return await Response.objects.filter(prompt__content="again", status=status).afirst()

    response = await eventually(accepted)
    if stream:
        await leaver.start()
    await leaver.leave()

    async def cancelled() -> bool:
        return await Response.objects.filter(pk=response.pk, status=Status.CANCELLED).aexists()

    await eventually(cancelled)
    # Its place is free: the next one is not refused.
    next_one = await open_stream("stop 1")
    await leave_all(*kept, next_one)


@pytest.mark.parametrize("stream", [False, True])
async def test_leaving_at_any_moment_leaves_nothing_open(start_worker: Any, stream: bool) -> None:
    await start_worker(FakeEngine(max_running=2))
    for turns in range(40):
        leaver = await open_chat("go", stream=stream, max_tokens=1000)
        for _ in range(turns * 3):
            await asyncio.sleep(0)
        await asyncio.sleep(turns % 4 * 0.004)
        await leaver.leave()

    async def none_open() -> bool:
        return not subscription._leaving and not await open_rows()

    await eventually(none_open)
    assert not await Response.objects.filter(status=Status.COMPLETED).aexists()


async def test_an_unread_stream_is_cancelled_too(start_worker: Any) -> None:
    """The request ends between its acceptance and the first byte of its answer."""
    await start_worker(FakeEngine())
    request = await open_chat("go", stream=True, max_tokens=1000)
    await eventually(lambda: Response.objects.filter(status=Status.IN_PROGRESS).aexists())
    await leave_all(request)
    assert await Response.objects.filter(status=Status.CANCELLED).acount() == 1


async def test_nothing_is_left_behind(start_worker: Any, layer: Any) -> None:
    await start_worker(FakeEngine())
    await (await open_stream("stop 3")).rest()
    await complete("stop 3")

    async def tidy() -> bool:
        groups = [name for name in layer.groups if name.startswith("response.")]
        return not subscription._leaving and not groups

    await eventually(tidy)


# --- an answer that begins anew ---


def test_what_was_sent_is_not_sent_again() -> None:
    answer = SentText()
    assert answer.add("one two ", 0) == "one two "
    assert answer.add("one ", 0) == ""
    assert answer.add("two three ", 4) == "three "
    assert answer.add("one two three four", 0) == "four"
    assert answer.add("five", 18) == "five"


def test_what_contradicts_is_an_error() -> None:
    answer = SentText()
    answer.add("one two ", 0)
    with pytest.raises(ApiError, match="began anew"):
        answer.add("two", 0)


def test_another_thought_follows_the_first_one() -> None:
    """A server of somebody else's mostly thinks otherwise the second time: the first answer of all
    may be asked for twice."""
    thought = SentThought()
    assert thought.add("one two ", 0) == "one two "
    assert thought.add("one ", 0) == ""
    assert thought.add("three ", 4) == "\n\none three "
    assert thought.add("four", 10) == "four"
    assert thought.add("one three four five", 0) == " five"


def test_no_line_end_of_any_kind_is_in_a_line() -> None:
    text = "".join(map(chr, range(0x3000)))
    data = sse.data({"text": text})
    assert len(data.splitlines()) == 2
    assert json.loads(data.removeprefix("data: ")) == {"text": text}
