"""Joins characters that a server splits between two events, half a surrogate pair in each."""

from __future__ import annotations

from collections.abc import Hashable

from streaming.engine.upstream.dialect import whole


class SurrogateJoiner:
    """Holds the first half of a surrogate pair until the next text of its kind comes."""

    def __init__(self) -> None:
        self._held: dict[Hashable, str] = {}

    def join(self, kind: Hashable, text: str) -> str:
        """Return the next text of a kind without lone surrogates; half a pair at its end is held
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
        """Return what is held back of a kind, whose second half did not come, as U+FFFD."""
        return whole(self._held.pop(kind, ""))
