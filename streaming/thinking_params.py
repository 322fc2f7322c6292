"""What a request says of thoughts: the parameters, and what of them is refused. No Django."""

from __future__ import annotations

import json
import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from streaming.engine.base import Effort

ReasoningEffort = Literal[
    "none", "minimal", "low", "medium", "high", "xhigh", "max", "default"
]  # OpenAI's words, and two that some servers have
EFFORTS: dict[str, Effort] = {
    "none": "off",
    "minimal": "low",
    "low": "low",
    "medium": "medium",
    "high": "high",
    "xhigh": "high",
    "max": "high",
    "default": "auto",
}

MOST_VARIABLES, MOST_CHARS, _MOST_DEPTH = 32, 4_096, 4
"""Of `chat_template_kwargs`: names, characters as JSON, and objects in each other."""

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")
_SWITCHES = ("enable_thinking", "thinking")
"""Variables by which templates turn thoughts on and off."""

_NOT_THEIRS = {
    "messages", "tools", "documents", "conversation", "chat_template", "add_generation_prompt",
    "continue_final_message", "tokenize", "padding", "truncation", "max_length", "return_tensors",
    "return_dict", "return_assistant_tokens_mask", "tokenizer_kwargs", "processor_kwargs",
    "raise_exception", "strftime_now",
}  # fmt: skip
"""What a template is given for every conversation, or how; so are the special tokens."""

_LARGEST = 2**53


class Reasoning(BaseModel):
    """As the Responses API says it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    effort: ReasoningEffort | None = None


def _variables(given: dict[str, Any]) -> dict[str, Any]:
    if len(given) > MOST_VARIABLES:
        raise ValueError(f"it has {len(given)} variables, at most {MOST_VARIABLES} are allowed")
    for name, value in given.items():
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name[:50]!r} is no name of a variable")
        if name in _NOT_THEIRS or name.endswith(("_token", "_tokens_map")):
            raise ValueError(f"`{name}` is not for a request to set")
        _check(name, value, _MOST_DEPTH)
    size = len(json.dumps(given, ensure_ascii=False))
    if size > MOST_CHARS:
        raise ValueError(f"it has {size:,} characters, at most {MOST_CHARS:,} are allowed")
    return given


def _check(name: str, value: Any, depth: int) -> None:
    """Raise ValueError for what is no plain JSON, or cannot be stored."""
    if depth == 0:
        raise ValueError(f"`{name}` is nested too deeply")
    if isinstance(value, str):
        if "\x00" in value or re.search("[\ud800-\udfff]", value):
            raise ValueError(f"`{name}` has U+0000 or half a character in it")
    elif isinstance(value, dict):
        for key, inner in value.items():
            _check(name, key, 1)
            _check(name, inner, depth - 1)
    elif isinstance(value, list):
        for inner in value:
            _check(name, inner, depth - 1)
    elif isinstance(value, int | float) and not abs(value) <= _LARGEST:
        raise ValueError(f"`{name}` has a number that is too large")


Variables = Annotated[dict[str, Any], AfterValidator(_variables)]


class ThinkingParams(BaseModel):
    """What a request says of thoughts. A model that does not think takes no notice."""

    reasoning_effort: ReasoningEffort | None = Field(
        None,
        description="How much a model that can think does so before it answers; `none`: not at "
        "all. `minimal` is taken as `low`, `xhigh` and `max` as `high`, `default` as its own way.",
    )
    reasoning: Reasoning | None = Field(
        None, description="The same as `reasoning_effort`, as the Responses API has it."
    )
    enable_thinking: bool | None = Field(
        None, strict=True, description="Whether it thinks; `true` is a medium effort."
    )
    chat_template_kwargs: Variables | None = Field(
        None,
        description="Variables for the model's chat template, such as `enable_thinking`: up to "
        f"{MOST_VARIABLES}, {MOST_CHARS:,} characters of JSON in all.",
    )

    @model_validator(mode="after")
    def _says_one_thing(self) -> ThinkingParams:
        words = {self.reasoning_effort, self.reasoning and self.reasoning.effort} - {None}
        if len(words) > 1:
            _contradict("reasoning", "it says another effort than `reasoning_effort`")
        variables = self.chat_template_kwargs or {}
        said, switch = self.enable_thinking, switch_of(self)
        if {variables.get(name) for name in _SWITCHES if _is_switch(variables, name)} - {switch}:
            if said is None:
                _contradict("chat_template_kwargs", "it says one thing and the opposite")
            _contradict("enable_thinking", "`chat_template_kwargs` says the opposite")
        efforts = {EFFORTS[word] for word in words if word}
        inner = variables.get("reasoning_effort")
        if isinstance(inner, str) and efforts and efforts != {EFFORTS.get(inner)}:
            _contradict("chat_template_kwargs", "it says another effort than is asked for")
        efforts -= {"auto"}
        if switch is not None and efforts and (efforts == {"off"}) == switch:
            param = "enable_thinking" if said is not None else "chat_template_kwargs"
            _contradict(param, "the effort that is asked for says the opposite")
        return self


def _contradict(param: str, text: str) -> None:
    raise PydanticCustomError("contradiction", text, {"param": param})


def switch_of(params: ThinkingParams) -> bool | None:
    """Whether it turns thoughts on or off, by whatever name; None: neither."""
    if params.enable_thinking is not None:
        return params.enable_thinking
    variables = params.chat_template_kwargs or {}
    return next((variables[name] for name in _SWITCHES if _is_switch(variables, name)), None)


def _is_switch(variables: dict[str, Any], name: str) -> bool:
    return isinstance(variables.get(name), bool)
