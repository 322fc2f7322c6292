"""What one client may cost a web process: events per second, and sockets at once."""

from __future__ import annotations

import time
from collections import Counter
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

    def take(self) -> bool:
        """Whether one more event is within the rate; if so, it is counted."""
        now = self._clock()
        self._level = min(self._size, self._level + (now - self._at) * self._rate)
        self._at = now
        if self._level < 1:
            return False
        self._level -= 1
        return True


class SocketCount:
    """How many sockets each owner and each address have open in this process."""

    def __init__(self) -> None:
        self._open: Counter[str] = Counter()

    def enter(self, keys: tuple[str, ...], bound: int) -> bool:
        """Count a socket under all its keys, or under none if one of them is at the bound."""
        if any(self._open[key] >= bound for key in keys):
            return False
        self._open.update(keys)
        return True

    def leave(self, keys: tuple[str, ...]) -> None:
        self._open.subtract(keys)
        for key in keys:
            if self._open[key] <= 0:
                del self._open[key]

    def __len__(self) -> int:
        return len(self._open)
