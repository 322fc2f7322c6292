"""What a file says that a model's server said besides text: read by the same code as what one has
said here, so whatever has not the form of it is left out."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

MOST_CALLS = 1_000
"""Calls of one answer."""

Short = Annotated[str, Field(max_length=200)]


class _Form(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True)


class _Function(_Form):
    name: Short = ""
    arguments: str = ""


class _Call(_Form):
    id: Short = ""
    type: Literal["function"] = "function"
    function: _Function


class _NumberedCall(_Call):
    index: Annotated[int, Field(ge=0, lt=MOST_CALLS)]


class _Details(BaseModel):
    model_config = ConfigDict(extra="allow", strict=True)

    cached_tokens: Annotated[int, Field(ge=0)] = 0


class _Usage(BaseModel):
    model_config = ConfigDict(extra="allow", strict=True)

    prompt_tokens_details: _Details = _Details()


class _Refusal(_Form):
    refusal: str


class _Calls(_Form):
    tool_calls: Annotated[list[_Call], Field(min_length=1, max_length=MOST_CALLS)]


class _NumberedCalls(_Form):
    tool_calls: Annotated[list[_NumberedCall], Field(min_length=1, max_length=MOST_CALLS)]


class _Counts(_Form):
    usage: _Usage


class _Result(_Form):
    tool_call_id: Short


def passed_of(value: dict[str, Any] | None) -> dict[str, Any]:
    """Return `Response.passed` without what nobody could read."""
    found = _sound(value, _Refusal, _NumberedCalls, _Counts)
    indices = [call["index"] for call in found.get("tool_calls", ())]
    if len(set(indices)) < len(indices):  # two that would be one
        del found["tool_calls"]
    return found


def fields_of(value: dict[str, Any] | None) -> dict[str, Any]:
    """Return `Message.fields` without what nobody could read."""
    return _sound(value, _Calls, _Result)


def _sound(value: dict[str, Any] | None, *forms: type[BaseModel]) -> dict[str, Any]:
    read = {name for form in forms for name in form.model_fields}
    found = {name: field for name, field in (value or {}).items() if name not in read}
    for form in forms:
        try:
            sound = form.model_validate(value or {})
        except ValidationError:
            continue
        found |= sound.model_dump(exclude_unset=form is _Counts)
    return found
