"""What is asked of the server, and what becomes of its answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from streaming.engine.base import (
    UNKNOWN_TOKEN,
    ChatMessage,
    EngineError,
    Finished,
    FinishReason,
    GenerationRequest,
    SamplingParams,
    Started,
    TextDelta,
)
from tests.support.fake_upstream import Exchange, FakeUpstream, words
from tests.unit.engine.gathered import Gathered, ask
from tests.unit.upstream.conftest import KEY

Start = Callable[..., Gathered]


def request(
    *messages: tuple[Any, str],
    prior: int = 0,
    prior_text: str = "",
    trims: bool = True,
    **params: Any,
) -> GenerationRequest:
    values = {"max_tokens": 24, "seed": 7, **params}
    return GenerationRequest(
        "r",
        tuple(ChatMessage(role, text) for role, text in messages),
        SamplingParams(**values),
        (UNKNOWN_TOKEN,) * prior,
        prior_text,
        trims=trims,
    )


def test_the_words_come_one_by_one(start: Start, upstream: FakeUpstream) -> None:
    upstream.acts.append(words("Par", "is", ".", completion=3))
    gathered = start()
    done = gathered.ask("r", "Capital of France?")
    assert done == Finished("r", FinishReason.STOP, prompt_tokens=11, completion_tokens=3)
    assert gathered.of("r")[:-1] == [
        Started("r", 0),
        *(TextDelta("r", text, (UNKNOWN_TOKEN,)) for text in ("Par", "is", ".")),
    ]
    assert gathered.engine.stats().generated_tokens == 3
    assert gathered.engine.stats().running == 0


def test_everything_is_asked_for(start: Start, upstream: FakeUpstream) -> None:
    gathered = start()
    gathered.engine.submit(
        request(
            ("system", "Be brief."),
            ("user", "Hi"),
            max_tokens=5,
            seed=2**62 + 5,
            temperature=0.5,
            top_p=0.8,
            top_k=0,
            repetition_penalty=1.2,
            stop=("\n", "END"),
            ignore_eos=True,
        )
    )
    gathered.wait("r")
    (exchange,) = upstream.exchanges
    assert exchange.headers["authorization"] == f"Bearer {KEY}"
    assert exchange.body == {
        "model": "fake/model",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Hi"},
        ],
        "stream": True,
        "stream_options": {"include_usage": True, "continuous_usage_stats": True},
        "max_tokens": 5,
        "seed": 5,
        "temperature": 0.5,
        "top_p": 0.8,
        "top_k": -1,
        "repetition_penalty": 1.2,
        "stop": ["\n", "END"],
        "ignore_eos": True,
    }


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        ("stop", FinishReason.STOP),
        ("eos_token", FinishReason.STOP),
        ("length", FinishReason.LENGTH),
    ],
)
def test_ends(start: Start, upstream: FakeUpstream, reason: str, expected: FinishReason) -> None:
    upstream.acts.append(words("a", reason=reason))
    assert start().ask("r", "x").reason is expected


@pytest.mark.parametrize("reason", ["content_filter", "tool_calls"])
def test_ends_that_are_none(start: Start, upstream: FakeUpstream, reason: str) -> None:
    upstream.acts.append(words("a", reason=reason))
    gathered = start()
    done = gathered.ask("r", "x")
    assert (done.reason, done.error_code) == (FinishReason.ERROR, reason)
    assert gathered.text("r") == "a"
    assert len(upstream.exchanges) == 1


def test_counts_are_the_servers(start: Start, upstream: FakeUpstream) -> None:
    """Several tokens may come in one piece."""

    async def count(exchange: Exchange) -> None:
        await exchange.begin()
        await exchange.say("two tokens", usage={"prompt_tokens": 9, "completion_tokens": 2})
        await exchange.say(" and three", usage={"prompt_tokens": 9, "completion_tokens": 5})
        await exchange.end()

    upstream.acts.append(count)
    gathered = start()
    done = gathered.ask("r", "x")
    assert (done.prompt_tokens, done.completion_tokens) == (9, 5)
    deltas = [event for event in gathered.of("r") if isinstance(event, TextDelta)]
    assert [len(delta.tokens) for delta in deltas] == [2, 3]


def test_odd_events_count_for_nothing(start: Start, upstream: FakeUpstream) -> None:
    async def be_odd(exchange: Exchange) -> None:
        await exchange.begin()
        await exchange.raw(b": a comment\n\nevent: ping\ndata:\n\n")
        for odd in ({}, {"choices": None}, {"choices": ["x"]}, {"choices": [{"delta": None}]}):
            await exchange.chunk(odd)
        await exchange.chunk({"choices": [{"delta": {"content": 7}}], "usage": [1]})
        await exchange.chunk({"choices": [{"delta": {"content": [{"text": "par"}, 3]}}]})
        await exchange.say("t \ud83d", usage={"completion_tokens": "many"})
        await exchange.raw('data: {"choices":[{"delta":{"content":"日本"}}]}\r\n\r\n'.encode())
        await exchange.end()

    upstream.acts.append(be_odd)
    gathered = start()
    assert gathered.ask("r", "x").reason is FinishReason.STOP
    assert gathered.text("r") == "part \ufffd日本"


def test_nonsense_counts_are_not_believed(start: Start, upstream: FakeUpstream) -> None:
    async def boast(exchange: Exchange) -> None:
        await exchange.begin()
        await exchange.say("a", usage={"prompt_tokens": 10**12, "completion_tokens": 10**12})
        await exchange.say("b", usage={"prompt_tokens": -1, "completion_tokens": -5})
        await exchange.end()

    upstream.acts.append(boast)
    gathered = start()
    assert gathered.ask("r", "x") == Finished("r", FinishReason.STOP, 0, 2)


def test_a_server_that_does_not_stop_is_left(start: Start, upstream: FakeUpstream) -> None:
    async def go_on(exchange: Exchange) -> None:
        await exchange.begin()
        while True:
            await exchange.say("word ")

    upstream.acts.append(go_on)
    gathered = start()
    assert gathered.ask("r", "x", max_tokens=2).reason is FinishReason.LENGTH
    assert gathered.text("r") == "word " * 17
    assert upstream.exchange(0).left.wait(30)


def test_a_character_may_be_torn_between_packets(start: Start, upstream: FakeUpstream) -> None:
    async def tear(exchange: Exchange) -> None:
        await exchange.begin()
        for byte in 'data: {"choices":[{"delta":{"content":"é日"}}]}\n\n'.encode():
            await exchange.raw(bytes([byte]))
        await exchange.end()

    upstream.acts.append(tear)
    gathered = start()
    gathered.ask("r", "x")
    assert gathered.text("r") == "é日"


def test_lone_surrogates_are_sent_as_replacements(start: Start, upstream: FakeUpstream) -> None:
    start().ask("r", "a\ud83d", stop=("\udc00",))
    assert upstream.bodies[0]["messages"][0]["content"] == "a\ufffd"
    assert upstream.bodies[0]["stop"] == ["\ufffd"]


def test_cancel_closes_the_connection(start: Start, upstream: FakeUpstream) -> None:
    async def go_on_for_ever(exchange: Exchange) -> None:
        await exchange.begin()
        await exchange.say("one ", "two ")
        await exchange.go_on.wait()

    upstream.acts.append(go_on_for_ever)
    gathered = start()
    gathered.engine.submit(ask("r", "x"))
    gathered.wait("r", TextDelta)
    gathered.engine.cancel("unknown")
    gathered.engine.cancel("r")
    done = gathered.wait("r")
    assert isinstance(done, Finished)
    assert done.reason is FinishReason.CANCELLED
    assert upstream.exchange(0).left.wait(30)
    assert gathered.engine.stats().running == 0


def test_cancel_at_once(start: Start, upstream: FakeUpstream) -> None:
    gathered = start()
    gathered.engine.submit(ask("r", "x"))
    gathered.engine.cancel("r")
    done = gathered.wait("r")
    assert isinstance(done, Finished)
    assert done.reason is FinishReason.CANCELLED
    gathered.engine.close()
    assert gathered.of("r").count(done) == 1


def test_close_ends_what_runs(start: Start, upstream: FakeUpstream) -> None:
    async def wait(exchange: Exchange) -> None:
        await exchange.begin()
        await exchange.go_on.wait()

    upstream.acts.extend([wait, wait])
    gathered = start()
    for name in ("r", "s"):
        gathered.engine.submit(ask(name, "x"))
        gathered.wait(name, Started)
    gathered.engine.close()
    for name in ("r", "s"):
        done = gathered.wait(name)
        assert isinstance(done, Finished)
        assert done.reason is FinishReason.CANCELLED
    assert not gathered.engine.stats().alive
    with pytest.raises(EngineError):
        gathered.engine.submit(ask("t", "x"))
    gathered.engine.close()


def test_many_at_once(start: Start, upstream: FakeUpstream) -> None:
    gathered = start(max_running=150)
    for number in range(150):
        gathered.engine.submit(ask(f"r{number}", f"x{number}"))
    for number in range(150):
        gathered.wait(f"r{number}")
        assert gathered.text(f"r{number}") == "Hello there."
    assert len(upstream.exchanges) == 150


def test_an_id_runs_once(start: Start, upstream: FakeUpstream) -> None:
    async def wait(exchange: Exchange) -> None:
        await exchange.begin()
        await exchange.go_on.wait()

    upstream.acts.append(wait)
    gathered = start()
    gathered.engine.submit(ask("r", "x"))
    with pytest.raises(EngineError) as duplicate:
        gathered.engine.submit(ask("r", "x"))
    assert duplicate.value.code == "duplicate"


def test_no_message(start: Start) -> None:
    gathered = start()
    gathered.engine.submit(request())
    done = gathered.wait("r")
    assert isinstance(done, Finished)
    assert done.error_code == "invalid_messages"


# --- going on ---


def test_after_a_lost_worker_it_goes_on(start: Start, upstream: FakeUpstream) -> None:
    upstream.acts.append(words(" upon", " a time", completion=4))
    gathered = start()
    gathered.engine.submit(request(("user", "Tell"), prior=3, prior_text="Once", max_tokens=10))
    done = gathered.wait("r")
    body = upstream.bodies[0]
    assert body["messages"][-1] == {"role": "assistant", "content": "Once"}
    assert (body["continue_final_message"], body["add_generation_prompt"]) == (True, False)
    assert body["max_tokens"] == 7
    assert gathered.text("r") == " upon a time"
    assert done == Finished("r", FinishReason.STOP, 11, 7)


def test_blanks_at_the_seam_are_said_once(start: Start, upstream: FakeUpstream) -> None:
    upstream.acts.append(words(" ", "\n", " next"))
    gathered = start()
    gathered.engine.submit(request(("user", "x"), prior=2, prior_text="word \n"))
    gathered.wait("r")
    assert upstream.bodies[0]["messages"][-1]["content"] == "word"
    assert gathered.text("r") == " next"


def test_all_tokens_were_said(start: Start, upstream: FakeUpstream) -> None:
    gathered = start()
    gathered.engine.submit(request(("user", "x"), prior=5, prior_text="word", max_tokens=5))
    assert gathered.wait("r") == Finished("r", FinishReason.LENGTH, 0, 5)
    assert not upstream.exchanges


def test_a_cut_answer_is_gone_on_with(start: Start, upstream: FakeUpstream) -> None:
    gathered = start()
    gathered.engine.submit(
        request(("user", "x"), ("assistant", "one two "), prior=1, prior_text="three")
    )
    gathered.wait("r")
    assert upstream.bodies[0]["messages"] == [
        {"role": "user", "content": "x"},
        {"role": "assistant", "content": "one two three"},
    ]


@pytest.mark.parametrize(("owner", "flags"), [("llamacpp", True), ("library", False),
                                              ("sglang", True)])  # fmt: skip
def test_each_server_in_its_words(
    start: Start, upstream: FakeUpstream, owner: str, flags: bool
) -> None:
    upstream.models = {"data": [{"id": "m", "owned_by": owner}]}
    gathered = start()
    gathered.engine.submit(request(("user", "x"), prior=1, prior_text="y", repetition_penalty=1.1))
    gathered.wait("r")
    body = upstream.bodies[0]
    assert body["messages"][-1]["role"] == "assistant"
    assert ("continue_final_message" in body) is flags
    assert ("repeat_penalty" in body) is (owner == "llamacpp")


@pytest.mark.parametrize(("owner", "continues"), [("somebody", None), ("vllm", False)])
def test_a_server_that_cannot_go_on_begins_anew(
    start: Start, upstream: FakeUpstream, owner: str, continues: bool | None
) -> None:
    upstream.models = {"data": [{"id": "m", "owned_by": owner}]}
    upstream.acts.append(words("New", completion=1))
    gathered = start(continues=continues)
    gathered.engine.submit(request(("user", "x"), prior=5, prior_text="Old", max_tokens=5))
    assert gathered.wait("r") == Finished("r", FinishReason.STOP, 11, 1)
    assert gathered.of("r")[0] == Started("r", 0, anew=True)
    assert upstream.bodies[0]["messages"] == [{"role": "user", "content": "x"}]
    assert upstream.bodies[0]["max_tokens"] == 5


def test_a_server_that_cannot_go_on_refuses_a_cut_answer(
    start: Start, upstream: FakeUpstream
) -> None:
    gathered = start(continues=False)
    gathered.engine.submit(request(("user", "x"), ("assistant", "one two")))
    done = gathered.wait("r")
    assert isinstance(done, Finished)
    assert done.error_code == "not_continuable"
    assert not upstream.exchanges
