"""The parts of a message's content, as clients of Chat Completions send them.

Text parts alone are one text, a line each. What is beside them is checked for its form here, and
taken by `attaching`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from pydantic_core import PydanticCustomError

MOST_PARTS = 100

_TEXT_PART = {
    "type": "object",
    "properties": {"type": {"const": "text"}, "text": {"type": "string"}},
    "required": ["type", "text"],
}
_IMAGE_PART = {
    "type": "object",
    "properties": {
        "type": {"const": "image_url"},
        "image_url": {
            "type": "object",
            "properties": {
                "url": {"type": "string", "description": "An address, or a data URL in Base64."},
                "detail": {"enum": ["auto", "low", "high"]},
            },
            "required": ["url"],
        },
    },
    "required": ["type", "image_url"],
}
_FILE_PART = {
    "type": "object",
    "properties": {
        "type": {"const": "file"},
        "file": {
            "type": "object",
            "properties": {
                "file_id": {"type": "string", "description": "Of a file that is kept here."},
                "file_data": {"type": "string", "description": "A data URL, or Base64."},
                "filename": {"type": "string"},
            },
        },
    },
    "required": ["type", "file"],
}
_PARTS = {
    "type": "array",
    "items": {"anyOf": [_TEXT_PART, _IMAGE_PART, _FILE_PART]},
    "minItems": 1,
    "maxItems": MOST_PARTS,
}
CONTENT_SCHEMA = {
    "anyOf": [{"type": "string"}, _PARTS],
    "description": "Text, or a list of parts. Parts of text become a line each. Of a file the "
    "model reads the text that is in it; images go to models that take them.",
}


class Content(NamedTuple):
    """What is text of a content, and, where that is not all, its parts as they came."""

    text: str
    parts: tuple[Mapping[str, Any], ...] = ()


def content_of(said: object) -> Content | None:
    """Read a content that is a list of parts; None for anything else, which is left to others.
    Raises PydanticCustomError for a part that is none."""
    if not isinstance(said, list):
        return None
    if not 0 < len(said) <= MOST_PARTS:
        raise PydanticCustomError(
            "invalid_content", "A message's content has 1 to {most} parts.", {"most": MOST_PARTS}
        )
    parts = [_part(number, each) for number, each in enumerate(said)]
    text = "\n".join(part["text"] for part in parts if part["type"] == "text")
    is_text = all(part["type"] == "text" for part in parts)
    return Content(text, () if is_text else tuple(parts))


def _part(number: int, said: object) -> Mapping[str, Any]:
    part = said if isinstance(said, dict) else {}
    match part.get("type"):
        case "text":
            return {"type": "text", "text": _text(number, part, "text")}
        case "refusal":  # of the assistant's, in what was said before
            return {"type": "text", "text": _text(number, part, "refusal")}
        case "image_url":
            image = part.get("image_url")
            url = image.get("url") if isinstance(image, dict) else image
            if not isinstance(url, str):
                raise _invalid(number, "lacks `image_url.url`.")
            return part
        case "file":
            file = part.get("file")
            if not isinstance(file, dict) or not {"file_id", "file_data"} & file.keys():
                raise _invalid(number, "lacks `file.file_data` or `file.file_id`.")
            return part
    raise _invalid(
        number,
        "is of type {kind}; only `text`, `image_url` and `file` are supported.",
        kind=repr(part.get("type"))[:50],
    )


def _text(number: int, part: Mapping[str, Any], name: str) -> str:
    if not isinstance(text := part.get(name), str):
        raise _invalid(number, "lacks `{name}`.", name=name)
    return text


def _invalid(number: int, words: str, **values: Any) -> PydanticCustomError:
    """Return the error for the part of this number; `words` follow its name."""
    message = "Part {number} of the content " + words
    return PydanticCustomError("invalid_content", message, {"number": number, **values})
