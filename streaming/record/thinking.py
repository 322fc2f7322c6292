"""How much a model is to think before it answers, as the record keeps it for every attempt."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from streaming import conf
from streaming.engine.base import Thinking
from streaming.protocol.thinking_params import EFFORTS, ThinkingParams, switch_of

_UNKNOWN_CONTEXT = 4_096


def resolve(params: ThinkingParams, model: Mapping[str, Any]) -> dict[str, Any]:
    """What the record keeps of it, so that a later attempt is asked for the same: `effort`,
    `template` and `asked` as in `Thinking`, and `max_tokens` if the model, as its worker describes
    it, thinks. Empty where it does not, and nobody asked for anything."""
    word = next(iter(params.efforts().values()), None)
    switch, variables = switch_of(params), dict(params.chat_template_kwargs or {})
    if params.switches():
        variables["enable_thinking"] = switch
    asked: dict[str, Any] = {}
    if word:
        asked |= {"effort": EFFORTS[word], "asked": word}
    elif switch is not None:
        asked["effort"] = "medium" if switch else "off"
    if variables:
        asked["template"] = variables
    if model.get("thinks"):
        most = _most_tokens(model.get("context_tokens"))
        asked["max_tokens"] = min(most, params.budget() or most)
    return {"effort": conf.get().thinking, **asked} if asked else {}


def of(params: Mapping[str, Any], context_tokens: int) -> Thinking:
    """What the engine is asked for, by a response's parameters as the record keeps them."""
    kept = params.get("thinking", {})
    return Thinking(
        effort=kept.get("effort") or conf.get().thinking,
        template=kept.get("template", {}),
        max_tokens=kept.get("max_tokens") or _most_tokens(context_tokens),
        asked=kept.get("asked", ""),
    )


def most_tokens(params: Mapping[str, Any]) -> int:
    """The most that a response may generate, thought and answer, as far as the record knows."""
    kept = params.get("thinking", {})
    thought = 0 if kept.get("effort") == "off" else kept.get("max_tokens", 0)
    return int(params["max_tokens"]) + int(thought)


def _most_tokens(context_tokens: Any) -> int:
    return conf.get().max_reasoning_tokens or int(context_tokens or _UNKNOWN_CONTEXT) // 2
