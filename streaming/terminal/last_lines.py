"""The last lines of a growing Markdown text, at a cost that does not depend on its length."""

from __future__ import annotations

import re
from collections import deque

_FENCE = re.compile(r" {0,3}(`{3,}(?=[^`]*$)|~{3,})(.*)")


class LastLines:
    """The last `lines` lines of a text, each of at most `columns * lines` characters.

    A code block that begins above them stays a code block.
    """

    def __init__(self, lines: int, columns: int) -> None:
        self._most = max(1, lines * columns)
        self._lines: deque[tuple[str, str]] = deque(maxlen=max(1, lines))  # (fence before, line)
        self._fence = ""  # the line that opened the code block that is open now
        self._begun = ""  # the line that has no end yet

    def add(self, text: str) -> None:
        """Add text; only the newest lines are kept, each cut to its end."""
        *complete, begun = (self._begun + text).split("\n")
        for line in complete:
            self._lines.append((self._fence, line[-self._most :]))
            self._fence = _fence_after(self._fence, line)
        # Up to twice as much as is shown, so that it is not cut at every call.
        self._begun = begun if len(begun) <= 2 * self._most else begun[-self._most :]

    def clear(self) -> None:
        """Forget all text, and an open code fence with it."""
        self._lines.clear()
        self._fence = self._begun = ""

    def __str__(self) -> str:
        lines = [*self._lines, (self._fence, self._begun[-self._most :])]
        fence = lines[0][0]
        return "\n".join([*([fence] if fence else []), *(line for _, line in lines)])


def _fence_after(fence: str, line: str) -> str:
    found = _FENCE.match(line)
    if not found:
        return fence
    if not fence:
        return line[:200]
    opened = _FENCE.match(fence)
    closes = opened and found[1].startswith(opened[1]) and not found[2].strip()
    return "" if closes else fence
