"""`/v1/completions`: a bare text, and what follows it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.contrib.auth.models import User

from streaming.api import text_completions
from streaming.api.answers import ErrorBody, TextCompletion
from streaming.api.text_logprobs import TextLogprobs
from streaming.models import Conversation, Message, Response, Status
from tests.integration.conftest import eventually
from tests.integration.http import CHAT, HttpRequest, asking, call, chunks_of
from tests.support.fake_engine import FakeEngine

pytestmark = pytest.mark.django_db(transaction=True)

TEXT = "/v1/completions"


def going_on(text: Any, **fields: Any) -> dict[str, Any]:
    return {"model": "default", "prompt": text, **fields}


async def test_what_follows_a_text(start_worker: Any) -> None:
    engine = FakeEngine()
    seen: list[Any] = []
    submit = engine.submit
    engine.submit = lambda request: (seen.append(request), submit(request))  # type: ignore
    await start_worker(engine)
    for prompt in ("stop 3", ["stop 3"]):
        request, answer = await call("POST", TEXT, body=going_on(prompt, stop="x", seed=4))
        assert request.status == 200, answer
        TextCompletion.model_validate(answer)
        row = await Response.objects.select_related("conversation", "prompt").alatest("created_at")
        assert answer["id"] == f"cmpl-{row.pk}"
        assert request.headers["x-response-id"] == str(row.pk)
        (choice,) = answer["choices"]
        assert choice == {
            "text": "w0 w1 w2 ", "index": 0, "logprobs": None, "finish_reason": "stop"
        }  # fmt: skip
        assert answer["usage"]["completion_tokens"] == 3
        assert row.conversation.source == Conversation.Source.API
        assert (row.prompt.role, row.prompt.content) == ("user", "stop 3")
    asked, params = seen[0], seen[0].params
    assert (asked.raw, asked.trims) == (True, False)
    assert (params.max_tokens, params.stop, params.seed, params.passed) == (16, ("x",), 4, None)
    await call("POST", CHAT, body=asking("stop 1"))
    assert not seen[-1].raw


async def test_a_stream(start_worker: Any) -> None:
    await start_worker(FakeEngine())
    body = going_on("go", stream=True, max_tokens=9, stream_options={"include_usage": True})
    request = await (await HttpRequest("POST", TEXT, body=body).send()).start()
    stream = await request.rest()
    assert stream.endswith("data: [DONE]\n\n")
    chunks = chunks_of(stream)
    for chunk in chunks:
        TextCompletion.model_validate(chunk)
    said = [chunk["choices"][0] for chunk in chunks if chunk["choices"]]
    assert "".join(choice["text"] for choice in said) == "".join(f"w{n} " for n in range(9))
    assert [choice["finish_reason"] for choice in said] == [None] * (len(said) - 1) + ["length"]
    assert chunks[-1]["usage"]["completion_tokens"] == 9
    assert {chunk["object"] for chunk in chunks} == {"text_completion"}


@pytest.mark.parametrize("stream", [False, True])
async def test_the_text_itself_comes_first_if_asked_for(start_worker: Any, stream: bool) -> None:
    await start_worker(FakeEngine())
    body = going_on("stop 2", echo=True, stream=stream)
    request = await (await HttpRequest("POST", TEXT, body=body).send()).start()
    text = await request.rest()
    answers = chunks_of(text) if stream else [json.loads(text)]
    assert "".join(answer["choices"][0]["text"] for answer in answers) == "stop 2w0 w1 "


REFUSED: dict[str, tuple[dict[str, Any], str, str]] = {
    "no text": ({"prompt": None}, "prompt", "invalid_value"),
    "an empty text": ({"prompt": ""}, "prompt", "invalid_value"),
    "no texts": ({"prompt": []}, "prompt", "unsupported_value"),
    "several texts": ({"prompt": ["a", "b"]}, "prompt", "unsupported_value"),
    "tokens": ({"prompt": [1, 2]}, "prompt", "unsupported_value"),
    "lists of tokens": ({"prompt": [[1, 2]]}, "prompt", "unsupported_value"),
    "U+0000": ({"prompt": "a\0"}, "prompt", "invalid_value"),
    "too long": ({"prompt": "a" * 300_000}, "prompt", "context_length_exceeded"),
    "what follows": ({"suffix": "b"}, "suffix", "unsupported_parameter"),
    "two answers": ({"n": 2}, "n", "unsupported_value"),
    "the best of two": ({"best_of": 2}, "best_of", "unsupported_parameter"),
    "probabilities": ({"logprobs": 0}, "logprobs", "unsupported_parameter"),
    "those of the text": ({"logprobs": 1, "echo": True}, "logprobs", "unsupported_parameter"),
    "too many": ({"logprobs": 21}, "logprobs", "invalid_value"),
    "a penalty": ({"presence_penalty": 1}, "presence_penalty", "unsupported_parameter"),
    "a bias": ({"logit_bias": {"1": 1}}, "logit_bias", "unsupported_parameter"),
    "no tokens of it": ({"max_tokens": 0}, "max_tokens", "invalid_value"),
    "turns to be left out": ({"truncation": "auto"}, "truncation", "invalid_value"),
}


@pytest.mark.parametrize("name", REFUSED)
async def test_what_is_refused_is_named(layer: Any, name: str) -> None:
    fields, param, code = REFUSED[name]
    request, answer = await call("POST", TEXT, body={**going_on("hello"), **fields})
    assert request.status == 400, answer
    error = ErrorBody.model_validate(answer).error
    assert (error.type, error.param, error.code) == ("invalid_request_error", param, code)
    assert not await Conversation.objects.aexists()


async def test_what_programs_send_is_taken(start_worker: Any) -> None:
    await start_worker(FakeEngine())
    harmless = {
        "suffix": None, "n": 1, "best_of": 1, "echo": False, "logprobs": None, "logit_bias": {},
        "presence_penalty": 0, "frequency_penalty": 0.0, "user": "me", "max_tokens": None,
        "stream": False, "stop": None, "anything": 1,
    }  # fmt: skip
    request, answer = await call("POST", TEXT, body=going_on("stop 1", **harmless))
    assert request.status == 200, answer


async def test_a_model_that_takes_conversations_only(start_worker: Any) -> None:
    await start_worker(FakeEngine(completes_text=False))
    request, answer = await call("POST", TEXT, body=going_on("stop 1"))
    assert (request.status, answer["error"]["param"]) == (400, "model")
    assert "/v1/chat/completions" in answer["error"]["message"]


async def test_a_worker_of_such_a_model_ends_it(start_worker: Any, monkeypatch: Any) -> None:
    """Nobody knew which model would answer."""

    async def nothing(layer: Any) -> dict[str, Any]:
        return {}

    monkeypatch.setattr(text_completions, "model_details", nothing)
    await start_worker(FakeEngine(completes_text=False))
    request, answer = await call("POST", TEXT, body=going_on("stop 1"))
    assert (request.status, answer["error"]["message"]) == (
        500,
        "This model takes conversations only.",
    )


async def test_what_was_a_text_stays_one(start_worker: Any, make_key: Any, client: Any) -> None:
    """Whoever answers it once more, or goes on with it."""
    engine = FakeEngine()
    seen: list[Any] = []
    submit = engine.submit
    engine.submit = lambda request: (seen.append(request), submit(request))  # type: ignore
    await start_worker(engine)
    secret = await make_key("ada")
    await call("POST", TEXT, body=going_on("go", max_tokens=2), key=secret)
    row = await Response.objects.aget()
    user = await User.objects.aget()
    chat = await client(user=user)
    for field in ("regenerates", "continues"):
        await chat.send("response.create", **{field: str(row.pk)})

        async def done() -> bool:
            return not await Response.objects.exclude(
                status__in=[Status.COMPLETED, Status.INCOMPLETE]
            ).aexists()

        await chat.until("response.queued")
        await eventually(done)
    assert [request.raw for request in seen] == [True] * 3
    texts = ["".join(message.content for message in request.messages) for request in seen]
    assert texts == ["go", "go", "gow0 w1 "]
    assert await Message.objects.filter(role="user").acount() == 1


def test_probabilities_in_lists() -> None:
    """Where each token begins is counted over all chunks."""
    logprobs = TextLogprobs()
    token = {"token": " a", "logprob": -1.0, "bytes": None,
             "top_logprobs": [{"token": " b", "logprob": -2.0, "bytes": None}]}  # fmt: skip
    assert logprobs.add({"content": [token, {"token": "c", "logprob": -0.5}]}) == {
        "tokens": [" a", "c"],
        "token_logprobs": [-1.0, -0.5],
        "top_logprobs": [{" b": -2.0}, {}],
        "text_offset": [0, 2],
    }
    assert logprobs.add(None) is None
    assert logprobs.add({"content": [token]})["text_offset"] == [3]  # type: ignore[index]
