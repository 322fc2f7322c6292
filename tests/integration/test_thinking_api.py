"""Thoughts over HTTP: what a request may ask for, and how what was thought comes back."""

from __future__ import annotations

from typing import Any

import pytest

from streaming.api.answers import ChatCompletionChunk
from streaming.engine.base import ChatMessage, Thinking
from streaming.models import Message, Response
from tests.integration.http import CHAT, asking, call, chunks_of, open_stream, text_of
from tests.integration.test_thinking import Recording
from tests.support.fake_engine import FakeEngine, thoughts, words

pytestmark = pytest.mark.django_db(transaction=True)


async def test_a_thought_comes_back(start_worker: Any) -> None:
    await start_worker(FakeEngine())
    _, answer = await call("POST", CHAT, body=asking("think 3 stop 2"))
    (choice,) = answer["choices"]
    assert choice["message"]["content"] == "w0 w1 "
    assert choice["message"]["reasoning_content"] == thoughts(3)
    assert answer["usage"]["completion_tokens"] == 5
    assert answer["usage"]["completion_tokens_details"] == {"reasoning_tokens": 3}
    assert answer["chatstream"]["timings"]["reasoning_ms"] > 0


async def test_a_thought_comes_back_in_pieces(start_worker: Any) -> None:
    await start_worker(FakeEngine())
    stream = await open_stream("think 30 stop 20", stream_options={"include_usage": True})
    chunks = chunks_of(await stream.rest())
    for chunk in chunks:
        ChatCompletionChunk.model_validate(chunk)
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks if chunk["choices"]]
    said = [delta["reasoning_content"] for delta in deltas if delta.get("reasoning_content")]
    assert len(said) > 1
    assert "".join(said) == thoughts(30)
    assert text_of(chunks) == "".join(words(20))
    assert chunks[-1]["usage"]["completion_tokens_details"] == {"reasoning_tokens": 30}
    order = [name for delta in deltas for name, text in delta.items() if text and name != "role"]
    assert sorted(order, reverse=True) == order  # the thought before the content


async def test_who_does_not_think_has_no_such_fields(start_worker: Any) -> None:
    await start_worker(FakeEngine())
    _, answer = await call("POST", CHAT, body=asking("stop 1"))
    assert "reasoning_content" not in answer["choices"][0]["message"]
    assert "completion_tokens_details" not in answer["usage"]
    assert "reasoning_ms" not in answer["chatstream"]["timings"]


async def test_what_is_asked_for_is_kept_and_reaches_the_engine(start_worker: Any) -> None:
    engine = Recording()
    await start_worker(engine)
    fields = {
        "reasoning": {"effort": "low", "summary": "auto"},
        "chat_template_kwargs": {"date": "today"},
    }
    _, answer = await call("POST", CHAT, body=asking("think 3 stop 1", **fields))
    assert answer["choices"][0]["message"]["content"] == "w0 "
    (request,) = engine.requests
    assert request.thinking == Thinking("low", {"date": "today"}, 2048, "low")
    assert "seed" in request.params.asked
    assert "thinking" not in request.params.asked
    row = await Response.objects.aget()
    assert row.params["thinking"] == {
        "effort": "low",
        "asked": "low",
        "template": {"date": "today"},
    }


async def test_no_thought_where_none_is_wanted(start_worker: Any) -> None:
    await start_worker(FakeEngine())
    _, answer = await call("POST", CHAT, body=asking("think 3 stop 1", enable_thinking=False))
    assert "reasoning_content" not in answer["choices"][0]["message"]


@pytest.mark.parametrize(
    ("fields", "thinking"),
    [
        ({"reasoning": {"enabled": False}}, Thinking("off", {"enable_thinking": False}, 2048)),
        ({"reasoning": {"effort": "none"}}, Thinking("off", {}, 2048, "none")),
        ({"think": False}, Thinking("off", {"enable_thinking": False}, 2048)),
        ({"think": "high"}, Thinking("high", {}, 2048, "high")),
        ({"thinking": {"type": "disabled"}}, Thinking("off", {"enable_thinking": False}, 2048)),
        (
            {"thinking": {"type": "enabled", "budget_tokens": 2}},
            Thinking("medium", {"enable_thinking": True}, 2),
        ),
        ({"thinking": {"type": "adaptive", "budget_tokens": 9999}}, Thinking("auto", {}, 2048)),
        ({"thinking": {"type": "auto", "budget_tokens": 9}}, Thinking("auto", {}, 9)),
        ({"think": "max"}, Thinking("high", {}, 2048, "max")),
        (
            {"reasoning": {"enabled": True, "exclude": False, "max_tokens": 20}},
            Thinking("medium", {"enable_thinking": True}, 20),
        ),
    ],
)
async def test_the_names_that_programs_have_for_it(
    fields: Any, thinking: Thinking, start_worker: Any
) -> None:
    engine = Recording(thinks=True)
    await start_worker(engine)
    _, answer = await call("POST", CHAT, body=asking("think 3 stop 1", **fields))
    assert engine.requests[0].thinking == thinking
    thought = "" if thinking.effort == "off" else thoughts(min(3, thinking.max_tokens))
    assert answer["choices"][0]["message"].get("reasoning_content", "") == thought


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"reasoning": {"enabled": "no"}}, "reasoning.enabled"),
        ({"think": "much"}, "think"),
        ({"think": 0}, "think"),
        ({"thinking": {"type": "on"}}, "thinking.type"),
        ({"thinking": {"type": "enabled", "budget_tokens": 0}}, "thinking.budget_tokens"),
        ({"thinking": True}, "thinking"),
        ({"think": True, "thinking": {"type": "disabled"}}, "thinking"),
        ({"think": False, "reasoning_effort": "high"}, "think"),
        ({"think": "low", "reasoning_effort": "high"}, "think"),
    ],
)
async def test_other_names_that_are_malformed_are_named(
    fields: Any, param: str, start_worker: Any
) -> None:
    await start_worker(FakeEngine())
    request, answer = await call("POST", CHAT, body=asking("stop 1", **fields))
    assert request.status == 400
    assert answer["error"]["param"].startswith(param)


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning"])
async def test_what_earlier_turns_thought_reaches_the_engine(start_worker: Any, name: str) -> None:
    engine = Recording()
    await start_worker(engine)
    messages = [
        {"role": "user", "content": "a", name: "not theirs"},
        {"role": "assistant", "content": "b", name: "Hm"},
        {"role": "user", "content": "stop 1"},
    ]
    await call("POST", CHAT, body={"model": "default", "messages": messages})
    assert engine.requests[0].messages == (
        ChatMessage("user", "a"),
        ChatMessage("assistant", "b", reasoning="Hm"),
        ChatMessage("user", "stop 1"),
    )
    kept = [message.reasoning async for message in Message.objects.order_by("created_at")]
    assert kept == ["", "Hm", "", ""]


async def test_a_thought_is_gone_on_with(start_worker: Any) -> None:
    await start_worker(FakeEngine())
    messages = [
        {"role": "user", "content": "think 4 stop 1"},
        {"role": "assistant", "content": None, "reasoning_content": thoughts(2)},
    ]
    _, answer = await call("POST", CHAT, body={"model": "default", "messages": messages})
    message = answer["choices"][0]["message"]
    assert (message["reasoning_content"], message["content"]) == ("t2 t3 ", "w0 ")


@pytest.mark.parametrize(
    ("fields", "param", "words"),
    [
        ({"reasoning_effort": "much"}, "reasoning_effort", "'xhigh'"),
        ({"enable_thinking": True, "reasoning_effort": "none"}, "enable_thinking", "opposite"),
        ({"chat_template_kwargs": {"messages": []}}, "chat_template_kwargs", "`messages`"),
        (
            {"messages": [{"role": "assistant", "content": "a", "reasoning": "x" * 300_000}]},
            "messages",
            "at most 256,000",
        ),
    ],
)
async def test_what_is_refused_is_named(
    start_worker: Any, fields: dict[str, Any], param: str, words: str
) -> None:
    await start_worker(FakeEngine())
    request, answer = await call("POST", CHAT, body={**asking("stop 1"), **fields})
    assert (request.status, answer["error"]["param"]) == (400, param)
    assert words in answer["error"]["message"]
