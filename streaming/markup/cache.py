"""What was rendered, by content: the least recently used goes first."""

from __future__ import annotations

import sys
from collections import OrderedDict
from hashlib import blake2b

_ENTRY_BYTES = 200
"""What an entry takes beside its HTML."""


def digest(*parts: str) -> bytes:
    """A key for texts; their lengths are part of it, so that no two lists of texts share one."""
    whole = blake2b(digest_size=16)
    for part in parts:
        data = part.encode("utf-8", "surrogatepass")
        whole.update(b"%d:" % len(data))
        whole.update(data)
    return whole.digest()


class HtmlCache:
    """HTML by digest, in at most `most_bytes` of memory. For one thread at a time."""

    def __init__(self, most_bytes: int) -> None:
        self.size = 0
        self._most_bytes = most_bytes
        self._entries: OrderedDict[bytes, str] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: bytes) -> str | None:
        """Return the HTML kept for a key, and note that it was used; None if there is none."""
        html = self._entries.get(key)
        if html is not None:
            self._entries.move_to_end(key)
        return html

    def put(self, key: bytes, html: str) -> None:
        """Keep HTML, and drop what was used longest ago until all of it fits."""
        if (old := self._entries.pop(key, None)) is not None:
            self.size -= _bytes(old)
        self._entries[key] = html
        self.size += _bytes(html)
        while self.size > self._most_bytes:
            _, oldest = self._entries.popitem(last=False)
            self.size -= _bytes(oldest)

    def clear(self) -> None:
        """Drop all that is kept."""
        self._entries.clear()
        self.size = 0


def _bytes(html: str) -> int:
    return sys.getsizeof(html) + _ENTRY_BYTES
