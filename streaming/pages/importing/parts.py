"""The parts of a prompt that a file has, and the items of an answer: read by the same code as what
is written here, so whatever has not the form of it is left out.

A file's bytes are not in the file: its name stays, and the text that a model reads of it, which
stands in the content of the message.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

MOST_PARTS = 1_000
"""Parts of a prompt, items of an answer."""

Count = Annotated[int, Field(ge=0, le=2**31 - 1, strict=True)]
Name = Annotated[str, Field(max_length=300)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="ignore")


class _Text(_Part):
    type: Literal["input_text"]
    text: str


class _Image(_Part):
    type: Literal["input_image"]
    filename: Name = ""
    size: Count = 0
    detail: Literal["low", "high", "auto"] = "auto"


class _File(_Part):
    type: Literal["input_file"]
    filename: Name = ""
    kind: Annotated[str, Field(max_length=8)] = "text"
    size: Count = 0
    tokens: Count = 0
    at: Count = 0
    chars: Count = 0


_PARTS = TypeAdapter(
    Annotated[
        list[Annotated[_Text | _Image | _File, Field(discriminator="type")]],
        Field(max_length=MOST_PARTS),
    ]
)
_ITEMS = TypeAdapter(
    Annotated[
        list[tuple[Literal["reasoning", "message", "refusal", "function_call"], Count]],
        Field(max_length=MOST_PARTS),
    ]
)


def parts_of(value: Any, content: str) -> list[dict[str, Any]] | None:
    """Return the parts of a message of this content; None if it is nothing but that."""
    try:
        parts = _PARTS.validate_python(value or [])
    except ValidationError:
        return None
    texts = [part.text for part in parts if isinstance(part, _Text)]
    files = [part for part in parts if isinstance(part, _File)]
    # What is shown as typed is what a model reads.
    is_whole = all(text in content for text in texts)
    if not is_whole or any(each.at + each.chars > len(content) for each in files):
        return None
    return [part.model_dump() for part in parts] or None


def items_of(
    value: Any, text: str, reasoning: str, passed: dict[str, Any]
) -> list[list[Any]] | None:
    """Return the items of an answer of this text and thought; None where they do not fit it."""
    try:
        items = _ITEMS.validate_python(value or [])
    except ValidationError:
        return None
    calls = [size for kind, size in items if kind == "function_call"]
    known = [call["index"] for call in passed.get("tool_calls", ())]
    wholes = {"message": text, "reasoning": reasoning, "refusal": passed.get("refusal", "")}
    fits = all(
        sum(size for kind, size in items if kind == name) == len(whole)
        for name, whole in wholes.items()
    )
    if not fits or sorted(calls) != sorted(known):
        return None
    return [[kind, size] for kind, size in items] or None
