"""What the waiting list in memory counts for operators and forecasts, and the samples it keeps."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field

from streaming.waiting_list.interface import RECENT_KEPT, REFUSALS, SAMPLES_KEPT, WAITS_KEPT


@dataclass(slots=True)
class Statistics:
    """Counters since the process began, and the last few measurements. Times are in seconds."""

    clock: Callable[[], float]
    accepted: int = 0
    tokens: int = 0
    recent: deque[tuple[int, float, int]] = field(default_factory=lambda: deque(maxlen=RECENT_KEPT))
    """Tokens, seconds and token limit of responses that were finished in one attempt."""
    samples: deque[str] = field(default_factory=lambda: deque(maxlen=SAMPLES_KEPT))
    _rejected: Counter[str] = field(default_factory=Counter)
    _waits: deque[tuple[float, float]] = field(default_factory=lambda: deque(maxlen=WAITS_KEPT))

    def reject(self, code: str) -> None:
        """Count a refusal by its code."""
        self._rejected[code] += 1

    def rejected(self) -> dict[str, int]:
        """Return how often each code of REFUSALS was the reason."""
        return {code: self._rejected[code] for code in REFUSALS}

    def claim(self, now: float, waited: float) -> None:
        """Note a first claim, `waited` seconds after the response was accepted."""
        self._waits.append((now, waited))

    def waits(self) -> list[tuple[float, float]]:
        """Return the last first claims: seconds since each, and how long it had waited."""
        now = self.clock()
        return [(now - at, waited) for at, waited in self._waits]
