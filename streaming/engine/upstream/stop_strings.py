"""Ends a text before the first of some strings, where the server's API has no place for them."""

from __future__ import annotations

from collections.abc import Sequence


class StopFilter:
    """Finds stop strings in a text that comes in pieces. What may be the beginning of one is held
    back; `found`: the text has ended."""

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = [stop for stop in stops if stop]
        self._held = ""
        self.found = False

    def take(self, text: str) -> str:
        """Return what of the next piece can be said."""
        if not self._stops or self.found:
            return "" if self.found else text
        text, self._held = self._held + text, ""
        ends = [at for stop in self._stops if (at := text.find(stop)) >= 0]
        if ends:
            self.found = True
            return text[: min(ends)]
        held = max(_overlap(text, stop) for stop in self._stops)
        if held:
            text, self._held = text[:-held], text[-held:]
        return text

    def rest(self) -> str:
        """Return what is held back, when nothing more comes."""
        text, self._held = self._held, ""
        return text


def _overlap(text: str, stop: str) -> int:
    """Characters at the end of `text` with which `stop` begins."""
    sizes = range(min(len(text), len(stop) - 1), 0, -1)
    return next((size for size in sizes if text.endswith(stop[:size])), 0)
