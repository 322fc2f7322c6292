"""Characters that a server tears between two events, half a surrogate pair in each."""

from __future__ import annotations

from collections.abc import Hashable

from streaming.engine.upstream.dialect import whole


class Halves:
    """Holds the first half of a pair until the next text of its kind comes."""

    def __init__(self) -> None:
        self._held: dict[Hashable, str] = {}

    def join(self, kind: Hashable, text: str) -> str:
        """The next text of a kind: no lone surrogate is in it, and half a pair at its end is kept
        back."""
        if text.isascii() and not self._held:
            return text
        if text and kind in self._held:
            text = self._held.pop(kind) + text
        if text and "\ud800" <= text[-1] <= "\udbff":
            self._held[kind] = text[-1]
            text = text[:-1]
        return whole(text)

    def rest(self, kind: Hashable) -> str:
        """What no second half came for."""
        return whole(self._held.pop(kind, ""))
