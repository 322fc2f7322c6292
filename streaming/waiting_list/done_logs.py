"""The events of ended responses, which the waiting list in memory keeps a while."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class DoneLog:
    """`token` is that of the lease that said the last event, 0 if none did."""

    log: list[str]
    token: int
    expires: float


@dataclass(slots=True)
class DoneLogs:
    clock: Callable[[], float]
    keep_seconds: float
    _logs: dict[str, DoneLog] = field(default_factory=dict)  # in order of expiry

    def __len__(self) -> int:
        self._expire()
        return len(self._logs)

    def add(self, response_id: str, log: list[str], token: int) -> None:
        self._logs[response_id] = DoneLog(log, token, self.clock() + self.keep_seconds)

    def get(self, response_id: str) -> DoneLog | None:
        self._expire()
        return self._logs.get(response_id)

    def _expire(self) -> None:
        now = self.clock()
        while self._logs:
            oldest = next(iter(self._logs))
            if self._logs[oldest].expires > now:
                return
            del self._logs[oldest]
