"""Reads the binary values of a GGUF header, one after the other.

The format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import IO, Any

import numpy as np

from streaming.engine.base import EngineError

STRING, ARRAY = 8, 9
SCALARS = {
    0: "u1", 1: "i1", 2: "<u2", 3: "<i2", 4: "<u4", 5: "<i4", 6: "<f4", 7: "?",
    10: "<u8", 11: "<i8", 12: "<f8",
}  # fmt: skip
"""Kinds of numbers by the format's numbers for them, as numpy's types; STRING and ARRAY besides."""
_PIECE = 1 << 22  # bytes that are read from the file at once
_MOST = 1 << 29  # bytes that metadata may take; vocabularies take some 15 MB


class Cursor:
    """Reads from byte `start` of a file on, some megabytes at a time. Each method raises
    EngineError (`model_corrupt`) if the file is cut short or damaged."""

    def __init__(self, file: IO[bytes], path: Path, start: int) -> None:
        self.file, self.path, self._start = file, path, start
        self._buffer = b""
        self._at = 0  # in the buffer

    @property
    def at(self) -> int:
        """Return the position in bytes from the beginning of the file."""
        return self._start + self._at

    def damaged(self, reason: str) -> EngineError:
        """Return the error of a damaged file, for a reason."""
        return EngineError(f"{self.path} is a damaged GGUF file: {reason}.", "model_corrupt")

    def need(self, count: int) -> int:
        """Return where the next `count` bytes begin in the buffer, and go past them."""
        if self._at + count > len(self._buffer):
            if self.at + count > _MOST:
                raise self.damaged("what stands before its weights has no end")
            self._buffer = self._buffer[self._at :] + self.file.read(max(count, _PIECE))
            self._start, self._at = self._start + self._at, 0
            if count > len(self._buffer):
                raise EngineError(
                    f"{self.path} is cut short before its weights begin. Download it again.",
                    "model_corrupt",
                )
        self._at += count
        return self._at - count

    def unpack(self, form: str) -> tuple[Any, ...]:
        """Read values by a format of `struct`."""
        # First the position: to find it may replace the buffer.
        at = self.need(struct.calcsize(form))
        return struct.unpack_from(form, self._buffer, at)

    def string(self, errors: str = "strict") -> str:
        """Read a string; `errors` as for `bytes.decode`."""
        (length,) = self.unpack("<Q")
        at = self.need(length)
        try:
            return self._buffer[at : at + length].decode("utf-8", errors)
        except UnicodeDecodeError as error:
            raise self.damaged("a name in it is not UTF-8") from error

    def skip_strings(self, count: int) -> None:
        """Go past `count` strings."""
        for _ in range(count):
            (length,) = self.unpack("<Q")
            self.need(length)

    def numbers(self, kind: int, count: int) -> np.ndarray[Any, Any]:
        """Read numbers of one of SCALARS' kinds, as an array of shape [count]."""
        form = np.dtype(SCALARS[kind])
        at = self.need(form.itemsize * count)
        return np.frombuffer(self._buffer, form, count, at)
