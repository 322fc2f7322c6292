"""A bare text goes to the server's Completions as it is, and is gone on with wherever it breaks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from streaming.engine.base import (
    UNKNOWN_TOKEN,
    ChatMessage,
    Finished,
    FinishReason,
    GenerationRequest,
    PassedDelta,
    SamplingParams,
)
from tests.support.fake_upstream import MODEL, Act, Exchange, FakeUpstream, refusal
from tests.unit.engine.gathered import Gathered

Start = Callable[..., Gathered]

STORY = "Once upon a time \n"


@pytest.fixture(autouse=True)
def completes(upstream: FakeUpstream) -> None:
    upstream.paths = {"/v1/completions"}


def raw(*texts: str, prior: int = 0, prior_text: str = "", **params: Any) -> GenerationRequest:
    values = {"max_tokens": 24, "seed": 7, "asked": frozenset(params), **params}
    roles: tuple[Any, ...] = ("user", "assistant")
    return GenerationRequest(
        "r",
        tuple(ChatMessage(role, text) for role, text in zip(roles, texts, strict=False)),
        SamplingParams(**values),
        (UNKNOWN_TOKEN,) * prior,
        prior_text,
        trims=False,
        raw=True,
    )


def said(gathered: Gathered, request: GenerationRequest) -> Finished:
    gathered.engine.submit(request)
    finished = gathered.wait("r")
    assert isinstance(finished, Finished)
    return finished


def texts(*words: str, reason: str = "stop", cut: bool = False, **choice: Any) -> Act:
    """What follows, in these pieces."""

    async def act(exchange: Exchange) -> None:
        await exchange.begin(first=False)
        for word in words:
            await exchange.chunk({"choices": [{"index": 0, "text": word, **choice}]})
        if cut:
            return exchange.cut()
        await exchange.chunk({"choices": [{"text": "", "finish_reason": reason}]})
        usage = {"prompt_tokens": 5, "completion_tokens": len(words)}
        await exchange.chunk({"choices": [], "usage": usage})
        await exchange.data("[DONE]")
        await exchange.close()

    return act


def test_the_text_is_sent_as_it_is(start: Start, upstream: FakeUpstream) -> None:
    upstream.acts.append(texts(" there", " lived", reason="length"))
    gathered = start()
    assert gathered.engine.info.completes_text
    done = said(gathered, raw(STORY, stop=("x",), temperature=0.5, top_k=0))
    assert done == Finished("r", FinishReason.LENGTH, prompt_tokens=5, completion_tokens=2)
    assert gathered.text("r") == " there lived"
    (body,) = upstream.bodies
    assert body == {
        "model": "fake/model", "prompt": STORY, "stream": True, "max_tokens": 24, "seed": 7,
        "stream_options": {"include_usage": True, "continuous_usage_stats": True},
        "temperature": 0.5, "top_k": -1, "stop": ["x"],
    }  # fmt: skip


def test_it_goes_on_where_it_broke(start: Start, upstream: FakeUpstream) -> None:
    """Blanks at the end stand, too, and no answer begins anew."""
    upstream.models = {"data": [{**MODEL, "owned_by": "somebody"}]}
    upstream.acts.extend([texts("a", " b ", cut=True), texts("c")])
    gathered = start()
    done = said(gathered, raw(STORY, "begun ", prior=3, prior_text="one two "))
    assert done.reason is FinishReason.STOP
    first, second = upstream.bodies
    assert first["prompt"] == f"{STORY}begun one two "
    assert (second["prompt"], second["max_tokens"]) == (f"{STORY}begun one two a b ", 19)
    assert gathered.text("r") == "a b c"


@pytest.mark.parametrize(
    "logprobs",
    [
        {"tokens": ["a"], "token_logprobs": [-1], "top_logprobs": [{"a": -1, "b": -2}],
         "text_offset": [0]},
        {"content": [{"token": "a", "logprob": -1,
                      "top_logprobs": [{"token": "a", "logprob": -1},
                                       {"token": "b", "logprob": -2}]}]},
    ],
)  # fmt: skip
def test_probabilities_in_either_form(
    start: Start, upstream: FakeUpstream, logprobs: dict[str, Any]
) -> None:
    upstream.acts.append(texts("a", logprobs=logprobs))
    gathered = start()
    said(gathered, raw(STORY, passed={"logprobs": 1}))
    assert upstream.bodies[0]["logprobs"] == 1
    (passed,) = [each for each in gathered.of("r") if isinstance(each, PassedDelta)]
    (token,) = passed.fields["logprobs"]["content"]
    assert (token["token"], token["logprob"]) == ("a", -1)
    likely = {each["token"]: each["logprob"] for each in token["top_logprobs"]}
    assert likely == {"a": -1, "b": -2}


@pytest.mark.parametrize("logprobs", [1, [], {"tokens": 1}, {"tokens": ["a"]}, {"content": [1]}])
def test_probabilities_that_are_none(start: Start, upstream: FakeUpstream, logprobs: Any) -> None:
    upstream.acts.append(texts("a", logprobs=logprobs))
    gathered = start()
    assert said(gathered, raw(STORY)).reason is FinishReason.STOP
    assert gathered.text("r") == "a"


def test_what_it_refuses_is_left_out(start: Start, upstream: FakeUpstream) -> None:
    upstream.acts.append(refusal(400, "unknown field continuous_usage_stats"))
    upstream.acts.extend([texts("a"), texts("b")])
    gathered = start()
    said(gathered, raw(STORY))
    gathered.engine.submit(replace(raw(STORY), response_id="s"))
    gathered.wait("s")
    kept = [body["stream_options"] for body in upstream.bodies]
    assert kept[1:] == [{"include_usage": True}] * 2


def test_a_server_that_does_not_complete_texts(start: Start, upstream: FakeUpstream) -> None:
    """Conversations are still asked for as before."""
    upstream.paths = {"/v1/chat/completions"}
    gathered = start()
    done = said(gathered, raw(STORY))
    assert (done.error_code, upstream.bodies) == ("invalid_params", [])
    assert "conversations only" in done.error_message
    gathered.ask("s", "Hello")
    assert gathered.text("s") == "Hello there."


def test_a_server_that_would_put_it_into_a_template(start: Start, upstream: FakeUpstream) -> None:
    upstream.models = {"data": [{**MODEL, "owned_by": "library"}]}
    gathered = start()
    assert not gathered.engine.info.completes_text
    assert said(gathered, raw(STORY)).error_code == "invalid_params"
    assert not upstream.exchanges


def test_a_text_that_is_too_long(start: Start, upstream: FakeUpstream) -> None:
    message = "This model's maximum context length is 10 tokens. Your prompt has 30 input tokens."
    upstream.acts.append(refusal(400, {"error": {"message": message}}))
    assert said(start(), raw(STORY)).error_code == "context_length_exceeded"
