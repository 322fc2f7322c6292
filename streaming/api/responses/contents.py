"""From the content of a client's item to its text and its parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from streaming import conf
from streaming.api.errors import ApiError
from streaming.protocol.request_items import (
    SentFile,
    SentImage,
    SentPart,
    SentRefusal,
    SentText,
)

Parts = tuple[Mapping[str, Any], ...]


@dataclass(frozen=True, slots=True)
class Abilities:
    """What the model that answers takes besides text."""

    images: bool = False
    tools: bool = False


def content_of(
    content: str | Sequence[SentPart], param: str, model: Abilities
) -> tuple[str, Parts]:
    """Return the text of a content, its text parts a line each, and its parts if it is more than
    one text. Raises ApiError, which names the part, for what the model does not take."""
    if isinstance(content, str):
        return _bounded(content, param), ()
    texts: list[str] = []
    parts: list[Mapping[str, Any]] = []
    for number, part in enumerate(content):
        match part:
            case SentText():
                texts.append(part.text)
                parts.append({"type": "input_text", "text": part.text})
            case SentRefusal():
                texts.append(part.refusal)
                parts.append({"type": "input_text", "text": part.refusal})
            case SentImage():
                parts.append(_image(part, f"{param}.{number}", model))
            case SentFile():
                message = "Files are not taken here yet; send their text."
                raise ApiError(400, "unsupported_value", message, f"{param}.{number}.type")
    text = _bounded("\n".join(texts), param)
    return text, () if len(parts) == len(texts) == 1 else tuple(parts)


def _image(part: SentImage, param: str, model: Abilities) -> Mapping[str, Any]:
    if not model.images:
        message = "This model takes text only: it cannot be given images."
        raise ApiError(400, "invalid_request_error", message, f"{param}.type")
    if not part.image_url:
        message = "Images are not kept here yet; send `image_url`."
        raise ApiError(400, "unsupported_value", message, f"{param}.file_id")
    if not part.image_url.startswith(("data:image/", "https://", "http://")):
        message = "An image is a data URL (`data:image/...`), or has an address (`https://...`)."
        raise ApiError(400, "invalid_value", message, f"{param}.image_url")
    return {"type": "input_image", "image_url": part.image_url, "detail": part.detail or "auto"}


def _bounded(text: str, param: str) -> str:
    limit = conf.get().max_input_chars
    if len(text) > limit:
        said = f"The text has {len(text):,} characters; at most {limit:,} are allowed."
        raise ApiError(400, "input_too_long", said, param)
    return text
