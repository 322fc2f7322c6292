"""How many events a second one client may cause: a rate, and a burst above it."""

from __future__ import annotations

import time
from collections.abc import Callable

BURST_SECONDS = 5.0


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
        """Whether one more event is within the rate; if so, it is counted, as `cost` of them."""
        cost = min(cost, self._size)
        now = self._clock()
        self._level = min(self._size, self._level + (now - self._at) * self._rate)
        self._at = now
        if self._level < cost:
            return False
        self._level -= cost
        return True
