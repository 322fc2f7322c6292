"""The images of a conversation, read when an engine is to see them.

Not in the database's thread, for which everybody waits, and in no transaction: a storage may be
slow, or elsewhere. What it raises ends one response; put back, that would hold up all others.
"""

from __future__ import annotations

import asyncio
import base64
import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

from streaming.engine.base import ChatMessage
from streaming.models import StoredFile
from streaming.record import files, stored_bytes
from streaming.record.attachments import IMAGE_GONE, file_ids, key_of
from streaming.record.database import in_database
from streaming.record.starts import Work

logger = logging.getLogger(__name__)

MOST_BYTES = 50 * 2**20
"""Of all images of one prompt. On its way to an engine each is in memory several times."""


class ImagesRefused(Exception):
    """A response's images cannot be shown to a model; its text is for the reader."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


async def with_images(work: Work) -> Work:
    """Return a work whose images are data URLs. Of a conversation with too many, the oldest turns
    are left out, if it may be trimmed. Raises ImagesRefused."""
    keys = {key for turn in work.messages for key in file_ids(turn.parts)}
    if not keys:
        return work
    found: dict[UUID, StoredFile] = await in_database(files.by_key)(keys)
    work = _fitting(work, found)
    keys = {key for turn in work.messages for key in file_ids(turn.parts)}
    urls: dict[UUID, str] = {}
    for key in keys & found.keys():
        urls[key] = await asyncio.to_thread(_data_url, found[key], str(work.row.pk))
    return replace(work, messages=tuple(_shown(turn, urls) for turn in work.messages))


def _fitting(work: Work, found: Mapping[UUID, StoredFile]) -> Work:
    begin = _first_that_fits(work.messages, found)
    if not begin:
        return work
    turns = range(begin, len(work.messages))
    begin = next((at for at in turns if work.messages[at].role == "user"), len(work.messages))
    if not work.trims or begin == len(work.messages):
        most = MOST_BYTES // 2**20
        text = f"The images of the conversation have more than {most} MB together."
        raise ImagesRefused("context_length_exceeded", text)
    kept = work.messages[:1] if work.messages[0].role == "system" else ()
    left_out = work.left_out + begin - len(kept)
    return replace(work, messages=(*kept, *work.messages[begin:]), left_out=left_out)


def _first_that_fits(turns: Sequence[ChatMessage], found: Mapping[UUID, StoredFile]) -> int:
    """Return the number of the first turn behind the last one whose images are too much."""
    total = 0
    for at in range(len(turns) - 1, -1, -1):
        for part in turns[at].parts:
            key = key_of(part.get("file_id"))
            total += found[key].size if key and key in found else 0
        if total > MOST_BYTES:
            return at + 1
    return 0


def _data_url(file: StoredFile, response_id: str) -> str:
    try:
        data = stored_bytes.read(file.place)
    except Exception as error:  # of whatever storage
        logger.exception("An image of response %s cannot be read.", response_id)
        text = "An image of the conversation cannot be read. Try again later, or without it."
        raise ImagesRefused("internal_error", text) from error
    return f"data:{file.content_type};base64,{base64.b64encode(data).decode()}"


def _shown(turn: ChatMessage, urls: Mapping[UUID, str]) -> ChatMessage:
    if not any(part.get("file_id") for part in turn.parts):
        return turn
    return replace(turn, parts=tuple(_shown_part(part, urls) for part in turn.parts))


def _shown_part(part: Mapping[str, Any], urls: Mapping[UUID, str]) -> Mapping[str, Any]:
    key = key_of(part.get("file_id"))
    if key is None:
        return part
    if key not in urls:
        return IMAGE_GONE
    rest = {name: value for name, value in part.items() if name != "file_id"}
    return {**rest, "image_url": urls[key]}
