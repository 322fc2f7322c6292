"""Keeps the tokens of texts that were tokenized lately: the turns of conversations that go on."""

from __future__ import annotations

import sys
import threading
from array import array
from collections import OrderedDict
from collections.abc import Hashable, Sequence

Key = tuple[Hashable, str, Hashable]
"""What stands before a text, the text, and what stands behind it."""

_BYTES = 16 * 2**20
_ENTRY_BYTES = 300  # of the objects that hold an entry


class TokenCache:
    """Tokens by text, up to `bytes_kept` bytes; the least recently used are dropped first. Safe to
    use from any thread."""

    def __init__(self, bytes_kept: int = _BYTES) -> None:
        self._most = bytes_kept
        self._bytes = 0
        self._lock = threading.Lock()
        self._kept: OrderedDict[Key, array[int]] = OrderedDict()

    def get(self, key: Key) -> Sequence[int] | None:
        """Return the tokens of a text, or None if they are not kept."""
        with self._lock:
            if (tokens := self._kept.get(key)) is not None:
                self._kept.move_to_end(key)
            return tokens

    def put(self, key: Key, tokens: Sequence[int]) -> None:
        """Keep the tokens of a text, unless they alone are larger than the cache."""
        kept = array("I", tokens)
        if _size(key, kept) > self._most:
            return
        with self._lock:
            if key in self._kept:
                return
            self._kept[key] = kept
            self._bytes += _size(key, kept)
            while self._bytes > self._most:
                self._bytes -= _size(*self._kept.popitem(last=False))


def _size(key: Key, tokens: array[int]) -> int:
    return _ENTRY_BYTES + sys.getsizeof(key[1]) + len(tokens) * tokens.itemsize
