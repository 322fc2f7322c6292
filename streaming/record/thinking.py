"""How much a model is to think before it answers, as the record keeps it for every attempt."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from streaming import conf
from streaming.engine.base import Thinking

_UNKNOWN_CONTEXT = 4_096


def of(params: Mapping[str, Any], context_tokens: int) -> Thinking:
    """Return what the engine is asked for, by a response's parameters as the record keeps them."""
    kept = params.get("thinking", {})
    return Thinking(
        effort=kept.get("effort") or conf.get().thinking,
        template=kept.get("template", {}),
        max_tokens=kept.get("max_tokens") or most_thought_tokens(context_tokens),
        asked=kept.get("asked", ""),
    )


def most_tokens(params: Mapping[str, Any]) -> int:
    """Return the most tokens that a response may generate, thought and answer, as far as the
    record knows."""
    kept = params.get("thinking", {})
    thought = 0 if kept.get("effort") == "off" else kept.get("max_tokens", 0)
    return int(params["max_tokens"]) + int(thought)


def most_thought_tokens(context_tokens: Any) -> int:
    """Return the most tokens that a model with such a context may think; 0 or None is an unknown
    one."""
    return conf.get().max_reasoning_tokens or int(context_tokens or _UNKNOWN_CONTEXT) // 2
