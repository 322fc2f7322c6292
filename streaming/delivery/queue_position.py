"""A response's position in the queue as its reader gets it, and how often a new one is sent."""

from __future__ import annotations

import time
from typing import NamedTuple
from uuid import UUID

from streaming.protocol.response_events import Service
from streaming.waiting_list.forecast import Estimate

_MINOR_CHANGE_SECONDS = 2.0
"""Least time between two events in which the position is the same."""

_SECONDS_PER_POSITION = 0.005
"""Least time between two events, for each response in front: 0.5 s at position 100, 2 s at 400."""

_MAX_SECONDS = 5.0
"""Least time between two events, however far behind the position is."""


class QueuePosition(NamedTuple):
    """The fields that `response.queued` and `chatstream:queue_position` have in common.

    `position` is 1 for the next in line, None for a response that is held or no longer waits;
    `size` counts those that wait. The range of the ETA is None where nobody knows it.
    """

    position: int | None
    size: int
    workers: int
    eta_seconds: float | None = None
    service: Service = "ready"
    eta_low_seconds: float | None = None
    eta_high_seconds: float | None = None

    @classmethod
    def at(
        cls,
        position: int | None,
        size: int,
        workers: int,
        service: Service,
        estimate: Estimate | None,
    ) -> QueuePosition:
        """Return a place with the estimate of its wait, None where there is none."""
        seconds, low, high = estimate or (None, None, None)
        return cls(position, size, workers, seconds, service, low, high)


class PositionUpdates:
    """The positions that one reader is sent: not every change, and not everybody's at once."""

    def __init__(self, response_id: str) -> None:
        self._sent: QueuePosition | None = None
        self._sent_at = time.monotonic()
        # 0.75 to 1.25, so that readers who began together are soon sent events at different times.
        self._stride = 0.75 + UUID(response_id).int % 1000 / 2000

    def note_sent(self, position: QueuePosition | None) -> None:
        """Remember what the reader was sent just now; None for nothing."""
        self._sent = position
        self._sent_at = time.monotonic()

    def is_due(self, new: QueuePosition) -> bool:
        """Return whether to send a position now.

        A change of position is due at once, far behind after some seconds. A change of size alone,
        or an ETA that differs from the one sent by more than the time since, is due after 2 s.
        """
        sent = self._sent
        if sent is None or new.service != sent.service:
            return True
        elapsed = time.monotonic() - self._sent_at
        if new.position != sent.position:
            if new.position is None or sent.position is None:
                return True
            seconds = min(_MAX_SECONDS, new.position * _SECONDS_PER_POSITION)
            return elapsed >= seconds * self._stride
        if elapsed < _MINOR_CHANGE_SECONDS:
            return False
        return (
            new.size != sent.size
            or _is_other(new.eta_seconds, sent.eta_seconds, elapsed)
            or _is_other(new.eta_high_seconds, sent.eta_high_seconds, elapsed)
        )


def _is_other(new: float | None, sent: float | None, elapsed: float) -> bool:
    """Return whether seconds that were sent `elapsed` seconds ago are not those of now."""
    if new is None or sent is None:
        return new is not sent
    expected = max(0.0, sent - elapsed)
    return abs(new - expected) > max(1.0, expected / 10)
