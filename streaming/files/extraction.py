"""What is in a file, found out within bounds: by a process of its own, which is killed when its
time or its memory is over, for all that is more than plain UTF-8 or an image's head."""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from streaming.files import encodings, images, reading
from streaming.files.errors import FileRefused, Unreadable
from streaming.files.reading import Reading
from streaming.system.bounded import BoundedPool, Overrun, Unserved

SECONDS = 8.0
MEMORY_BYTES = 512 * 2**20

_pool = BoundedPool(2, seconds=SECONDS, most_open=32, memory_bytes=MEMORY_BYTES, most_calls=1)
"""Each file has a process that has read no other. They are started with the first file."""

_SOME = 64 * 1024
_WAIT_SECONDS = 20.0
"""Seconds that a file waits for its turn, while others are read."""


@dataclass(frozen=True, slots=True)
class Content:
    """What a file is: its kind (`StoredFile.Kind`), its type as MIME names it, and the text that a
    model reads of it, empty for an image."""

    kind: str
    content_type: str
    text: str = ""


async def content_of(data: bytes, name: str, most_chars: int) -> Content:
    """Return what is in a file. Raises FileRefused."""
    if not data:
        raise FileRefused("file_empty")
    try:
        if (image := images.image_of(data)) is not None:
            return Content("image", image.content_type)
        if (found := await asyncio.to_thread(_plainly, data, name, most_chars)) is None:
            found = await _in_process(data, name, most_chars)
    except Unreadable as error:
        raise error.refusal() from None
    return Content(found.kind, found.content_type, found.text)


def _plainly(data: bytes, name: str, most_chars: int) -> Reading | None:
    """Return what a text in UTF-8 is, None for anything else. Raises Unreadable."""
    # So long a text has more characters than are allowed, and an archive begins as no text does.
    if b"\x00" in data[:_SOME] or b"%PDF-" in data[:1024]:
        return None
    if len(data) > 4 * most_chars:
        raise Unreadable("too_much_text", most_chars)
    text = encodings.utf8(data)
    return None if text is None else reading.read_text(text, name, most_chars)


async def _in_process(data: bytes, name: str, most_chars: int) -> Reading:
    path = await asyncio.to_thread(_write, data)
    until = time.monotonic() + _WAIT_SECONDS
    try:
        while True:
            try:
                return await _pool.arun(read_file, path, name, most_chars)
            except Unserved:
                if time.monotonic() > until:
                    raise FileRefused("files_busy") from None
                await asyncio.sleep(0.2)
    except (Overrun, RecursionError):
        raise FileRefused("too_hard") from None
    finally:
        await asyncio.to_thread(os.unlink, path)


def _write(data: bytes) -> str:
    """Put a file where another process can read it, and nobody else. Return its path."""
    handle, path = tempfile.mkstemp(prefix="chatstream-file-")
    with os.fdopen(handle, "wb") as file:
        file.write(data)
    return path


def read_file(path: str, name: str, most_chars: int) -> Reading:
    """Return what is in the file at `path`. Raises Unreadable. Runs in a process of its own."""
    return reading.read(Path(path).read_bytes(), name, most_chars)
