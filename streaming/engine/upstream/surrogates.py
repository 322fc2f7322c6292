"""Halves of surrogate pairs: no JSON text may hold a lone one, and a server may split a character
between two events, half of it in each."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any


def whole(text: str) -> str:
    """Return `text` without lone surrogates, which no JSON text may hold; pairs are joined."""
    if text.isascii():  # an image may be one of many megabytes
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def sound(value: Any) -> Any:
    """Return a JSON value without lone surrogates."""
    if isinstance(value, str):
        return whole(value)
    if isinstance(value, dict):
        return {whole(name): sound(each) for name, each in value.items()}
    return [sound(each) for each in value] if isinstance(value, list | tuple) else value


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
