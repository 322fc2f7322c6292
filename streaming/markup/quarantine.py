"""Kinds of code that took lexers too long again and again: a language, or all that is long."""

from __future__ import annotations

import time
from collections import deque

_OVERRUNS = 3
_WITHIN_SECONDS = 60.0
_REST_SECONDS = 60.0


class Quarantine:
    """A language that overran three times within a minute is left plain for a minute.

    So nobody keeps the processes busy with blocks of it. For one thread at a time.
    """

    def __init__(self) -> None:
        self._overruns: dict[str, deque[float]] = {}
        self._until: dict[str, float] = {}

    def __contains__(self, language: str) -> bool:
        return time.monotonic() < self._until.get(language, 0.0)

    def add(self, language: str) -> None:
        """A block of the language has overrun."""
        now = time.monotonic()
        moments = self._overruns.setdefault(language, deque(maxlen=_OVERRUNS))
        moments.append(now)
        if len(moments) == _OVERRUNS and now - moments[0] < _WITHIN_SECONDS:
            self._until[language] = now + _REST_SECONDS
            moments.clear()
