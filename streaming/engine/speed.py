"""Measures how fast an engine generates, in tokens per second."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

SPEED_SECONDS = 10.0
"""Seconds over which the speed is averaged."""

_GRAIN_SECONDS = 0.25  # tokens of so long a time are kept as one number


class Speed:
    """Tokens per second over the last SPEED_SECONDS. Not thread-safe: its owner guards it."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._grains: deque[tuple[float, int]] = deque()  # beginning, tokens

    def add(self, tokens: int) -> None:
        """Count tokens that were generated just now."""
        now = self._clock()
        self._forget(now)
        if self._grains and now - self._grains[-1][0] < _GRAIN_SECONDS:
            began, before = self._grains.pop()
            self._grains.append((began, before + tokens))
        else:
            self._grains.append((now, tokens))

    def per_second(self) -> float:
        """Return the tokens of the last SPEED_SECONDS, divided by SPEED_SECONDS."""
        self._forget(self._clock())
        return sum(tokens for _, tokens in self._grains) / SPEED_SECONDS

    def _forget(self, now: float) -> None:
        while self._grains and self._grains[0][0] <= now - SPEED_SECONDS:
            self._grains.popleft()
