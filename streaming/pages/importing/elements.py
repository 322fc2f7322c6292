"""The values of a JSON text, one at a time: of an array each, else the one that it is."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator
from typing import IO, Any, NoReturn

from streaming.pages.importing import bounds
from streaming.pages.importing.bounds import UnreadableFile

_CHUNK = 2**16
_BLANK = re.compile(r"[ \t\r\n]*")


def elements(file: IO[bytes], most_bytes: int = bounds.MOST_JSON_BYTES) -> Iterator[Any]:
    """Yield the values of a file's array, or its only value, with no more than one in memory.

    Raises UnreadableFile for what is no JSON, is nested too deeply, or too large.
    """
    reader = _Reader(file, most_bytes)
    if reader.peek() != "[":
        yield reader.value()
    else:
        reader.skip(1)
        while reader.peek() != "]":
            yield reader.value()
            if reader.peek() == ",":
                reader.skip(1)
                if reader.peek() == "]":
                    raise UnreadableFile("no_json")
            elif reader.peek() != "]":
                raise UnreadableFile("no_json")
        reader.skip(1)
    if reader.peek():
        raise UnreadableFile("no_json")


class _Reader:
    def __init__(self, file: IO[bytes], most_bytes: int) -> None:
        self._file = file
        self._room = most_bytes
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")()
        self._json = json.JSONDecoder(parse_constant=_refuse)
        self._text = ""
        self._at = 0
        self._is_whole = False

    def peek(self) -> str:
        """Return the next character that is not blank; "" at the end."""
        while True:
            found = _BLANK.match(self._text, self._at)
            self._at = found.end() if found else self._at
            if self._at < len(self._text) or not self._read(_CHUNK):
                return self._text[self._at : self._at + 1]

    def skip(self, count: int) -> None:
        """Go on behind so many characters."""
        self._at += count

    def value(self) -> Any:
        """Return the next value."""
        self.peek()
        self._text, self._at = self._text[self._at :], 0
        while True:
            try:
                found, end = self._json.raw_decode(self._text)
            except RecursionError:
                raise UnreadableFile("too_deep") from None
            except ValueError:
                if len(self._text) > bounds.MOST_CONVERSATION_CHARS:
                    raise UnreadableFile("large_conversation") from None
                # As much again: what is read over and over is twice the text at most.
                if not self._read(max(_CHUNK, len(self._text))):
                    raise UnreadableFile("no_json") from None
                continue
            if end == len(self._text) and not self._is_whole and self._read(_CHUNK):
                continue  # a number may go on
            self._at = end
            return found

    def _read(self, count: int) -> bool:
        """Read on; return whether there was more."""
        if self._is_whole:
            return False
        data = self._file.read(min(count, self._room + 1))
        self._room -= len(data)
        if self._room < 0:
            raise UnreadableFile("too_large")
        self._is_whole = not data
        try:
            self._text += self._decoder.decode(data, final=not data)
        except UnicodeDecodeError:
            raise UnreadableFile("no_text") from None
        return bool(data)


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON")
