"""A server that refuses, breaks off, is away, or talks nonsense."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from streaming.engine.base import Finished, FinishReason, Started, TextDelta
from streaming.engine.upstream.error_responses import of_status
from tests.support.fake_upstream import Act, Exchange, FakeUpstream, refusal, words
from tests.unit.engine.gathered import Gathered, ask
from tests.unit.upstream.conftest import KEY
from tests.unit.upstream.test_answers import request

Start = Callable[..., Gathered]


def failed(gathered: Gathered, **params: Any) -> str:
    """Ask, and see it fail; the code."""
    done = gathered.ask("r", "What is it?", **params)
    assert done.reason is FinishReason.ERROR
    assert done.error_message
    for secret in (KEY, str(gathered.engine.server._url), "127.0.0.1", "details"):  # type: ignore[attr-defined]
        assert secret not in done.error_message
    return done.error_code


def then(*said: str, end: Callable[[Exchange], Any]) -> Act:
    """Say something, then do something else."""

    async def act(exchange: Exchange) -> None:
        await exchange.begin()
        await exchange.say(*said)
        if (doing := end(exchange)) is not None:
            await doing

    return act


BREAKS: dict[str, Callable[[Exchange], Any]] = {
    "cut": lambda exchange: exchange.cut(),
    "just ended": lambda exchange: exchange.close(),
    "no JSON": lambda exchange: exchange.data("{no json"),
    "no object": lambda exchange: exchange.data("[1, 2]"),
    "nested": lambda exchange: exchange.data("[" * 100_000),
    "an error": lambda exchange: exchange.chunk({"error": {"message": "details"}}),
    "an error's text": lambda exchange: exchange.chunk({"error": "details"}),
    "a huge line": lambda exchange: exchange.raw(b"data: " + b"x" * 1_200_000),
    "aborted": lambda exchange: exchange.end("abort"),
}


@pytest.mark.parametrize("kind", BREAKS)
def test_a_break_is_gone_on_after(start: Start, upstream: FakeUpstream, kind: str) -> None:
    upstream.acts.extend([then("One", " two", end=BREAKS[kind]), words(" three", completion=1)])
    gathered = start()
    done = gathered.ask("r", "Count", max_tokens=9)
    assert (done.reason, done.completion_tokens) == (FinishReason.STOP, 3)
    assert gathered.text("r") == "One two three"
    assert [event for event in gathered.of("r") if isinstance(event, Started)] == [Started("r", 0)]
    assert upstream.bodies[1]["messages"][1] == {"role": "assistant", "content": "One two"}
    assert upstream.bodies[1]["max_tokens"] == 7


@pytest.mark.parametrize("kind", BREAKS)
def test_the_second_break_is_the_end(start: Start, upstream: FakeUpstream, kind: str) -> None:
    upstream.acts.extend(then("w", end=BREAKS[kind]) for _ in range(2))
    gathered = start()
    assert failed(gathered) == "engine_error"
    assert gathered.text("r") == "ww"
    assert len(upstream.exchanges) == 2


def test_a_break_begins_anew_where_nothing_else_goes(start: Start, upstream: FakeUpstream) -> None:
    upstream.acts.extend([then("Old", end=BREAKS["cut"]), words("New", completion=1)])
    gathered = start(continues=False)
    done = gathered.ask("r", "x", max_tokens=9)
    assert done.completion_tokens == 1
    kinds = [(type(event), getattr(event, "anew", None)) for event in gathered.of("r")[:-1]]
    assert kinds == [(Started, False), (TextDelta, None), (Started, True), (TextDelta, None)]
    assert upstream.bodies[1]["max_tokens"] == 9


def test_a_break_before_the_first_word(start: Start, upstream: FakeUpstream) -> None:
    async def cut(exchange: Exchange) -> None:
        exchange.cut()

    upstream.acts.append(cut)
    gathered = start(continues=False)
    gathered.ask("r", "x")
    assert gathered.text("r") == "Hello there."
    assert len([e for e in gathered.of("r") if isinstance(e, Started)]) == 1


def test_a_break_after_the_reason_is_none(start: Start, upstream: FakeUpstream) -> None:
    async def cut(exchange: Exchange) -> None:
        await exchange.begin()
        await exchange.say("all")
        await exchange.chunk({"choices": [{"delta": {}, "finish_reason": "length"}]})
        exchange.cut()

    upstream.acts.append(cut)
    gathered = start()
    assert gathered.ask("r", "x").reason is FinishReason.LENGTH
    assert len(upstream.exchanges) == 1


def test_done_without_a_reason_is_a_stop(start: Start, upstream: FakeUpstream) -> None:
    upstream.acts.append(then("all", end=lambda exchange: exchange.data("[DONE]")))
    assert start().ask("r", "x").reason is FinishReason.STOP


def test_a_500_is_tried_once_more(start: Start, upstream: FakeUpstream) -> None:
    upstream.acts.extend([refusal(500, {"error": "details"})])
    gathered = start()
    assert gathered.ask("r", "x").reason is FinishReason.STOP
    upstream.acts.extend([refusal(500, "<html>details")] * 2)
    done = gathered.ask("s", "x")
    assert (done.error_code, len(upstream.exchanges)) == ("engine_error", 4)


# --- away and busy ---


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_a_busy_server_is_waited_for(start: Start, upstream: FakeUpstream, status: int) -> None:
    upstream.acts.extend([refusal(status, {"error": "details"}, Retry_After="0")] * 7)
    gathered = start()
    assert gathered.ask("r", "x").reason is FinishReason.STOP
    assert len(upstream.exchanges) == 8
    assert gathered.of("r")[0] == Started("r", 0)


def test_it_waits_as_long_as_it_is_told(start: Start, upstream: FakeUpstream) -> None:
    """Longer than its patience: so it need not wait at all."""
    upstream.acts.append(refusal(429, "", Retry_After="50"))
    assert failed(start(patience_seconds=49)) == "upstream_unavailable"
    assert len(upstream.exchanges) == 1


def test_patience_ends(start: Start, upstream: FakeUpstream) -> None:
    upstream.acts.extend([refusal(503)] * 1000)
    assert failed(start(patience_seconds=0.2)) == "upstream_unavailable"


def test_a_server_that_is_away_comes_back(start: Start, upstream: FakeUpstream) -> None:
    """Killed in the middle of an answer, and back only later."""
    upstream.acts.append(then("One", end=lambda exchange: exchange.go_on.wait()))
    gathered = start(pause_seconds=0.1)
    gathered.engine.submit(ask("r", "x"))
    gathered.wait("r", TextDelta)
    upstream.stop()
    wait_until(lambda: gathered.engine.unavailable_reason)
    upstream.acts.append(words(" two"))
    upstream.start()
    gathered.wait("r")
    assert gathered.text("r") == "One two"
    wait_until(lambda: not gathered.engine.unavailable_reason)


def test_cancelled_while_it_waits(start: Start, upstream: FakeUpstream) -> None:
    upstream.acts.append(refusal(429, "", Retry_After="60"))
    gathered = start()
    gathered.engine.submit(ask("r", "x"))
    upstream.exchange(0)
    gathered.engine.cancel("r")
    done = gathered.wait("r")
    assert isinstance(done, Finished)
    assert done.reason is FinishReason.CANCELLED


@pytest.mark.parametrize(
    ("value", "low", "high"),
    [
        ("3", 3, 3),
        ("0.5", 0.5, 0.5),
        ("-4", 0, 0),
        ("86400", 60, 60),
    ],
)
def test_retry_after(value: str, low: float, high: float) -> None:
    found = of_status(429, {"retry-after": value}, b"").retry_after
    assert found is not None
    assert low <= found <= high


@pytest.mark.parametrize(("hours", "seconds"), [(1, 60), (-1, 0)])
def test_retry_after_a_date(hours: int, seconds: float) -> None:
    value = format_datetime(datetime.now(UTC) + timedelta(hours=hours))
    assert of_status(429, {"retry-after": value}, b"").retry_after == seconds


@pytest.mark.parametrize("value", ["", "soon", "nan"])
def test_no_retry_after(value: str) -> None:
    assert of_status(503, {"retry-after": value}, b"").retry_after is None


# --- refusals ---


def test_a_field_that_is_named_is_left_out(start: Start, upstream: FakeUpstream) -> None:
    fault = {"detail": "Unexpected fields in the request: {'top_k'}"}
    options = {"error": {"message": "`continuous_usage_stats` was unexpected"}}
    upstream.acts.extend([refusal(422, fault), refusal(400, options)])
    gathered = start()
    gathered.ask("r", "x")
    gathered.ask("s", "x")
    assert len(upstream.exchanges) == 4
    assert "top_k" not in upstream.bodies[1]
    for body in upstream.bodies[2:]:
        assert "top_k" not in body
        assert body["stream_options"] == {"include_usage": True}
        assert body["seed"] == 7


def test_all_extensions_are_left_out_when_none_is_named(
    start: Start, upstream: FakeUpstream
) -> None:
    upstream.acts.append(refusal(400, "Bad request"))
    gathered = start()
    gathered.ask("r", "x", repetition_penalty=1.5)
    gathered.ask("s", "x")
    for body in upstream.bodies[1:]:
        assert set(body) == {"model", "messages", "stream", "temperature", "top_p", "max_tokens"}
    assert len(upstream.exchanges) == 3


def test_nothing_is_learnt_from_a_request_that_is_wrong_anyway(
    start: Start, upstream: FakeUpstream
) -> None:
    upstream.acts.extend([refusal(400, "details")] * 2)
    gathered = start()
    assert failed(gathered) == "upstream_refused"
    gathered.ask("s", "x")
    assert "top_k" in upstream.bodies[2]


def test_the_newer_name_of_max_tokens(start: Start, upstream: FakeUpstream) -> None:
    said = {"error": {"message": "Unsupported: 'max_tokens'. Use 'max_completion_tokens'."}}
    upstream.acts.append(refusal(400, said))
    start().ask("r", "x", max_tokens=5)
    assert upstream.bodies[1]["max_completion_tokens"] == 5
    assert "max_tokens" not in upstream.bodies[1]


TOO_LONG = [
    (400, {"error": {"message": "details", "code": "context_length_exceeded"}}),
    (400, {"object": "error", "message": "This model's maximum context length is 16 tokens."}),
    (400, {"error": {"code": 400, "message": "details", "type": "exceed_context_size_error"}}),
    (400, {"message": "The input (20 tokens) is longer than the model's context length"}),
    (422, {"error": "`inputs` tokens + `max_new_tokens` must be <= 16. Given: 20"}),
]


@pytest.mark.parametrize(("status", "said"), TOO_LONG)
def test_the_oldest_turns_are_left_out(
    start: Start, upstream: FakeUpstream, status: int, said: Any
) -> None:
    upstream.acts.extend([refusal(status, said)] * 3)
    gathered = start()
    turns = [("user", "u1"), ("assistant", "a1"), ("user", "u2"), ("assistant", "a2")]
    turns += [("user", "u3"), ("assistant", "a3"), ("user", "u4")]
    gathered.engine.submit(request(("system", "s"), *turns, max_tokens=2000))
    done = gathered.wait("r")
    assert isinstance(done, Finished)
    assert done.reason is FinishReason.STOP
    sent = [[message["content"] for message in body["messages"]] for body in upstream.bodies]
    assert [body["max_tokens"] for body in upstream.bodies] == [2000, 1024, 1024, 1024]
    assert sent[1] == sent[0]
    assert sent[2] == ["s", "u3", "a3", "u4"]
    assert sent[3] == ["s", "u4"]
    assert gathered.of("r")[0] == Started("r", 0, trimmed_messages=6)


def test_one_message_that_is_too_long(start: Start, upstream: FakeUpstream) -> None:
    upstream.acts.extend([refusal(*TOO_LONG[0])] * 12)
    assert failed(start(), max_tokens=2000) == "input_too_long"
    assert [body["max_tokens"] for body in upstream.bodies][-3:] == [4, 2, 1]


VLLM = "This model's maximum context length is 4096 tokens. However, you requested 6000 tokens "
SAID_LENGTHS = {
    "openai": "This model's maximum context length is 4096 tokens. However, your messages resulted "
    "in 5000 tokens. Please reduce the length of the messages.",
    "vllm": f"{VLLM}(5000 in the messages, 1000 in the completion).",
    "vllm, newer": "This model's maximum context length is 4096 tokens. However, your request has "
    "5000 input tokens. Please reduce the length of the input messages.",
    "sglang": "The input (5000 tokens) is longer than the model's context length (4096 tokens).",
    "sglang, in all": "Requested token count exceeds the model's maximum context length of 4096 "
    "tokens. You requested a total of 6000 tokens: 5000 tokens from the input messages and 1000 "
    "tokens for the completion.",
    "llama.cpp": "request (5000 tokens) exceeds the available context size (4096 tokens)",
}


@pytest.mark.parametrize("server", SAID_LENGTHS)
def test_nothing_is_left_out_where_that_is_not_allowed(
    start: Start, upstream: FakeUpstream, server: str
) -> None:
    upstream.acts.append(refusal(400, {"error": {"message": SAID_LENGTHS[server]}}))
    gathered = start()
    turns = [("user", "u1"), ("assistant", "a1"), ("user", "u2")]
    gathered.engine.submit(request(*turns, max_tokens=2000, trims=False))
    done = gathered.wait("r")
    assert isinstance(done, Finished)
    assert done.error_code == "context_length_exceeded"
    assert "is 4096 tokens, and the messages take 5000." in done.error_message
    assert len(upstream.bodies) == 1


def test_llama_cpp_tells_the_lengths_in_fields(start: Start, upstream: FakeUpstream) -> None:
    said = {"code": 400, "message": "details", "type": "exceed_context_size_error"}
    said |= {"n_prompt_tokens": 5000, "n_ctx": 4096}
    upstream.acts.append(refusal(400, {"error": said}))
    gathered = start()
    gathered.engine.submit(request(("user", "u1"), trims=False))
    done = gathered.wait("r")
    assert isinstance(done, Finished)
    assert "is 4096 tokens, and the messages take 5000." in done.error_message


def test_an_answer_gets_the_room_that_is_left(start: Start, upstream: FakeUpstream) -> None:
    said = "(4000 in the messages, 2000 in the completion)"
    upstream.acts.append(refusal(400, f"{VLLM}{said}"))
    gathered = start()
    turns = [("user", "u1"), ("assistant", "a1"), ("user", "u2")]
    gathered.engine.submit(request(*turns, max_tokens=2000, trims=False))
    done = gathered.wait("r")
    assert isinstance(done, Finished)
    assert done.reason is FinishReason.STOP
    assert [body["max_tokens"] for body in upstream.bodies] == [2000, 96]
    assert upstream.bodies[0]["messages"] == upstream.bodies[1]["messages"]


def test_without_numbers_less_and_less_room_is_asked_for(
    start: Start, upstream: FakeUpstream
) -> None:
    upstream.acts.extend([refusal(*TOO_LONG[0])] * 7)
    gathered = start()
    gathered.engine.submit(request(("user", "u1"), max_tokens=2000, trims=False))
    done = gathered.wait("r")
    assert isinstance(done, Finished)
    assert done.error_code == "context_length_exceeded"
    assert "details" not in done.error_message
    assert [body["max_tokens"] for body in upstream.bodies] == [2000, 500, 125, 31, 7, 1]


def test_a_full_context_ends_an_answer_that_goes_on(start: Start, upstream: FakeUpstream) -> None:
    upstream.acts.extend([refusal(*TOO_LONG[0])] * 12)
    gathered = start()
    gathered.engine.submit(request(("user", "x"), prior=3, prior_text="Once upon"))
    assert gathered.wait("r") == Finished("r", FinishReason.LENGTH, 0, 3)
    assert upstream.bodies[-1]["max_tokens"] == 1


@pytest.mark.parametrize("turns", [1, 2])
def test_what_can_still_be_added_to_a_long_answer_is(
    start: Start, upstream: FakeUpstream, turns: int
) -> None:
    """Old turns go first; then the room for more shrinks until it is there."""
    upstream.acts.extend([refusal(*TOO_LONG[0])] * (2 + turns))
    gathered = start()
    old = [("user", "u1"), ("assistant", "a1")] * (turns - 1)
    story = [("user", "Tell a story."), ("assistant", "Once upon")]
    gathered.engine.submit(request(*old, *story, max_tokens=2000))
    done = gathered.wait("r")
    assert isinstance(done, Finished)
    assert done.reason is FinishReason.STOP
    rooms = [body["max_tokens"] for body in upstream.bodies]
    assert rooms == [2000, *[1024] * turns, 512, 256]
    assert [m["content"] for m in upstream.bodies[-1]["messages"]] == ["Tell a story.", "Once upon"]


def test_an_answer_to_which_nothing_can_be_added_says_so(
    start: Start, upstream: FakeUpstream
) -> None:
    upstream.acts.extend([refusal(*TOO_LONG[0])] * 12)
    gathered = start()
    gathered.engine.submit(request(("user", "x"), ("assistant", "Once upon"), max_tokens=2000))
    done = gathered.wait("r")
    assert isinstance(done, Finished)
    assert (done.reason, done.error_code) == (FinishReason.ERROR, "context_full")
    assert "ask a new question" in done.error_message


@pytest.mark.parametrize("status", [301, 401, 403, 404, 418])
def test_what_the_operator_has_to_look_at(
    start: Start, upstream: FakeUpstream, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    upstream.acts.append(refusal(status, {"error": {"message": "no such model: details"}}))
    with caplog.at_level(logging.INFO, "streaming"):
        assert failed(start()) == "upstream_refused"
    assert f"HTTP {status}" in caplog.text
    assert KEY not in caplog.text
    assert "What is it?" not in caplog.text


def test_no_stream(start: Start, upstream: FakeUpstream) -> None:
    upstream.acts.append(refusal(200, {"choices": [{"message": {"content": "details"}}]}))
    assert failed(start()) == "upstream_refused"


def test_a_prompt_that_is_repeated_in_an_error_is_not_logged(
    start: Start, upstream: FakeUpstream, caplog: pytest.LogCaptureFixture
) -> None:
    pydantic = {"detail": [{"loc": ["body"], "msg": "wrong", "input": {"content": "What is it?"}}]}
    text = {"message": "[{'loc': ('body',), 'msg': 'wrong', 'input': 'What is it?'}]"}
    gathered = start()
    with caplog.at_level(logging.DEBUG, "streaming"):
        for said in (pydantic, text):
            upstream.acts.extend([refusal(400, said)] * 2)
            gathered.ask(f"r{len(upstream.exchanges)}", "What is it?")
    assert "wrong" in caplog.text
    assert "What is it?" not in caplog.text


def wait_until(condition: Callable[[], Any]) -> None:
    """Look until it is so; the time only keeps a broken engine from hanging the run."""
    import time

    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)
