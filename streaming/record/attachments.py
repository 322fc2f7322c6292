"""The parts of a message that is more than one text: what was typed, which files came with it, and
what an engine is given.

A part of `Message.parts` is as Open Responses names it. That of a file also says where in the
message's `content` its text stands, framed by its name: from `at` on, `chars` characters.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from streaming.engine.base import ChatMessage
from streaming.models import StoredFile

Part = Mapping[str, Any]

SEPARATOR = "\n\n"
"""Between the texts of a content."""
FILE_PREFIX = "file_"
"""Of a file's id on the wire (`protocol.ids`)."""

IMAGE_GONE: Part = {"type": "input_text", "text": "[an image that was deleted]"}
"""What an engine is given in the place of one."""

_FENCES = re.compile("`{3,}")


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file as a page shows it. `key` is its id, None for an image by its address (`url`)."""

    key: UUID | None
    name: str
    kind: str
    size: int = 0
    tokens: int = 0
    url: str = ""

    @property
    def is_image(self) -> bool:
        """Whether it is shown as a picture."""
        return self.kind == "image"


def framed(name: str, text: str) -> str:
    """Return a file's text as a model reads it: within a fence that is nowhere in it."""
    longest = max((len(run) for run in _FENCES.findall(text)), default=2)
    fence = "`" * (longest + 1)
    return f'File "{name}":\n{fence}\n{text}\n{fence}'


def typed_text(content: str, parts: Sequence[Part] | None) -> str:
    """Return what of a message somebody wrote, without the files that came with it."""
    if not parts:
        return content
    texts = (part["text"] for part in parts if part.get("type") == "input_text")
    return SEPARATOR.join(text for text in texts if text)


def titled_by(content: str, parts: Sequence[Part] | None) -> str:
    """Return what a conversation is named after: what was typed, else the names of files."""
    if typed := typed_text(content, parts).strip():
        return typed
    return ", ".join(each.name for each in attachments(parts) if each.name) or content


def attachments(parts: Sequence[Part] | None) -> list[Attachment]:
    """Return the files that came with a message, in their order."""
    found = []
    for part in parts or ():
        if part.get("type") in ("input_file", "input_image"):
            found.append(
                Attachment(
                    key_of(part.get("file_id")),
                    part.get("filename") or "",
                    part.get("kind") or "image",
                    part.get("size") or 0,
                    part.get("tokens") or 0,
                    "" if part.get("file_id") else part.get("image_url") or "",
                )
            )
    return found


def file_ids(parts: Iterable[Part] | None) -> set[UUID]:
    """Return the ids of the files that parts name."""
    return {key for part in parts or () if (key := key_of(part.get("file_id"))) is not None}


def key_of(file_id: object) -> UUID | None:
    """Return the key of a file by its id on the wire, None for what is none."""
    if not isinstance(file_id, str) or len(file_id) > 50:
        return None
    try:
        return UUID(file_id.removeprefix(FILE_PREFIX))
    except ValueError:
        return None


def part_of(
    file: StoredFile, *, at: int = 0, chars: int = 0, detail: str = "auto"
) -> dict[str, Any]:
    """Return the part of a message that a file is; `at` and `chars`: where its text is in the
    content."""
    common = {"file_id": f"{FILE_PREFIX}{file.pk.hex}", "filename": file.name, "size": file.size}
    if file.kind == StoredFile.Kind.IMAGE:
        return {
            "type": "input_image",
            "image_url": None,
            "detail": detail,
            **common,
            "kind": "image",
        }
    return {
        "type": "input_file",
        **common,
        "kind": str(file.kind),
        "tokens": file.tokens,
        "at": at,
        "chars": chars,
    }


def engine_parts(content: str, parts: Sequence[Part] | None) -> tuple[Part, ...]:
    """Return what `ChatMessage.parts` has of a message: texts, and images by an address, or by the
    `file_id` of one that is kept here. Empty where `content` says all of it."""
    if not any(part.get("type") == "input_image" for part in parts or ()):
        return ()
    found: list[Part] = []
    for part in parts or ():
        if part["type"] == "input_image":
            url, file_id = part.get("image_url"), part.get("file_id")
            image = {
                "type": "input_image",
                "image_url": url,
                "detail": part.get("detail") or "auto",
            }
            if not url and key_of(file_id) is None:
                found.append(IMAGE_GONE)
            else:
                found.append(image if url else {**image, "file_id": file_id})
            continue
        if text := _text_of(part, content):
            found.append({"type": "input_text", "text": text})
    return tuple(found)


def retyped(
    content: str, parts: Sequence[Part] | None, typed: str
) -> tuple[str, list[dict[str, Any]] | None]:
    """Return the content and the parts of a message in which something else is typed; what came
    with it stays."""
    if not parts:
        return typed, None
    texts, found = [], []
    if typed:
        texts.append(typed)
        found.append({"type": "input_text", "text": typed})
    for part in parts:
        if part.get("type") == "input_text":
            continue
        kept = dict(part)
        if text := _text_of(part, content):
            kept |= {"at": _length(texts), "chars": len(text)}
            texts.append(text)
        found.append(kept)
    return SEPARATOR.join(texts), found


def _text_of(part: Part, content: str) -> str:
    """Return the text that a model reads of a part, empty for an image."""
    if part.get("type") == "input_file":
        at = part.get("at", 0)
        return content[at : at + part.get("chars", 0)]
    text: str = part.get("text") or ""
    return text


def _length(texts: Sequence[str]) -> int:
    """Return where the next text begins when it is joined to these."""
    return sum(map(len, texts)) + len(SEPARATOR) * len(texts)


def with_engine_parts(turn: ChatMessage, parts: Sequence[Part] | None) -> ChatMessage:
    """Return a turn with the parts that an engine is given, if it has any."""
    found = engine_parts(turn.content, parts)
    if not found:
        return turn
    return ChatMessage(turn.role, turn.content, turn.fields, turn.reasoning, found)
