"""What a server thinks: by whatever name, apart from the text, over breaks, in its own bound."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from streaming.engine.base import (
    Channel,
    ChatMessage,
    Finished,
    FinishReason,
    GenerationRequest,
    SamplingParams,
    Started,
    TextDelta,
    Thinking,
)
from streaming.engine.upstream.relay import THOUGHT_TOKEN
from tests.support.fake_upstream import Act, Exchange, FakeUpstream, refusal
from tests.unit.engine.gathered import Gathered
from tests.unit.upstream.test_answers import request

Start = Callable[..., Gathered]

THOUGHT = Channel.REASONING


def deltas(
    *said: dict[str, Any], reason: str = "stop", usage: Any = None, cut: bool = False
) -> Act:
    """These deltas, and the end, or a break."""

    async def act(exchange: Exchange) -> None:
        await exchange.begin()
        for delta in said:
            await exchange.chunk({"choices": [{"delta": delta}]})
        if cut:
            exchange.cut()
            return
        last = {"choices": [{"delta": {}, "finish_reason": reason}]}
        await exchange.chunk(last if usage is None else {**last, "usage": usage})
        await exchange.data("[DONE]")
        await exchange.close()

    return act


def think(text: str) -> dict[str, Any]:
    return {"reasoning_content": text}


def say(text: str) -> dict[str, Any]:
    return {"content": text}


def run(gathered: Gathered, asked: GenerationRequest) -> Finished:
    gathered.engine.submit(asked)
    done = gathered.wait("r")
    assert isinstance(done, Finished)
    return done


@pytest.mark.parametrize(
    "thoughts",
    [
        [{"reasoning_content": "Hm"}, {"reasoning": "m😀"}],
        [
            {"reasoning_content": "Hm", "reasoning": "Hm"},
            {"reasoning_content": "", "reasoning": "m😀"},
        ],
        [{"reasoning": "Hmm\ud83d"}, {"reasoning": "\ude00"}],
        [{"reasoning_content": [{"text": "Hmm"}, {"text": "😀"}]}, {"reasoning": 7}],
        [{"reasoning": {"text": "x"}}, {"reasoning_content": "Hmm😀", "content": None}],
    ],
)
def test_a_thought_has_two_names(
    start: Start, upstream: FakeUpstream, thoughts: list[dict[str, Any]]
) -> None:
    upstream.acts.append(deltas(*thoughts, say("4")))
    gathered = start()
    done = run(gathered, request(("user", "2+2?")))
    assert (gathered.text("r", THOUGHT), gathered.text("r")) == ("Hmm😀", "4")
    assert done.completion_tokens - done.reasoning_tokens == 1
    assert gathered.engine.info.thinks


def test_a_piece_may_hold_both(start: Start, upstream: FakeUpstream) -> None:
    upstream.acts.append(deltas({"reasoning": "Hm", "content": "4"}, {"content": "2"}))
    gathered = start()
    run(gathered, request(("user", "x")))
    assert [
        (event.channel, event.text, len(event.tokens))
        for event in gathered.of("r")
        if isinstance(event, TextDelta)
    ] == [(THOUGHT, "Hm", 0), (Channel.TEXT, "4", 1), (Channel.TEXT, "2", 1)]


def test_the_server_knows_how_much_was_thought(start: Start, upstream: FakeUpstream) -> None:
    details = {"reasoning_tokens": 5, "x": True}
    usage = {"prompt_tokens": 3, "completion_tokens": 8, "completion_tokens_details": details}
    upstream.acts.append(deltas(think("Hm"), say("4"), usage=usage))
    assert run(start(), request(("user", "x"))) == Finished(
        "r", FinishReason.STOP, 3, 8, reasoning_tokens=5
    )


def test_a_hidden_thought_counts(start: Start, upstream: FakeUpstream) -> None:
    usage = {"completion_tokens": 9, "completion_tokens_details": {"reasoning_tokens": 8}}
    upstream.acts.append(deltas(say("4"), usage=usage))
    gathered = start()
    done = run(gathered, request(("user", "x")))
    assert (done.completion_tokens, done.reasoning_tokens) == (9, 8)
    assert gathered.text("r", THOUGHT) == ""


def test_a_break_in_a_thought_begins_anew(start: Start, upstream: FakeUpstream) -> None:
    upstream.acts += [deltas(think("Hm"), cut=True), deltas(think("So"), say("4"))]
    gathered = start()
    done = run(gathered, request(("user", "x")))
    assert [event.anew for event in gathered.of("r") if isinstance(event, Started)] == [False, True]
    events = gathered.of("r")
    anew = events.index(next(e for e in events if isinstance(e, Started) and e.anew))
    said = [(e.channel, e.text) for e in events[anew:] if isinstance(e, TextDelta)]
    assert said == [(THOUGHT, "So"), (Channel.TEXT, "4")]
    assert upstream.bodies[1]["messages"] == [{"role": "user", "content": "x"}]
    assert (done.completion_tokens, done.reasoning_tokens) == (2, 1)


def test_a_break_in_the_answer_goes_on_after_the_thought(
    start: Start, upstream: FakeUpstream
) -> None:
    upstream.acts += [deltas(think("Hm"), say("Par"), cut=True), deltas(say("is"))]
    gathered = start()
    done = run(gathered, request(("user", "x")))
    assert (gathered.text("r", THOUGHT), gathered.text("r")) == ("Hm", "Paris")
    assert upstream.bodies[1]["messages"][-1] == {"role": "assistant", "content": "Par"}
    assert upstream.bodies[1]["max_tokens"] == 23
    assert (done.completion_tokens, done.reasoning_tokens) == (3, 1)


def test_a_worker_goes_on_with_what_another_one_thought(
    start: Start, upstream: FakeUpstream
) -> None:
    asked = request(("user", "x"), prior_text="Par")
    tokens = (THOUGHT_TOKEN, THOUGHT_TOKEN, -1)
    upstream.acts.append(deltas(say("is")))
    gathered = start()
    done = run(gathered, replace(asked, prior_tokens=tokens, prior_reasoning="Hm"))
    assert gathered.text("r") == "is"
    assert upstream.bodies[0]["max_tokens"] == 23
    assert (done.completion_tokens, done.reasoning_tokens) == (4, 2)


def test_a_thought_that_another_worker_began_begins_anew(
    start: Start, upstream: FakeUpstream
) -> None:
    asked = replace(request(("user", "x")), prior_tokens=(THOUGHT_TOKEN,), prior_reasoning="Hm")
    upstream.acts.append(deltas(think("So"), say("4")))
    gathered = start()
    done = run(gathered, asked)
    assert gathered.of("r")[0] == Started("r", 0, anew=True)
    assert (done.completion_tokens, done.reasoning_tokens) == (2, 1)


def test_a_server_that_thinks_where_it_goes_on_begins_anew(
    start: Start, upstream: FakeUpstream
) -> None:
    """vLLM takes all up to a `</think>` for a thought that some models' templates open."""
    upstream.acts += [
        deltas(think("Hm"), say("Par"), cut=True),
        deltas(think("is")),
        deltas(think("Hm"), say("Paris")),
    ]
    gathered = start()
    done = run(gathered, request(("user", "x")))
    assert done.reason is FinishReason.STOP
    events = gathered.of("r")
    anew = events.index(next(e for e in events if isinstance(e, Started) and e.anew))
    said = [(e.channel, e.text) for e in events[anew:] if isinstance(e, TextDelta)]
    assert said == [(THOUGHT, "Hm"), (Channel.TEXT, "Paris")]
    # From now on it is known.
    upstream.acts.append(deltas(think("Hm"), say("Paris")))
    asked = request(("user", "x"), prior=1, prior_text="Par")
    again = replace(asked, response_id="s", prior_reasoning="Hm")
    gathered.engine.submit(again)
    gathered.wait("s")
    assert gathered.of("s")[0] == Started("s", 0, anew=True)


def test_where_nothing_may_be_voided_that_is_an_error(start: Start, upstream: FakeUpstream) -> None:
    begun = ChatMessage("assistant", "Par", reasoning="Hm")
    upstream.acts.append(deltas(think("is")))
    asked = request(("user", "x"))
    gathered = start()
    done = run(gathered, replace(asked, messages=(*asked.messages, begun)))
    assert (done.reason, done.error_code) == (FinishReason.ERROR, "not_continuable")
    assert (gathered.text("r", THOUGHT), gathered.text("r")) == ("", "")


def test_a_cut_thought_is_followed_by_another_one(start: Start, upstream: FakeUpstream) -> None:
    begun = ChatMessage("assistant", "", reasoning="Hm, I")
    upstream.acts.append(deltas(think("So"), think("!"), say("4")))
    asked = request(("user", "x"))
    gathered = start()
    run(gathered, replace(asked, messages=(*asked.messages, begun)))
    assert (gathered.text("r", THOUGHT), gathered.text("r")) == ("\n\nSo!", "4")
    assert upstream.bodies[0]["messages"] == [{"role": "user", "content": "x"}]


@pytest.mark.parametrize("passed", [None, {}])
def test_thoughts_of_earlier_turns_go_to_the_server_from_its_clients_only(
    start: Start, upstream: FakeUpstream, passed: Any
) -> None:
    asked = request(("user", "a"), ("assistant", "b"), ("user", "c"), passed=passed)
    user, turn, last = asked.messages
    run(start(), replace(asked, messages=(user, replace(turn, reasoning="Hm"), last)))
    thought = {"reasoning_content": "Hm"} if passed is not None else {}
    assert upstream.bodies[0]["messages"][1] == {"role": "assistant", "content": "b", **thought}


BOUND = Thinking(max_tokens=30)


def test_a_server_that_thinks_has_room_for_it(start: Start, upstream: FakeUpstream) -> None:
    """Servers count the thought in `max_tokens`: once it is known that one thinks, it gets more."""
    upstream.acts += [
        deltas(*[think("Hm ")] * 24, reason="length"),
        deltas(*[think("Hm ")] * 24, *[say("a")] * 30, reason="length"),
    ]
    gathered = start()
    done = run(gathered, replace(request(("user", "x")), thinking=BOUND))
    assert [body["max_tokens"] for body in upstream.bodies] == [24, 54]
    assert (done.reason, done.reasoning_tokens) == (FinishReason.LENGTH, 24)
    assert gathered.text("r").count("a") == 24  # the answer has its own bound all the same


def test_an_answer_that_ends_with_its_last_token_is_whole(
    start: Start, upstream: FakeUpstream
) -> None:
    upstream.acts += [deltas(think("Hm"), say("a")), deltas(think("Hm"), *[say("a")] * 24)]
    gathered = start()
    run(gathered, replace(request(("user", "x")), thinking=BOUND))
    asked = replace(request(("user", "x")), response_id="s", thinking=BOUND)
    gathered.engine.submit(asked)
    done = gathered.wait("s")
    assert isinstance(done, Finished)
    assert (done.reason, gathered.text("s")) == (FinishReason.STOP, "a" * 24)


def test_an_endless_thought_ends(start: Start, upstream: FakeUpstream) -> None:
    async def brood(exchange: Exchange) -> None:
        await exchange.begin()
        while True:
            await exchange.chunk({"choices": [{"delta": think("hm" * 500)}]})

    upstream.acts.extend([brood, brood])
    gathered = start()
    asked = replace(request(("user", "x"), max_tokens=5), thinking=BOUND)
    assert run(gathered, asked).reason is FinishReason.LENGTH
    events = gathered.of("r")
    begun = [at for at, event in enumerate(events) if isinstance(event, Started)]
    last = [e.text for e in events[begun[-1] :] if isinstance(e, TextDelta)]
    assert sum(map(len, last)) <= 128 * 35 + 1024


def asked_with(thinking: Thinking) -> GenerationRequest:
    params = SamplingParams(max_tokens=24, seed=7, asked=frozenset())
    return GenerationRequest("r", (ChatMessage("user", "x"),), params, thinking=thinking)


FIELDS = ("reasoning_effort", "chat_template_kwargs")


@pytest.mark.parametrize(
    ("thinking", "sent"),
    [
        (Thinking(), {}),
        (Thinking("low", asked="minimal"), {"reasoning_effort": "minimal"}),
        (
            Thinking("off", {"enable_thinking": False}),
            {"chat_template_kwargs": {"enable_thinking": False}},
        ),
        (Thinking("high"), {"reasoning_effort": "high"}),
        (
            Thinking("off"),
            {"reasoning_effort": "none", "chat_template_kwargs": {"enable_thinking": False}},
        ),
    ],
)
def test_what_is_asked_for_goes_to_the_server(
    start: Start, upstream: FakeUpstream, thinking: Thinking, sent: dict[str, Any]
) -> None:
    run(start(), asked_with(thinking))
    assert {name: upstream.bodies[0][name] for name in FIELDS if name in upstream.bodies[0]} == sent


def test_what_somebody_asked_for_is_not_left_out(start: Start, upstream: FakeUpstream) -> None:
    """But the operator's own way is, where the server does not know such a field."""
    error = {"error": {"message": "Unknown field: reasoning_effort"}}
    upstream.acts += [refusal(400, error)] * 4
    done = run(start(), asked_with(Thinking("low", asked="low")))
    assert (done.error_code, "reasoning_effort" in done.error_message) == ("invalid_params", True)
    upstream.acts.clear()
    upstream.acts.append(refusal(400, error))
    assert run(start(), asked_with(Thinking("low"))).reason is FinishReason.STOP
    assert "reasoning_effort" not in upstream.bodies[-1]


def test_what_is_asked_for_is_said_though_the_operators_way_was_refused(
    start: Start, upstream: FakeUpstream
) -> None:
    error = {"error": {"message": "Unknown field: reasoning_effort"}}
    upstream.acts.append(refusal(400, error))
    gathered = start()
    run(gathered, asked_with(Thinking("low")))
    assert "reasoning_effort" not in upstream.bodies[-1]
    upstream.acts.append(refusal(400, error))
    upstream.acts.append(refusal(400, error))
    gathered.engine.submit(replace(asked_with(Thinking("high", asked="high")), response_id="s"))
    done = gathered.wait("s")
    assert isinstance(done, Finished)
    assert upstream.bodies[2]["reasoning_effort"] == "high"
    assert done.error_code == "invalid_params"


def test_none_is_said_in_the_words_of_templates_too(start: Start, upstream: FakeUpstream) -> None:
    """A server that knows no effort `none` may know the variable; whether it takes it is its own
    matter."""
    gathered = start()
    run(gathered, asked_with(Thinking("off", asked="none")))
    assert {name: upstream.bodies[0][name] for name in FIELDS} == {
        "reasoning_effort": "none",
        "chat_template_kwargs": {"enable_thinking": False},
    }
    error = {"error": {"message": "Unknown field: chat_template_kwargs"}}
    upstream.acts.append(refusal(400, error))
    gathered.engine.submit(replace(asked_with(Thinking("off", asked="none")), response_id="s"))
    gathered.wait("s")
    assert upstream.bodies[-1]["reasoning_effort"] == "none"
    assert "chat_template_kwargs" not in upstream.bodies[-1]


def test_each_connection_counts_its_own_thought(start: Start, upstream: FakeUpstream) -> None:
    def usage(completion: int, reasoning: int) -> dict[str, Any]:
        details = {"reasoning_tokens": reasoning}
        return {"completion_tokens": completion, "completion_tokens_details": details}

    upstream.acts += [
        deltas(think("Hm"), think("!"), say("Par"), cut=True),
        deltas(say("is"), usage=usage(1, 0)),
    ]
    done = run(start(), request(("user", "x")))
    assert (done.completion_tokens, done.reasoning_tokens) == (4, 2)


def test_a_variable_that_says_nothing_of_thoughts_leaves_the_operators_way(
    start: Start, upstream: FakeUpstream
) -> None:
    run(start(), asked_with(Thinking("off", {"date": "today"})))
    assert {name: upstream.bodies[0].get(name) for name in FIELDS} == {
        "reasoning_effort": "none",
        "chat_template_kwargs": {"enable_thinking": False, "date": "today"},
    }
    run(start(), asked_with(Thinking("medium", {"enable_thinking": True})))
    assert "reasoning_effort" not in upstream.bodies[1]


IS_LONG = (
    "This model's maximum context length is 4096 tokens. However, you requested 4572 tokens "
    "(1500 in the messages, 3072 in the completion)."
)


@pytest.mark.parametrize("trims", [True, False])
def test_a_thought_gets_the_room_that_the_prompt_leaves(
    start: Start, upstream: FakeUpstream, trims: bool
) -> None:
    """A quarter of the context would be the answer's alone, and the thought would take it all."""
    gathered = start()
    upstream.acts.append(deltas(think("Hm"), say("a")))
    run(gathered, request(("user", "x")))
    turns = [("user", "a"), ("assistant", "b"), ("user", "c")]
    asked = request(*turns, max_tokens=1024, trims=trims)
    upstream.acts.append(refusal(400, IS_LONG))
    asked = replace(asked, response_id="s", thinking=Thinking(max_tokens=2048))
    gathered.engine.submit(asked)
    gathered.wait("s")
    assert [body["max_tokens"] for body in upstream.bodies[1:]] == [3072, 2596]
    assert len(upstream.bodies[-1]["messages"]) == 3


def test_nothing_that_was_refused_is_asked_for_again(start: Start, upstream: FakeUpstream) -> None:
    """The bound of a thought is no room in front of a server that does not think."""
    upstream.acts += [refusal(400, IS_LONG)]
    asked = request(("user", "a"), ("assistant", "b"), ("user", "c"), max_tokens=512)
    run(start(), replace(asked, thinking=Thinking(max_tokens=2048)))
    assert [len(body["messages"]) for body in upstream.bodies] == [3, 1]


@pytest.mark.parametrize("passed", [None, {}])
@pytest.mark.parametrize("shown", [True, False])
def test_a_thought_that_took_all_the_room_is_known_by_its_count_too(
    start: Start, upstream: FakeUpstream, shown: bool, passed: Any
) -> None:
    """Some servers count what they do not show; details of the usage are no answer."""
    usage = {"completion_tokens": 24, "completion_tokens_details": {"reasoning_tokens": 24}}
    said = [think("Hm ")] * 24 if shown else []
    upstream.acts += [
        deltas(*said, reason="length", usage=usage),
        deltas(*said, say("a"), usage=usage),
    ]
    gathered = start()
    done = run(gathered, replace(request(("user", "x"), passed=passed), thinking=BOUND))
    assert [body["max_tokens"] for body in upstream.bodies] == [24, 54]
    assert (done.reason, gathered.text("r")) == (FinishReason.STOP, "a")
    assert gathered.engine.info.thinks
