"""What a request may say of thoughts, what is refused by name, and what the record keeps of it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from streaming.engine.base import Thinking
from streaming.lifecycle.params import resolve_thinking
from streaming.protocol.client_events import ResponseCreate
from streaming.protocol.errors import ProtocolError
from streaming.protocol.parsing import parse_client_event
from streaming.protocol.sampling_params import Params
from streaming.record import thinking

THINKS = {"thinks": True, "context_tokens": 3000}


def parse(params: Any) -> Params:
    event = parse_client_event(
        json.dumps({"type": "response.create", "input": "x", "params": params})
    )
    assert isinstance(event, ResponseCreate)
    return event.params


def asked(params: Any, model: Any = None) -> Thinking:
    """What an engine with a context of 1,000 tokens is asked for."""
    kept = resolve_thinking(parse(params), model or {})
    return thinking.of(json.loads(json.dumps({"max_tokens": 5, "thinking": kept})), 1000)


def test_who_asks_for_nothing_leaves_no_trace_before_a_model_that_does_not_think() -> None:
    assert resolve_thinking(parse({"temperature": 0}), {}) == {}
    assert thinking.of({"max_tokens": 5}, 1000) == Thinking(max_tokens=500)
    assert thinking.most_tokens({"max_tokens": 5}) == 5


def test_a_model_that_thinks_has_a_bound_for_it_that_counts_in_the_forecast() -> None:
    kept = resolve_thinking(parse({}), THINKS)
    assert kept == {"effort": "auto", "max_tokens": 1500}
    assert thinking.most_tokens({"max_tokens": 5, "thinking": kept}) == 1505
    kept = resolve_thinking(parse({"reasoning_effort": "none"}), THINKS)
    assert thinking.most_tokens({"max_tokens": 5, "thinking": kept}) == 5


@pytest.mark.parametrize(
    ("params", "effort", "template", "word"),
    [
        ({"reasoning_effort": "none"}, "off", {}, "none"),
        ({"reasoning_effort": "minimal"}, "low", {}, "minimal"),
        ({"reasoning_effort": "xhigh"}, "high", {}, "xhigh"),
        ({"reasoning_effort": "default"}, "auto", {}, "default"),
        ({"reasoning": {"effort": "medium"}}, "medium", {}, "medium"),
        ({"reasoning": {"effort": "low"}, "reasoning_effort": "low"}, "low", {}, "low"),
        ({"reasoning": {}, "reasoning_effort": None}, "auto", {}, ""),
        ({"enable_thinking": False}, "off", {"enable_thinking": False}, ""),
        ({"enable_thinking": True}, "medium", {"enable_thinking": True}, ""),
        (
            {"enable_thinking": True, "reasoning_effort": "high"},
            "high",
            {"enable_thinking": True},
            "high",
        ),
        ({"chat_template_kwargs": {"thinking": True}}, "medium", {"thinking": True}, ""),
        (
            {"chat_template_kwargs": {"enable_thinking": False, "x": {"y": [1, "z", None]}}},
            "off",
            {"enable_thinking": False, "x": {"y": [1, "z", None]}},
            "",
        ),
        ({"chat_template_kwargs": {"thinking": "yes"}}, "auto", {"thinking": "yes"}, ""),
        (
            {"chat_template_kwargs": {"thinking": {}, "reasoning_effort": []}},
            "auto",
            {"thinking": {}, "reasoning_effort": []},
            "",
        ),
        (
            {"chat_template_kwargs": {"reasoning_effort": "high"}, "reasoning_effort": "xhigh"},
            "high",
            {"reasoning_effort": "high"},
            "xhigh",
        ),
    ],
)
def test_what_is_asked_for(params: Any, effort: Any, template: Any, word: str) -> None:
    assert asked(params, THINKS) == Thinking(effort, template, 1500, word)


def test_what_a_model_that_does_not_think_is_asked_for_counts_in_no_forecast() -> None:
    """Programs that send an effort to every model are no longer answers for it."""
    plain = {"model": "m", "thinks": False, "context_tokens": 3000}
    kept = resolve_thinking(parse({"reasoning_effort": "high"}), plain)
    assert kept == {"effort": "high", "asked": "high"}
    assert thinking.most_tokens({"max_tokens": 5, "thinking": kept}) == 5
    # It may have changed by the time of the answer.
    assert thinking.of({"thinking": kept}, 1000) == Thinking("high", {}, 500, "high")


def test_the_settings_say_what_nobody_asks_for(settings: Any) -> None:
    ours = {"thinking": "low", "max_reasoning_tokens": "70"}
    settings.CHATSTREAM = {**settings.CHATSTREAM, **ours}
    assert asked({}) == Thinking("low", max_tokens=70)
    assert asked({"reasoning_effort": "high"}, THINKS) == Thinking("high", {}, 70, "high")


NESTED: dict[str, Any] = {"a": {"b": {"c": {"d": {"e": 1}}}}}


@pytest.mark.parametrize(
    ("params", "param", "words"),
    [
        ({"reasoning_effort": "much"}, "reasoning_effort", "'xhigh'"),
        ({"reasoning": {"effort": "low", "x": 1}}, "reasoning.x", "not a field"),
        ({"enable_thinking": "no"}, "enable_thinking", "boolean"),
        ({"reasoning": {"effort": "low"}, "reasoning_effort": "high"}, "reasoning", "another"),
        ({"enable_thinking": False, "reasoning_effort": "high"}, "enable_thinking", "opposite"),
        ({"enable_thinking": True, "reasoning_effort": "none"}, "enable_thinking", "opposite"),
        (
            {"enable_thinking": True, "chat_template_kwargs": {"enable_thinking": False}},
            "enable_thinking",
            "opposite",
        ),
        (
            {"chat_template_kwargs": {"thinking": False}, "reasoning_effort": "low"},
            "chat_template_kwargs",
            "opposite",
        ),
        (
            {"enable_thinking": True, "chat_template_kwargs": {"thinking": False}},
            "enable_thinking",
            "opposite",
        ),
        (
            {"chat_template_kwargs": {"enable_thinking": True, "thinking": False}},
            "chat_template_kwargs",
            "opposite",
        ),
        (
            {"chat_template_kwargs": {"reasoning_effort": "high"}, "reasoning_effort": "low"},
            "chat_template_kwargs",
            "another effort",
        ),
        *(
            ({"chat_template_kwargs": {name: "x"}}, "chat_template_kwargs", f"`{name}` is not for")
            for name in ("messages", "tools", "add_generation_prompt", "bos_token", "chat_template")
        ),
        *(
            ({"chat_template_kwargs": {name: 1}}, "chat_template_kwargs", "no name of a variable")
            for name in ("", "_x", "a b", "é", "a.b", "x" * 65)
        ),
        ({"chat_template_kwargs": []}, "chat_template_kwargs", "object"),
        ({"chat_template_kwargs": NESTED}, "chat_template_kwargs", "nested too deeply"),
        ({"chat_template_kwargs": {"a": "\0"}}, "chat_template_kwargs", "U+0000"),
        ({"chat_template_kwargs": {"a": 10**400}}, "chat_template_kwargs", "too large"),
        ({"chat_template_kwargs": {"a": "x" * 4096}}, "chat_template_kwargs", "at most 4,096"),
        (
            {"chat_template_kwargs": {f"v{number}": 1 for number in range(33)}},
            "chat_template_kwargs",
            "at most 32",
        ),
    ],
)
def test_what_is_refused_is_named(params: Any, param: str, words: str) -> None:
    with pytest.raises(ProtocolError, match=r"`params\.") as error:
        parse(params)
    assert error.value.param == f"params.{param}"
    assert words in error.value.message
    assert "Value error" not in error.value.message


def test_a_deep_nest_is_refused() -> None:
    nest = "[" * 100_000 + "]" * 100_000
    params = f'{{"chat_template_kwargs": {{"a": {nest}}}}}'
    with pytest.raises(ProtocolError):
        parse_client_event(f'{{"type": "response.create", "input": "x", "params": {params}}}')
