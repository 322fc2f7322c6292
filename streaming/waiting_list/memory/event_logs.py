"""The events of responses in memory; those of ended responses are kept for a while."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(slots=True)
class EventLog:
    """The events of one response, numbered `before` + 1, `before` + 2, and so on."""

    before: int = 0
    events: list[str] = field(default_factory=list)

    @property
    def last_sequence(self) -> int:
        """The number of the last event; `before` without any."""
        return self.before + len(self.events)

    def after(self, number: int, most: int | None = None) -> list[str]:
        """Return the events with numbers greater than `number`: the first `most`, None for all."""
        first = max(number - self.before, 0)
        return self.events[first : None if most is None else first + most]


@dataclass(frozen=True, slots=True)
class DoneLog:
    """The log of an ended response. `token` is that of the lease that published the last event,
    0 if none did; `expires` is in seconds of the list's clock."""

    log: EventLog
    token: int
    expires: float


@dataclass(slots=True)
class DoneLogs:
    """The logs of ended responses, each kept for `keep_seconds`."""

    clock: Callable[[], float]
    keep_seconds: float
    _logs: dict[str, DoneLog] = field(default_factory=dict)  # in order of expiry

    def __len__(self) -> int:
        self._expire()
        return len(self._logs)

    def add(self, response_id: str, log: EventLog, token: int) -> None:
        """Keep the log of a response that has just ended."""
        self._logs[response_id] = DoneLog(log, token, self.clock() + self.keep_seconds)

    def get(self, response_id: str) -> DoneLog | None:
        """Return a log that has not expired."""
        self._expire()
        return self._logs.get(response_id)

    def _expire(self) -> None:
        now = self.clock()
        while self._logs:
            oldest = next(iter(self._logs))
            if self._logs[oldest].expires > now:
                return
            del self._logs[oldest]
