"""From a request's parameters to those that the record keeps, so that every attempt at a response
takes the same."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

from streaming import conf
from streaming.protocol.sampling_params import MOST_TOP_K, Params
from streaming.protocol.thinking_params import EFFORTS, ThinkingParams, switch_of
from streaming.record.thinking import most_thought_tokens

_SEED_BITS = 2**63 - 1
"""Engines and databases keep so many; one below 0 is another one above."""


def resolve(
    params: Params, model: Mapping[str, Any], *, thinking: ThinkingParams | None = None
) -> dict[str, Any]:
    """Return all parameters of a response, concrete, for a model that its worker describes so.

    `thinking` is what the request says of thoughts, if not `params` itself.
    """
    resolved = resolve_sampling(params, conf.get().max_tokens)
    if thought := resolve_thinking(thinking or params, model):
        resolved["thinking"] = thought
    return resolved


def resolve_sampling(params: Params, max_tokens: int) -> dict[str, Any]:
    """Return the sampling parameters as engines take them, the seed drawn now: a later attempt
    draws the same tokens. `max_tokens` is the most that the server allows."""
    given = {
        name: value
        for name in ("temperature", "top_p", "top_k", "repetition_penalty", "ignore_eos")
        if (value := getattr(params, name)) is not None
    }
    if given.get("top_p") == 0:  # nothing but the likeliest token
        given |= {"top_p": 1.0, "temperature": 0.0}
    if "top_k" in given:
        given["top_k"] = min(max(given["top_k"], 0), MOST_TOP_K)
    if params.truncation == "disabled":
        given["truncation"] = params.truncation
    wanted = params.max_tokens or -1
    seed = secrets.randbits(63) if params.seed in (None, -1) else params.seed & _SEED_BITS
    return {
        "max_tokens": min(wanted, max_tokens) if wanted > 0 else max_tokens,
        "seed": seed,
        "stop": params.stop,
        **given,
    }


def resolve_thinking(params: ThinkingParams, model: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the record keeps of the wish to think: `effort`, `template` and `asked` as in
    `engine.base.Thinking`, and `max_tokens` if the model, as its worker describes it, thinks.
    Empty where it does not, and nobody asked for anything."""
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
        most = most_thought_tokens(model.get("context_tokens"))
        asked["max_tokens"] = min(most, params.budget() or most)
    return {"effort": conf.get().thinking, **asked} if asked else {}
