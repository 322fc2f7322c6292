"""A bound on how many events a second one client may cause: a rate, and a burst above it."""

from __future__ import annotations

import time
from collections.abc import Callable

BURST_SECONDS = 5.0
"""Seconds of the rate that may come at once, unless a burst is given."""


class TokenBucket:
    """Allows `rate` events a second on average and `burst` at once (`BURST_SECONDS` of them)."""

    def __init__(
        self,
        rate: float,
        clock: Callable[[], float] = time.monotonic,
        *,
        burst: float | None = None,
    ) -> None:
        self._rate = rate
        self._clock = clock
        self._size = self._level = max(1.0, rate * BURST_SECONDS if burst is None else burst)
        self._at = clock()

    def take(self, cost: float = 1) -> bool:
        """Count an event, as `cost` of them, if it is within the rate. Return whether it is."""
        cost = min(cost, self._size)
        now = self._clock()
        self._level = min(self._size, self._level + (now - self._at) * self._rate)
        self._at = now
        if self._level < cost:
            return False
        self._level -= cost
        return True
