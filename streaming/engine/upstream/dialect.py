"""Writes requests in the words that a kind of server understands."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Collection, Sequence
from typing import Any

from streaming.engine.base import ChatMessage, SamplingParams, Thinking

CONTINUING = {"vllm", "sglang", "llamacpp", "library"}
"""Servers that continue an assistant's message, by the `owned_by` of their models; `library` is
Ollama's."""

_NEVER_ECHOING = {"vllm", "sglang", "library"}
"""Servers that do not repeat the message that they continue."""

_CONTINUE = {"continue_final_message": True, "add_generation_prompt": False}

_OPTIONAL = (
    "stream_options",
    "continuous_usage_stats",
    "top_k",
    "repetition_penalty",
    "repeat_penalty",
    "ignore_eos",
    "seed",
    "reasoning_effort",
    "chat_template_kwargs",
    *_CONTINUE,
)
"""Fields that may be left out: the answer is one without them, too."""

_SWITCHES = ("enable_thinking", "thinking")
"""Variables of templates that switch thinking on and off."""


class Dialect:
    """What is known of the server's ways.

    - `server`: its kind, the model's `owned_by`
    - `continues`: whether it continues an assistant's message; None: by its kind
    - `refused`: fields that it does not accept
    - `echoes`: whether it repeats what it is to continue; None: nobody has asked yet, which one
      response at a time does (`asking`)
    - `thinks`: it has told a thought; `thinks_again`: even where it was to go on with a text
    """

    def __init__(self, continues: bool | None = None) -> None:
        self.server = ""
        self._continues = continues
        self.refused: set[str] = set()
        self.echoes: bool | None = None
        self.thinks = self.thinks_again = False
        self.asking = asyncio.Lock()

    @property
    def continues(self) -> bool:
        """Return whether the server continues an assistant's message."""
        return self.server in CONTINUING if self._continues is None else self._continues

    def may_echo(self, body: dict[str, Any]) -> bool:
        """Return whether the server may repeat the last message of this request before it goes
        on."""
        if body["messages"][-1]["role"] != "assistant" or self.server in _NEVER_ECHOING:
            return False
        return self.server != "llamacpp" or "continue_final_message" not in body

    def body(
        self,
        model: str,
        messages: Sequence[ChatMessage],
        params: SamplingParams,
        thinking: Thinking,
        max_tokens: int,
        left_out: set[str],
    ) -> dict[str, Any]:
        """Return the request's JSON, without fields that are refused or `left_out`.

        A last message of the assistant's is to be continued. Thoughts of earlier messages are sent
        only for requests to `/v1/`, whose clients have sent them themselves.
        """
        with_thoughts = params.passed is not None
        body: dict[str, Any] = {
            **_sound(params.passed or {}),
            "model": model,
            "messages": [_message(message, with_thoughts) for message in messages],
            "stream": True,
            "max_tokens": max_tokens,
            "seed": params.seed & 0x7FFFFFFF,  # some servers keep 32 bits
            "stream_options": {"include_usage": True, "continuous_usage_stats": True},
            **self._sampling(params),
            **_thinking_fields(thinking),
        }
        if params.stop:
            body["stop"] = [whole(text) for text in params.stop]
        if params.ignore_eos:
            body["ignore_eos"] = True
        if messages[-1].role == "assistant" and self.server != "library":
            body |= _CONTINUE
        return _without(body, (self.refused - asked_of(thinking).keys()) | left_out)

    def _sampling(self, params: SamplingParams) -> dict[str, Any]:
        """The parameters that the request set; for others the server has defaults, often its
        model's."""
        is_llama = self.server == "llamacpp"
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


def complained_of(body: dict[str, Any], complaint: str, asked: Collection[str]) -> set[str]:
    """Return the fields to leave out of a refused request: the optional ones that the complaint
    names, or else all optional ones, without those that were `asked` for. Empty if there are
    none."""
    options = body.get("stream_options", {})
    sent = {name for name in _OPTIONAL if (name in body or name in options) and name not in asked}
    named = {name for name in sent if re.search(rf"\b{name}\b", complaint)}
    if "max_completion_tokens" in complaint and "max_tokens" in body:
        named.add("max_tokens")  # it wants the newer name
    return named or sent


def _without(body: dict[str, Any], names: set[str]) -> dict[str, Any]:
    kept = {name: value for name, value in body.items() if name not in names}
    if "max_tokens" in names:
        kept["max_completion_tokens"] = body["max_tokens"]
    if "stream_options" in kept and "continuous_usage_stats" in names:
        kept["stream_options"] = {"include_usage": True}
    return kept


def asked_of(thinking: Thinking) -> dict[str, Any]:
    """Return the fields of thinking that the request set itself: they are never left out."""
    asked: dict[str, Any] = {}
    if thinking.asked:
        asked["reasoning_effort"] = thinking.asked
    if thinking.template:
        asked["chat_template_kwargs"] = _sound(dict(thinking.template))
    return asked


def _thinking_fields(thinking: Thinking) -> dict[str, Any]:
    """The fields of `asked_of` and, where none of them sets the effort, those for the effort. `off`
    is sent by two names, since many servers know one of them only."""
    asked = asked_of(thinking)
    if thinking.effort == "auto" or any(name in thinking.template for name in _SWITCHES):
        return asked
    if thinking.effort != "off":
        return {"reasoning_effort": thinking.effort, **asked}
    variables = {"enable_thinking": False, **asked.get("chat_template_kwargs", {})}
    return {"reasoning_effort": "none", **asked, "chat_template_kwargs": variables}


def _message(message: ChatMessage, with_thoughts: bool) -> dict[str, Any]:
    content = whole(message.content)
    thought = {"reasoning_content": whole(message.reasoning)} if message.reasoning else {}
    if not with_thoughts:
        thought = {}
    if not message.fields:
        return {"role": message.role, "content": content, **thought}
    # The text of a message that only calls tools is null, which some templates look for.
    text = content or (None if message.fields.get("tool_calls") else "")
    return {"role": message.role, "content": text, **thought, **_sound(dict(message.fields))}


def _sound(value: Any) -> Any:
    """Return a JSON value without lone surrogates."""
    if isinstance(value, str):
        return whole(value)
    if isinstance(value, dict):
        return {whole(name): _sound(each) for name, each in value.items()}
    return [_sound(each) for each in value] if isinstance(value, list) else value


def whole(text: str) -> str:
    """Return `text` without lone surrogates, which no JSON text may hold; pairs are joined."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
