"""The parts of a message's content, as clients of Chat Completions send them, and as Open Responses
names them.

Text parts alone are one text, a line each. Beside an image they stay parts.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from pydantic_core import PydanticCustomError

MOST_PARTS = 100

_DETAILS = ("auto", "low", "high")
_IMAGE_URL = re.compile(r"https?://[!-~]+|data:image/[\w.+-]+;base64,[A-Za-z0-9+/=_-]+", re.ASCII)
_MOST_ADDRESS_CHARS = 8_192  # of an image that is not sent along


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
_PARTS = {
    "type": "array",
    "items": {"anyOf": [_TEXT_PART, _IMAGE_PART]},
    "minItems": 1,
    "maxItems": MOST_PARTS,
}
CONTENT_SCHEMA = {
    "anyOf": [{"type": "string"}, _PARTS],
    "description": "Text, or a list of parts. Parts of text become a line each; images go to "
    "models that take them, and are refused by others.",
}


class Content(NamedTuple):
    """What is text of a content, and, where that is not all, its parts (`protocol.items.Part`)."""

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
    text = "\n".join(part["text"] for part in parts if part["type"] == "input_text")
    is_text = all(part["type"] == "input_text" for part in parts)
    return Content(text, () if is_text else tuple(parts))


def _part(number: int, said: object) -> dict[str, Any]:
    part = said if isinstance(said, dict) else {}
    match part.get("type"):
        case "text":
            return {"type": "input_text", "text": _text(number, part, "text")}
        case "refusal":  # of the assistant's, in what was said before
            return {"type": "input_text", "text": _text(number, part, "refusal")}
        case "image_url":
            return _image(number, part.get("image_url"))
        case kind:
            raise _invalid(
                number,
                "is of type {kind}; only `text` and `image_url` are supported.",
                kind=repr(kind)[:50],
            )


def _text(number: int, part: Mapping[str, Any], name: str) -> str:
    if not isinstance(text := part.get(name), str):
        raise _invalid(number, "lacks `{name}`.", name=name)
    return text


def _image(number: int, said: object) -> dict[str, Any]:
    image = {"url": said} if isinstance(said, str) else said if isinstance(said, dict) else {}
    url, detail = image.get("url"), image.get("detail") or "auto"
    if not isinstance(url, str):
        raise _invalid(number, "lacks `image_url.url`.")
    is_sent_along = url.startswith("data:")
    if not _IMAGE_URL.fullmatch(url) or not (is_sent_along or len(url) <= _MOST_ADDRESS_CHARS):
        raise _invalid(
            number, "has an `image_url` that is neither an `http` address nor a data URL of an "
            "image in Base64."
        )  # fmt: skip
    if detail not in _DETAILS:
        raise _invalid(number, "has another `detail` than `auto`, `low` or `high`.")
    return {"type": "input_image", "image_url": url, "detail": detail}


def _invalid(number: int, words: str, **values: Any) -> PydanticCustomError:
    """Return the error for the part of this number; `words` follow its name."""
    message = "Part {number} of the content " + words
    return PydanticCustomError("invalid_content", message, {"number": number, **values})
