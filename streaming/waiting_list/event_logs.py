"""The events of responses in memory, and those of ended ones, which are kept a while."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(slots=True)
class EventLog:
    """Events with the numbers `before` + 1, + 2, ...; `tail` is the last one's."""

    before: int = 0
    events: list[str] = field(default_factory=list)

    @property
    def tail(self) -> int:
        return self.before + len(self.events)

    def after(self, number: int, most: int | None = None) -> list[str]:
        first = max(number - self.before, 0)
        return self.events[first : None if most is None else first + most]


@dataclass(frozen=True, slots=True)
class DoneLog:
    """`token` is that of the lease that said the last event, 0 if none did."""

    log: EventLog
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

    def add(self, response_id: str, log: EventLog, token: int) -> None:
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
