"""Writes requests for Chat Completions."""

from __future__ import annotations

from typing import Any

from streaming.engine.base import SamplingParams, Thinking
from streaming.engine.upstream import parts
from streaming.engine.upstream.query import Wanted
from streaming.engine.upstream.surrogates import sound, whole

CONTINUE = {"continue_final_message": True, "add_generation_prompt": False}

ADVICE = ("service_tier", "prompt_cache_key", "safety_identifier")
"""Fields that say how to serve an answer, and nothing of what is in it."""

SAMPLING_OPTIONAL = (
    "stream_options",
    "continuous_usage_stats",
    "top_k",
    "repetition_penalty",
    "repeat_penalty",
    "ignore_eos",
    "seed",
)
"""Fields of sampling, and of how it is told, without which the answer is one, too."""

OPTIONAL = (
    *ADVICE,
    *SAMPLING_OPTIONAL,
    "reasoning_effort",
    "chat_template_kwargs",
    *CONTINUE,
)
"""Fields that may be left out: the answer is one without them, too. So may the `reasoning_content`
of messages, where the server names it."""


def body_of(wanted: Wanted, without: set[str]) -> dict[str, Any]:
    """Return the request's JSON, without these fields. Raises UpstreamFault for parts of a content
    that it cannot have."""
    params = wanted.params
    body: dict[str, Any] = {
        **sound(dict(params.passed or {})),
        "model": wanted.model,
        "messages": [
            _message(wanted, number, with_thought="reasoning_content" not in without)
            for number in range(len(wanted.messages))
        ],
        "stream": True,
        "max_tokens": wanted.max_tokens,
        "seed": params.seed & 0x7FFFFFFF,  # some servers keep 32 bits
        "stream_options": {"include_usage": True, "continuous_usage_stats": True},
        **sampling_of(params, wanted.server),
        **thinking_fields(wanted.thinking),
    }
    if params.stop:
        body["stop"] = [whole(text) for text in params.stop]
    if params.ignore_eos:
        body["ignore_eos"] = True
    if wanted.messages[-1].role == "assistant" and wanted.server != "library":
        body |= CONTINUE
    return without_fields(body, without)


def sampling_of(params: SamplingParams, server: str) -> dict[str, Any]:
    """Return the parameters that the request set; for others the server has defaults, often its
    model's."""
    is_llama = server == "llamacpp"
    known = {
        "temperature": ("temperature", params.temperature),
        "top_p": ("top_p", params.top_p),
        # no top-k, for vLLM, SGLang and llama.cpp
        "top_k": ("top_k", params.top_k or -1),
        "repetition_penalty": (
            "repeat_penalty" if is_llama else "repetition_penalty",
            params.repetition_penalty,
        ),
    }
    asked = params.asked
    if asked is None:
        asked = frozenset(known if params.repetition_penalty != 1 else [*known][:3])
    return {name: value for key, (name, value) in known.items() if key in asked}


def without_fields(body: dict[str, Any], names: set[str]) -> dict[str, Any]:
    """Return a request's JSON without these fields; of the most tokens the other name stays."""
    kept = {name: value for name, value in body.items() if name not in names}
    if "max_tokens" in names:
        kept["max_completion_tokens"] = body["max_tokens"]
    if "stream_options" in kept and "continuous_usage_stats" in names:
        kept["stream_options"] = {"include_usage": True}
    return kept


_SWITCHES = ("enable_thinking", "thinking")
"""Variables of templates that switch thinking on and off."""


def asked_of(thinking: Thinking) -> dict[str, Any]:
    """Return the fields of thinking that the request set itself: they are never left out."""
    asked: dict[str, Any] = {}
    if thinking.asked:
        asked["reasoning_effort"] = thinking.asked
    if thinking.template:
        asked["chat_template_kwargs"] = sound(dict(thinking.template))
    return asked


def thinking_fields(thinking: Thinking) -> dict[str, Any]:
    """Return the fields of `asked_of` and, where none of them sets the effort, those for the
    effort. `off` is sent by two names, since many servers know one of them only."""
    asked = asked_of(thinking)
    if thinking.effort == "auto" or any(name in thinking.template for name in _SWITCHES):
        return asked
    if thinking.effort != "off":
        return {"reasoning_effort": thinking.effort, **asked}
    variables = {"enable_thinking": False, **asked.get("chat_template_kwargs", {})}
    return {"reasoning_effort": "none", **asked, "chat_template_kwargs": variables}


def _message(wanted: Wanted, number: int, *, with_thought: bool) -> dict[str, Any]:
    message = wanted.messages[number]
    content: Any = whole(message.content)
    if not parts.is_plain(message):
        content = parts.for_chat(message)
    said = wanted.thought_of(number) if with_thought else ""
    thought = {"reasoning_content": whole(said)} if said else {}
    if not message.fields:
        return {"role": message.role, "content": content, **thought}
    # The text of a message that only calls tools is null, which some templates look for.
    text = content or (None if message.fields.get("tool_calls") else "")
    return {"role": message.role, "content": text, **thought, **sound(dict(message.fields))}
