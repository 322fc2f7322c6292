"""Reads a file of conversations into drafts. Runs in a bounded process; knows no Django."""

from __future__ import annotations

import json
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import PurePosixPath
from typing import IO, Any

from streaming.pages.importing import bounds, chatgpt, open_webui, own, values
from streaming.pages.importing.bounds import Unfit, UnreadableFile
from streaming.pages.importing.elements import elements
from streaming.record.drafts import Draft


def read(path: str, drafts: str) -> None:
    """Read the file at `path`, and write into the file at `drafts` a line of JSON for each
    conversation: `{"draft": ...}`, or `{"skipped": reason, "title": ...}`.

    Raises UnreadableFile; then nothing of the file is to be imported.
    """
    count = 0
    with open(path, "rb") as file, open(drafts, "w", encoding="utf-8") as out:
        for value in _values(file):
            count += 1
            if count > bounds.MOST_CONVERSATIONS:
                raise UnreadableFile("too_many")
            out.write(json.dumps(_line(value)) + "\n")  # by the encoder in C
    if not count:
        raise UnreadableFile("nothing")


def _line(value: Any) -> dict[str, Any]:
    fields = values.mapping(value)
    try:
        return {"draft": _kind_of(fields)(fields).to_json()}
    except Unfit as error:
        reason = error.reason
    except RecursionError:
        reason = "malformed"
    title = fields.get("title") or values.mapping(fields.get("conversation")).get("title")
    return {"skipped": reason, "title": values.line(title, bounds.TITLE_CHARS)}


def _kind_of(fields: dict[str, Any]) -> Callable[[dict[str, Any]], Draft]:
    if isinstance(fields.get("format"), str) and fields["format"].startswith(own.PREFIX):
        return own.draft_of
    if "mapping" in fields:
        return chatgpt.draft_of
    if isinstance(fields.get("chat"), dict) or isinstance(fields.get("history"), dict):
        return open_webui.draft_of
    raise Unfit("unknown")


def _values(file: IO[bytes]) -> Iterator[Any]:
    start = file.read(4)
    file.seek(0)
    if start[:2] == b"PK":
        yield from _in_archive(file)
    elif not start.strip():
        raise UnreadableFile("nothing")
    else:
        yield from elements(file)


def _in_archive(file: IO[bytes]) -> Iterator[Any]:
    """Yield the values of an archive's conversations, or of all of its JSON if none are named
    so, nor their folder (as in the archive of an account here)."""
    try:
        with zipfile.ZipFile(file) as archive:
            entries = archive.infolist()
            if len(entries) > bounds.MOST_ENTRIES:
                raise UnreadableFile("too_many")
            found = [entry for entry in entries if _name_of(entry).endswith(".json")]
            named = [entry for entry in found if _name_of(entry).startswith("conversations")]
            room = bounds.MOST_JSON_BYTES
            beside = [e for e in found if PurePosixPath(e.filename).parent.name == "conversations"]
            for entry in named or beside or found:
                with archive.open(entry) as unpacked:
                    counted = _Counted(unpacked, room)
                    yield from elements(counted, room)  # type: ignore[arg-type]
                    room = counted.room
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, EOFError, RuntimeError):
        raise UnreadableFile("no_archive") from None  # damaged, or locked by a password


def _name_of(entry: zipfile.ZipInfo) -> str:
    return PurePosixPath(entry.filename).name.lower()


class _Counted:
    """A file of an archive, which says itself how long it is, and may lie."""

    def __init__(self, file: IO[bytes], room: int) -> None:
        self._file = file
        self.room = room

    def read(self, count: int) -> bytes:
        """Read bytes, `count` at most. Raises UnreadableFile when there is no more room."""
        data = self._file.read(count)
        self.room -= len(data)
        if self.room < 0:
            raise UnreadableFile("too_large")
        return data
