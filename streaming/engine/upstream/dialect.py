"""What is asked of the server, in the words that it understands."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Collection, Sequence
from typing import Any

from streaming.engine.base import ChatMessage, SamplingParams, Thinking

CONTINUING = {"vllm", "sglang", "llamacpp", "library"}
"""Servers that go on with an assistant's message, by the `owned_by` of their models; the last is
Ollama's."""

_NEVER_ECHOING = {"vllm", "sglang", "library"}

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
"""Fields without which an answer is still an answer."""

_SWITCHES = ("enable_thinking", "thinking")
"""Variables of templates that say by themselves whether anything is thought."""


class Dialect:
    """`refused` are fields that the server does not take. `continues` None: as its name tells.
    `echoes`: whether it says what it is to continue once more; None: nobody has asked yet.
    `thinks`: it has told a thought; `thinks_again`: even where it was to go on with a text."""

    def __init__(self, continues: bool | None = None) -> None:
        self.server = ""  # the model's `owned_by`
        self._continues = continues
        self.refused: set[str] = set()
        self.echoes: bool | None = None
        self.thinks = self.thinks_again = False
        self.asking = asyncio.Lock()

    @property
    def continues(self) -> bool:
        """Whether the server goes on with an assistant's message."""
        return self.server in CONTINUING if self._continues is None else self._continues

    def may_echo(self, body: dict[str, Any]) -> bool:
        """Whether the server may say the last message of this request once more."""
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
        """The request's JSON, without what is refused or to be left out. A last message of the
        assistant's is to be continued. What turns thought is sent along of requests to `/v1/`,
        whose clients have sent it themselves."""
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
        """What was asked for: the server has defaults of its own, often its model's."""
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
    """Fields that may be left out of a refused request: the optional ones that the server names,
    or else all, but for those that were `asked` for. Empty if there is nothing to leave out."""
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
    """The fields for what somebody asked for, in whose stead nothing else is of use."""
    asked: dict[str, Any] = {}
    if thinking.asked:
        asked["reasoning_effort"] = thinking.asked
    if thinking.template:
        asked["chat_template_kwargs"] = _sound(dict(thinking.template))
    return asked


def _thinking_fields(thinking: Thinking) -> dict[str, Any]:
    """Those, and where none of them says how much, the operator's way. That nothing is to be
    thought is said by both names, since many servers know one of them."""
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
    # What a call of tools has for its text is null, to which some templates pay heed.
    text = content or (None if message.fields.get("tool_calls") else "")
    return {"role": message.role, "content": text, **thought, **_sound(dict(message.fields))}


def _sound(value: Any) -> Any:
    """A JSON value without lone surrogates."""
    if isinstance(value, str):
        return whole(value)
    if isinstance(value, dict):
        return {whole(name): _sound(each) for name, each in value.items()}
    return [_sound(each) for each in value] if isinstance(value, list) else value


def whole(text: str) -> str:
    """`text` without lone surrogates, which no JSON text may hold; pairs become characters."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
