"""Parameters and fields of messages that only a model's server understands: they are passed on to
it, checked by name and bounded in size, and refused by name where the model runs here.

`n` stays 1: an answer is what has a place in the queue. Several to one request would run on one
place, count once for the fairness, and could not be gone on with after a break.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, Field
from pydantic_core import PydanticCustomError

from streaming.api.errors import ApiError

MOST_CHARS = 262_144
"""Of all parameters together, and of one message's fields, as JSON."""

MOST_TOOLS = 128
_NAME = Field(max_length=200)

_OFF: dict[str, tuple[object, ...]] = {
    "tools": (None, []),
    "tool_choice": (None, "none", "auto"),
    "response_format": (None, {"type": "text"}),
    "logprobs": (None, False),
    "top_logprobs": (None, 0),
    "presence_penalty": (None, 0),
    "frequency_penalty": (None, 0),
    "logit_bias": (None, {}),
}
"""Those that are passed on, and with which values they ask for nothing."""

_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")
"""In JSON; behind an odd number of backslashes it is text, as patterns of schemas have it."""

_ADVICE = ("parallel_tool_calls", "service_tier", "prompt_cache_key", "safety_identifier")
"""Those that nobody must follow."""


def _one_answer(value: object) -> object:
    if isinstance(value, int) and not isinstance(value, bool) and value != 1:
        raise PydanticCustomError(
            "unsupported_value",
            "`n` may be 1 only: each answer has a place in the queue of its own. Send the request "
            "as often as you want answers.",
            {"param": "n"},
        )
    return value


def _typed(value: object) -> object:
    if isinstance(value, dict) and not isinstance(value.get("type"), str):
        raise ValueError("an object with a `type` is expected")
    return value


Typed = Annotated[dict[str, Any], BeforeValidator(_typed)]


LogitBias = Annotated[
    dict[str, Annotated[float, Field(ge=-100, le=100)]] | None, Field(max_length=1024)
]


class OneAnswer(BaseModel):
    """A request has one answer."""

    n: Annotated[Literal[1] | None, BeforeValidator(_one_answer)] = None


class PassedOn(OneAnswer):
    """Parameters for the model's server, where there is one before which this one stands; where
    the model runs here, they must ask for nothing (`tools` with `tool_choice` `none` do)."""

    tools: list[Typed] | None = Field(None, max_length=MOST_TOOLS)
    tool_choice: Literal["none", "auto", "required"] | Typed | None = None
    parallel_tool_calls: bool | None = None
    response_format: Typed | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = Field(None, ge=0, le=20, strict=True)
    presence_penalty: float | None = Field(None, ge=-2, le=2)
    frequency_penalty: float | None = Field(None, ge=-2, le=2)
    service_tier: Annotated[str, Field(max_length=64)] | None = None
    prompt_cache_key: Annotated[str, Field(max_length=64)] | None = None
    safety_identifier: Annotated[str, Field(max_length=64)] | None = None
    logit_bias: LogitBias = None


class ToolFunction(BaseModel):
    """The function that the assistant called, and its arguments as JSON."""

    name: Annotated[str, _NAME]
    arguments: str


class ToolCall(BaseModel):
    """A call of a tool in a message of the assistant."""

    id: Annotated[str, _NAME]
    type: Literal["function"] = "function"
    function: ToolFunction


class MessageFields(BaseModel):
    """What a message has besides its text, for the model's server."""

    tool_calls: list[ToolCall] | None = Field(
        None, max_length=MOST_TOOLS, description="Of the assistant's; `content` may be null then."
    )
    tool_call_id: Annotated[str, _NAME] | None = Field(
        None, description="Of a `tool`'s: whose result it is."
    )
    name: Annotated[str, _NAME] | None = None


def with_content(message: Any) -> Any:
    """A message that calls tools, or thinks, whose text may be null or missing."""
    if not isinstance(message, dict) or message.get("role") != "assistant":
        return message
    says_more = any(map(message.get, ("tool_calls", "reasoning_content", "reasoning")))
    if says_more and message.get("content") is None:
        return {**message, "content": ""}
    return message


def passed_on(request: PassedOn, *, to_server: bool) -> dict[str, Any] | None:
    """The parameters for the model's server, None where there is none. Raises ApiError for one
    that would change the answer and cannot."""
    given = _given(request, (*_OFF, *_ADVICE))
    if not to_server:
        _refuse(given)
        return None
    if request.tool_choice not in (None, "none", "auto") and not request.tools:
        raise ApiError(400, "invalid_value", "`tool_choice` goes with `tools`.", "tool_choice")
    return _storable(given, "tools")


def some_passed_on(
    request: BaseModel, names: Iterable[str], *, to_server: bool
) -> dict[str, Any] | None:
    """Return those of the named parameters that are for the model's server, as `passed_on`."""
    given = _given(request, names)
    if to_server:
        return _storable(given, "logit_bias")
    if given.get("logprobs") is not None:  # 0 asks for those of the tokens that were drawn
        raise _unsupported("logprobs")
    _refuse(given)
    return None


def _given(request: BaseModel, names: Iterable[str]) -> dict[str, Any]:
    return {name: value for name in names if (value := getattr(request, name)) is not None}


def _unsupported(name: str) -> ApiError:
    return ApiError(400, "unsupported_parameter", f"`{name}` is not supported here.", name)


def _refuse(given: Mapping[str, Any]) -> None:
    for name, value in given.items():
        if name in _ADVICE or value in _OFF[name]:
            continue
        if name == "tools" and given.get("tool_choice") == "none":
            continue
        if name == "tools":
            text = "`tools` are not supported by this model; with `tool_choice` `none` they pass."
            raise ApiError(400, "unsupported_parameter", text, name)
        raise _unsupported(name)


def fields_of(number: int, role: str, fields: MessageFields, *, to_server: bool) -> dict[str, Any]:
    """What the message of this number has besides its text. Raises ApiError."""
    belongs = {"assistant": ("tool_calls",), "tool": ("tool_call_id",)}
    names = (*belongs.get(role, ()), "name")
    given = {
        name: value for name, value in fields.model_dump(exclude_none=True).items() if name in names
    }
    param = f"messages.{number}"
    if not to_server:
        if role == "tool":
            text = "This model takes no messages of tools."
            raise ApiError(400, "invalid_value", text, f"{param}.role")
        if given.get("tool_calls"):
            text = "This model takes no messages that call tools."
            raise ApiError(400, "unsupported_parameter", text, f"{param}.tool_calls")
        return {}
    if role == "tool" and "tool_call_id" not in given:
        text = "The message of a tool needs `tool_call_id`."
        raise ApiError(400, "missing_required_parameter", text, f"{param}.tool_call_id")
    if not given.get("tool_calls", True):
        del given["tool_calls"]
    return _storable(given, param)


def _storable(given: dict[str, Any], param: str) -> dict[str, Any]:
    text = json.dumps(given)
    if len(text) > MOST_CHARS:
        said = (
            f"What is passed on has {len(text):,} characters; at most {MOST_CHARS:,} are allowed."
        )
        raise ApiError(400, "input_too_long", said, param)
    if _NUL.search(text):
        raise ApiError(400, "invalid_value", "The character U+0000 is not allowed.", param)
    return given
