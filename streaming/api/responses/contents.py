"""From the content of a client's item to its text and its parts."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from streaming import conf
from streaming.api.errors import ApiError
from streaming.files.errors import FileRefused
from streaming.files.parts import take_parts
from streaming.protocol.request_items import SentFile, SentImage, SentPart, SentRefusal
from streaming.record.tasks import Requester

Parts = tuple[Mapping[str, Any], ...]

_NUMBER = re.compile(r"\[(\d+)\]")


@dataclass(frozen=True, slots=True)
class Asking:
    """Who asks, and which model: as its worker describes it, empty if nobody knows it yet, and
    whether it takes calls of tools."""

    requester: Requester
    details: Mapping[str, Any] = field(default_factory=dict, hash=False)
    takes_tools: bool = False


@dataclass(frozen=True, slots=True)
class Content:
    """The text of a content, that of files included, and its parts if it is more than one text."""

    text: str
    parts: Parts = ()


async def content_of(content: str | Sequence[SentPart], param: str, asking: Asking) -> Content:
    """Return the content of a user's message, or of a tool's. Files are stored. Raises ApiError,
    which names the part, for what is not taken."""
    if isinstance(content, str):
        return Content(_bounded(content, param))
    if not any(isinstance(part, SentFile | SentImage) for part in content):
        parts = tuple({"type": "input_text", "text": _text(part)} for part in content)
        text = _bounded("\n".join(part["text"] for part in parts), param)
        return Content(text, parts if len(parts) > 1 else ())
    sent = [_sent(part) for part in content]
    try:
        taken = await take_parts(asking.requester, sent, asking.details, param=param)
    except FileRefused as error:
        raise _refused(error) from None
    _bounded(taken.typed, param)
    return Content(taken.content, tuple(taken.parts or ()))


def text_of(content: str | Sequence[SentPart], param: str) -> str:
    """Return a content that is text alone. Raises ApiError for any other."""
    if isinstance(content, str):
        return _bounded(content, param)
    for number, part in enumerate(content):
        if isinstance(part, SentFile | SentImage):
            text = "Only a user's message, or a tool's result, has files and images."
            raise ApiError(400, "invalid_value", text, f"{param}.{number}.type")
    return _bounded("\n".join(map(_text, content)), param)


def _text(part: Any) -> str:
    text: str = part.refusal if isinstance(part, SentRefusal) else part.text
    return text


def _sent(part: SentPart) -> dict[str, Any]:
    if isinstance(part, SentFile | SentImage):
        return part.model_dump(exclude_none=True)
    return {"type": "input_text", "text": _text(part)}


def _refused(error: FileRefused) -> ApiError:
    param = _NUMBER.sub(r".\1", error.param or "") or None
    if error.is_temporary:
        return ApiError(503, "unavailable", error.message, param, {"Retry-After": "5"})
    if error.code == "no_images":
        text = "This model takes text only: it cannot be given images."
        return ApiError(400, "invalid_request_error", text, param)
    return ApiError(400, error.code, error.message, param)


def _bounded(text: str, param: str) -> str:
    limit = conf.get().max_input_chars
    if len(text) > limit:
        said = f"The text has {len(text):,} characters; at most {limit:,} are allowed."
        raise ApiError(400, "input_too_long", said, param)
    return text
