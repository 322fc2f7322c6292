"""The parts of a message's content, in the words of each API.

A message has parts if its content is more than one text; those without are sent as a text, which
every server understands.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from streaming.engine.base import ChatMessage
from streaming.engine.upstream import faults
from streaming.engine.upstream.surrogates import sound, whole

_TEXTS = ("input_text", "output_text", "text")
_FILE = ("filename", "file_data", "file_url", "file_id")


def has_images(message: ChatMessage) -> bool:
    """Return whether a message shows an image."""
    return any(part.get("type") == "input_image" for part in message.parts)


def is_plain(message: ChatMessage) -> bool:
    """Return whether its content is text alone."""
    return all(part.get("type") in _TEXTS for part in message.parts)


def for_chat(message: ChatMessage) -> list[dict[str, Any]]:
    """Return the parts as Chat Completions names them. Raises UpstreamFault for one that it has no
    name for."""
    return [_chat_part(part) for part in message.parts]


def for_responses(message: ChatMessage) -> list[dict[str, Any]]:
    """Return the parts as Responses names them. Raises UpstreamFault for one that it has no name
    for."""
    is_assistant = message.role == "assistant"
    return [_responses_part(part, is_assistant) for part in message.parts]


def _chat_part(part: Mapping[str, Any]) -> dict[str, Any]:
    match part.get("type"):
        case "input_text" | "output_text" | "text":
            return {"type": "text", "text": whole(part["text"])}
        case "refusal":
            return {"type": "refusal", "refusal": whole(part["refusal"])}
        case "input_image" if part.get("image_url"):
            image = {"url": whole(part["image_url"])}
            if part.get("detail") not in (None, "auto"):
                image["detail"] = part["detail"]
            return {"type": "image_url", "image_url": image}
        case "input_file" if part.get("text"):
            return {"type": "text", "text": whole(part["text"])}
        case "input_file":
            named = {name: part[name] for name in _FILE if part.get(name)}
            return {"type": "file", "file": sound(named)}
    raise faults.unknown_part()


def _responses_part(part: Mapping[str, Any], is_assistant: bool) -> dict[str, Any]:
    match part.get("type"):
        case "input_text" | "output_text" | "text":
            return text_part(part["text"], is_assistant=is_assistant)
        case "refusal":
            return {"type": "refusal", "refusal": whole(part["refusal"])}
        case "input_image" if part.get("image_url"):
            detail = part.get("detail") or "auto"
            return {"type": "input_image", "image_url": whole(part["image_url"]), "detail": detail}
        case "input_file" if part.get("text"):
            return text_part(part["text"], is_assistant=is_assistant)
        case "input_file":
            named: dict[str, Any] = {name: part[name] for name in _FILE if part.get(name)}
            return {"type": "input_file", **sound(named)}
    raise faults.unknown_part()


def text_part(text: str, *, is_assistant: bool) -> dict[str, Any]:
    """Return a text as a part of Responses."""
    if is_assistant:
        return {"type": "output_text", "text": whole(text), "annotations": []}
    return {"type": "input_text", "text": whole(text)}
