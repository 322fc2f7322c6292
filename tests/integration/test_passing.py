"""Tools and other parameters that only a model's server understands: passed on to it, what it says
comes back, and the record has it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest

from streaming.api import served
from streaming.api.answers import ChatCompletion, ChatCompletionChunk
from streaming.engine.passed import whole_of
from streaming.engine.upstream import UpstreamEngine
from streaming.models import Message, Response, Status
from streaming.worker.queue_worker import QueueWorker
from tests.integration.conftest import eventually
from tests.integration.http import CHAT, asking, call, chunks_of, open_stream, text_of
from tests.support.fake_engine import FakeEngine
from tests.support.fake_upstream import Act, Exchange, FakeUpstream

pytestmark = pytest.mark.django_db(transaction=True)

PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}}
TOOL = {"type": "function", "function": {"name": "weather", "parameters": PARAMETERS}}
CALL = {
    "id": "call_1",
    "type": "function",
    "function": {"name": "weather", "arguments": '{"city": "Paris"}'},
}
PARTS: list[dict[str, Any]] = [
    {"index": 0, "id": "call_1", "type": "function", "function": {"name": "weather",
                                                                  "arguments": ""}},
    {"index": 0, "function": {"arguments": '{"city":'}},
    {"index": 0, "function": {"arguments": ' "Paris"}'}},
]  # fmt: skip

StartFront = Callable[[], Awaitable[QueueWorker]]


@pytest.fixture
def upstream() -> Iterator[FakeUpstream]:
    server = FakeUpstream().start()
    yield server
    server.stop()


@pytest.fixture
def front(start_worker: Any, upstream: FakeUpstream) -> StartFront:
    """Start a worker before the server."""

    async def start() -> QueueWorker:
        engine: Any = UpstreamEngine(upstream.url, pause_seconds=0.01)
        engine.max_running = 4
        worker: QueueWorker = await start_worker(engine)
        return worker

    return start


def deltas(*said: dict[str, Any], reason: str = "tool_calls", **usage: Any) -> Act:
    """An answer of these deltas."""

    async def act(exchange: Exchange) -> None:
        await exchange.begin()
        for delta in said:
            await exchange.chunk({"choices": [{"index": 0, "delta": delta}]})
        await exchange.chunk({"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]})
        counts = {"prompt_tokens": 20, "completion_tokens": 9, **usage}
        await exchange.chunk({"choices": [], "usage": counts})
        await exchange.data("[DONE]")
        await exchange.close()

    return act


def calls_a_tool(**usage: Any) -> Act:
    return deltas(*({"tool_calls": [part]} for part in PARTS), **usage)


def whole(chunks: list[dict[str, Any]]) -> dict[str, Any]:
    """What a client makes of a stream, besides the text."""
    choices = [chunk["choices"][0] for chunk in chunks if chunk["choices"]]
    passed = whole_of(
        {
            **{name: value for name, value in choice["delta"].items() if name != "content"},
            **({"logprobs": choice["logprobs"]} if choice["logprobs"] else {}),
        }
        for choice in choices
    )
    thought = "".join(choice["delta"].get("reasoning_content") or "" for choice in choices)
    return {**passed, **({"reasoning_content": thought} if thought else {})}


async def test_all_of_it_is_passed_on(front: StartFront, upstream: FakeUpstream) -> None:
    await front()
    asked = {
        "tools": [TOOL],
        "tool_choice": "auto",
        "parallel_tool_calls": False,
        "response_format": {"type": "json_object"},
        "logprobs": True,
        "top_logprobs": 2,
        "presence_penalty": 0.5,
        "frequency_penalty": -1,
        "logit_bias": {"50256": -100},
    }
    messages = [
        {"role": "user", "content": "What is the weather?"},
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "call_1", "content": "sunny"},
    ]
    body = {"model": "default", "messages": messages, **asked}
    request, answer = await call("POST", CHAT, body=body)
    assert request.status == 200, answer
    (sent,) = upstream.bodies
    assert {name: sent[name] for name in asked} == asked
    assert sent["messages"] == messages
    assert [row.role async for row in Message.objects.order_by("created_at")] == [
        "user", "assistant", "tool", "assistant"]  # fmt: skip


async def test_a_pattern_may_name_what_may_not_be_sent(
    front: StartFront, upstream: FakeUpstream
) -> None:
    """The six characters, not the one that they stand for."""
    await front()
    tool = {**TOOL, "pattern": r"^[^\u0000-\u001f]*$", "other": "\\\\u0000"}
    request, answer = await call("POST", CHAT, body=asking("x", tools=[tool]))
    assert request.status == 200, answer
    assert upstream.bodies[0]["tools"] == [tool]


async def test_only_what_was_asked_for(front: StartFront, upstream: FakeUpstream) -> None:
    """Else our defaults would stand in the place of the model's own."""
    await front()
    await call("POST", CHAT, body=asking("hello"))
    await call("POST", CHAT, body=asking("hello", temperature=0.3, top_p=0.9))
    plain, asked = upstream.bodies
    ours = {"model", "messages", "stream", "stream_options", "max_tokens", "seed"}
    assert set(plain) == ours
    assert set(asked) == {*ours, "temperature", "top_p"}


async def test_a_call_comes_back(front: StartFront, upstream: FakeUpstream) -> None:
    await front()
    details = {"prompt_tokens_details": {"cached_tokens": 16}}
    upstream.acts.append(calls_a_tool(**details))
    _, answer = await call("POST", CHAT, body=asking("Weather?", tools=[TOOL]))
    ChatCompletion.model_validate(answer)
    (choice,) = answer["choices"]
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"] == {
        "role": "assistant",
        "content": None,
        "refusal": None,
        "tool_calls": [CALL],
    }
    assert answer["usage"] == {
        "prompt_tokens": 20,
        "completion_tokens": 9,
        "total_tokens": 29,
        **details,
    }
    row = await Response.objects.aget()
    assert (row.status, row.finish_reason, row.text) == (Status.COMPLETED, "tool_calls", "")
    assert row.passed["tool_calls"] == [{"index": 0, **CALL}]
    turn = await Message.objects.aget(pk=row.message_id)
    assert (turn.content, turn.fields) == ("", {"tool_calls": [CALL]})


async def test_a_call_comes_back_in_pieces(front: StartFront, upstream: FakeUpstream) -> None:
    await front()
    upstream.acts.append(calls_a_tool(completion_tokens_details={"reasoning_tokens": 3}))
    options = {"stream_options": {"include_usage": True}}
    stream = await open_stream("Weather?", tools=[TOOL], **options)
    chunks = chunks_of(await stream.rest())
    for chunk in chunks:
        ChatCompletionChunk.model_validate(chunk)
    assert whole(chunks)["tool_calls"] == [{"index": 0, **CALL}]
    reasons = [chunk["choices"][0]["finish_reason"] for chunk in chunks if chunk["choices"]]
    assert [reason for reason in reasons if reason] == ["tool_calls"]
    assert chunks[-1]["usage"]["completion_tokens_details"] == {"reasoning_tokens": 3}


@pytest.mark.parametrize("streamed", [False, True])
async def test_thoughts_and_probabilities_come_back(
    front: StartFront, upstream: FakeUpstream, streamed: bool
) -> None:
    token = {"token": "4", "logprob": -0.1, "bytes": [52], "top_logprobs": []}

    async def think(exchange: Exchange) -> None:
        await exchange.begin()
        for thought in (
            {"reasoning_content": "Hm"},
            {"reasoning": "m\ud83d"},
            {"reasoning": "\ude00"},
        ):
            await exchange.chunk({"choices": [{"delta": thought}]})
        choice = {"delta": {"content": "4"}, "logprobs": {"content": [token]}}
        await exchange.chunk({"choices": [choice]})
        await exchange.end()

    await front()
    upstream.acts.append(think)
    if streamed:
        chunks = chunks_of(await (await open_stream("2+2?", logprobs=True)).rest())
        text, found = text_of(chunks), whole(chunks)
    else:
        _, answer = await call("POST", CHAT, body=asking("2+2?", logprobs=True))
        (choice,) = answer["choices"]
        text = choice["message"]["content"]
        found = {**choice["message"], "logprobs": choice["logprobs"]}
    assert text == "4"
    assert found["reasoning_content"] == "Hmm😀"
    assert found["logprobs"] == {"content": [token]}
    row = await Response.objects.aget()
    assert (row.text, row.reasoning, row.passed) == ("4", "Hmm😀", None)


@pytest.mark.parametrize("streamed", [False, True])
async def test_probabilities_of_a_refusal_come_back(
    front: StartFront, upstream: FakeUpstream, streamed: bool
) -> None:
    token = {"token": "No.", "logprob": -0.1, "bytes": None, "top_logprobs": []}

    async def refuse(exchange: Exchange) -> None:
        await exchange.begin()
        choice = {"delta": {"refusal": "No."}, "logprobs": {"refusal": [token]}}
        await exchange.chunk({"choices": [choice]})
        await exchange.end()

    await front()
    upstream.acts.append(refuse)
    if streamed:
        found = whole(chunks_of(await (await open_stream("2+2?", logprobs=True)).rest()))
    else:
        _, answer = await call("POST", CHAT, body=asking("2+2?", logprobs=True))
        (choice,) = answer["choices"]
        found = {**choice["message"], "logprobs": choice["logprobs"]}
    assert (found["refusal"], found["logprobs"]) == ("No.", {"refusal": [token]})
    assert (await Response.objects.aget()).passed == {"refusal": "No."}


async def test_a_break_within_a_call_garbles_nothing(
    front: StartFront, upstream: FakeUpstream
) -> None:
    async def half(exchange: Exchange) -> None:
        await exchange.begin()
        await exchange.say("Let me see.")
        await exchange.chunk({"choices": [{"delta": {"tool_calls": PARTS[:1]}}]})
        await exchange.chunk({"choices": [{"delta": {"tool_calls": PARTS[1:2]}}]})
        exchange.cut()

    await front()
    upstream.acts.extend([half, calls_a_tool()])
    _, answer = await call("POST", CHAT, body=asking("Weather?", tools=[TOOL]))
    message = answer["choices"][0]["message"]
    assert (message["content"], message["tool_calls"]) == (None, [CALL])
    assert upstream.bodies[1]["messages"][-1]["role"] == "user"


async def test_an_answer_that_is_thought_anew_goes_on_over_a_stream(
    front: StartFront, upstream: FakeUpstream
) -> None:
    is_read = asyncio.Event()

    async def half(exchange: Exchange) -> None:
        await exchange.begin()
        await exchange.chunk({"choices": [{"delta": {"reasoning_content": "Hm"}}]})
        await is_read.wait()
        exchange.cut()

    again = deltas({"reasoning_content": "So"}, {"content": "4"}, reason="stop")
    upstream.acts.extend([half, again])
    await front()
    stream = await open_stream("2+2?")
    begun = await stream.until("Hm")
    is_read.set()
    chunks = chunks_of(begun + await stream.rest())
    assert "error" not in chunks[-1]
    said = [choice["delta"] for chunk in chunks for choice in chunk["choices"]]
    assert "".join(delta.get("reasoning_content") or "" for delta in said) == "Hm\n\nSo"
    assert "".join(delta.get("content") or "" for delta in said) == "4"


@pytest.mark.parametrize("same", [True, False])
async def test_a_worker_that_is_lost_within_a_call_garbles_nothing(
    front: StartFront, upstream: FakeUpstream, same: bool
) -> None:
    """The next one begins anew. A stream goes on if the call is the same, and else says so."""

    async def half(exchange: Exchange) -> None:
        await exchange.begin()
        for part in PARTS[:2]:
            await exchange.chunk({"choices": [{"delta": {"tool_calls": [part]}}]})
        await exchange.go_on.wait()

    other = [{**PARTS[0], "id": "call_2"}, *PARTS[1:]]
    again = calls_a_tool() if same else deltas(*({"tool_calls": [part]} for part in other))
    upstream.acts.extend([half, again])
    worker = await front()
    stream = await open_stream("Weather?", tools=[TOOL])
    begun = await stream.until('\\"city\\":')
    await worker.stop()
    await front()
    chunks = chunks_of(begun + await stream.rest())
    if same:
        assert whole(chunks)["tool_calls"] == [{"index": 0, **CALL}]
    else:
        assert chunks[-1]["error"]["code"] == "answer_restarted"

    async def ended() -> bool:
        return await Response.objects.filter(status=Status.COMPLETED).aexists()

    await eventually(ended)
    row = await Response.objects.aget()
    (made,) = row.passed["tool_calls"]
    assert made["function"] == CALL["function"]
    assert made["id"] == ("call_1" if same else "call_2")


async def test_a_call_that_is_cancelled_is_kept(
    front: StartFront, upstream: FakeUpstream, client: Any
) -> None:
    async def half(exchange: Exchange) -> None:
        await exchange.begin()
        await exchange.chunk({"choices": [{"delta": {"tool_calls": PARTS[:1]}}]})
        await exchange.go_on.wait()

    upstream.acts.append(half)
    await front()
    stream = await open_stream("Weather?", tools=[TOOL])
    await stream.until("call_1")
    await stream.leave()

    async def cancelled() -> bool:
        return await Response.objects.filter(status=Status.CANCELLED).aexists()

    await eventually(cancelled)
    row = await Response.objects.aget()
    assert row.passed["tool_calls"][0]["id"] == "call_1"


async def test_a_tool_that_nobody_gave_is_an_error(
    front: StartFront, upstream: FakeUpstream
) -> None:
    await front()
    upstream.acts.append(calls_a_tool())
    request, answer = await call("POST", CHAT, body=asking("Weather?"))
    assert (request.status, answer["error"]["code"]) == (500, "tool_calls")


async def test_a_page_gets_all_of_it(
    front: StartFront, upstream: FakeUpstream, client: Any
) -> None:
    """But no call of a tool, which nobody there has offered."""
    await front()
    said = {"reasoning_content": "Hm"}, {"content": "4"}, {"refusal": "No more."}
    upstream.acts.append(deltas(*said, reason="stop"))
    upstream.acts.append(calls_a_tool())
    chat = await client()
    await chat.ask("2+2?")
    done = await chat.end()
    items = done["response"]["output"]
    thought, message, refusal = items
    assert (done["text"], done["reasoning"]) == ("4", "Hm")
    assert (thought["type"], message["content"][0]["type"]) == ("reasoning", "output_text")
    assert refusal["content"][0]["refusal"] == "No more."
    await chat.ask("And the weather?")
    done = await chat.end()
    assert (done["status"], done["error"]["code"]) == ("failed", "tool_calls")
    assert done["response"]["output"] == []


async def test_what_a_server_refuses_is_named(front: StartFront, upstream: FakeUpstream) -> None:
    async def refuse(exchange: Exchange) -> None:
        await exchange.refuse(400, {"error": {"message": "tools need --jinja"}})

    upstream.acts.extend([refuse] * 5)
    await front()
    request, answer = await call("POST", CHAT, body=asking("x", tools=[TOOL], logprobs=True))
    assert request.status == 400
    assert answer["error"]["code"] == "invalid_params"
    assert "with tools." in answer["error"]["message"]
    assert "jinja" not in answer["error"]["message"]


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "several answers": ({"n": 2}, "n"),
    "a tool without a type": ({"tools": [{"function": {}}]}, "tools.0"),
    "too many tools": ({"tools": [TOOL] * 129}, "tools"),
    "large tools": ({"tools": [{**TOOL, "x": "y" * 300_000}]}, "tools"),
    "U+0000": ({"tools": [{**TOOL, "x": "\x00"}]}, "tools"),
    "U+0000 behind a backslash": ({"tools": [{**TOOL, "x": "\\\x00"}]}, "tools"),
    "a choice of nothing": ({"tool_choice": "required"}, "tool_choice"),
    "a choice that is none": ({"tool_choice": "perhaps", "tools": [TOOL]}, "tool_choice"),
    "many probabilities": ({"logprobs": True, "top_logprobs": 21}, "top_logprobs"),
    "a large penalty": ({"presence_penalty": 2.5}, "presence_penalty"),
    "a bias that is none": ({"logit_bias": {"1": "x"}}, "logit_bias.1"),
    "a form without a type": ({"response_format": {}}, "response_format"),
}


@pytest.mark.parametrize("name", REFUSED)
async def test_what_is_passed_on_is_checked(
    front: StartFront, upstream: FakeUpstream, name: str
) -> None:
    fields, param = REFUSED[name]
    await front()
    request, answer = await call("POST", CHAT, body=asking("x", **fields))
    assert request.status == 400, answer
    assert answer["error"]["param"].startswith(param)
    assert len(answer["error"]["message"]) < 500
    assert not upstream.exchanges


@pytest.mark.parametrize(
    ("messages", "param"),
    [
        ([{"role": "tool", "content": "sunny"}], "messages.1.tool_call_id"),
        ([{"role": "assistant", "content": None}], "messages.1.content"),
        ([{"role": "assistant", "content": None, "tool_calls": [CALL]}], "messages"),
        ([{"role": "assistant", "content": "", "tool_calls": [{"id": 5}]}], "messages.1"),
    ],
)
async def test_messages_of_tools_are_checked(
    front: StartFront, messages: list[dict[str, Any]], param: str
) -> None:
    await front()
    body = asking("x")
    body["messages"] += messages
    request, answer = await call("POST", CHAT, body=body)
    assert request.status == 400, answer
    assert answer["error"]["param"].startswith(param)


# --- where the model runs here ---


async def test_tools_that_are_not_to_be_used_pass(start_worker: Any) -> None:
    """The first message of many programs."""
    await start_worker(FakeEngine())
    request, answer = await call(
        "POST", CHAT, body=asking("hello", tools=[TOOL], tool_choice="none")
    )
    assert request.status == 200, answer
    assert answer["choices"][0]["message"]["content"]


@pytest.mark.parametrize("choice", [None, "auto", "required", {"type": "function"}])
async def test_tools_that_may_be_used_are_refused(start_worker: Any, choice: Any) -> None:
    await start_worker(FakeEngine())
    fields = {"tool_choice": choice} if choice else {}
    request, answer = await call("POST", CHAT, body=asking("x", tools=[TOOL], **fields))
    assert request.status == 400
    assert (answer["error"]["param"], answer["error"]["code"]) == (
        "tools",
        "unsupported_parameter",
    )


async def test_a_history_of_calls_is_refused(start_worker: Any) -> None:
    await start_worker(FakeEngine())
    body = asking("x")
    body["messages"] += [
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
        {"role": "user", "content": "Well?"},
    ]
    request, answer = await call("POST", CHAT, body=body)
    assert (request.status, answer["error"]["param"]) == (400, "messages.1.tool_calls")
    json.dumps(answer)


async def test_without_a_worker_the_settings_say_what_is_behind(
    layer: Any, chatstream: Any
) -> None:
    assert not await served.is_upstream(layer)
    chatstream(upstream_url="http://127.0.0.1:1/v1")
    assert await served.is_upstream(layer)
