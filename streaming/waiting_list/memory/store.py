"""What the waiting list in memory keeps, and what several of its roles do to a response."""

from __future__ import annotations

import time
from collections.abc import Callable

from streaming.waiting_list import rules
from streaming.waiting_list.interface import (
    DONE_LOG_SECONDS,
    Place,
    Slot,
    State,
    Watched,
    group_name,
)
from streaming.waiting_list.memory.cache_affinity import RESERVED_SECONDS, CacheAffinity
from streaming.waiting_list.memory.event_logs import DoneLogs
from streaming.waiting_list.memory.open_response import OpenResponse
from streaming.waiting_list.memory.open_responses import OpenResponses
from streaming.waiting_list.memory.statistics import Statistics
from streaming.waiting_list.memory.worker_registry import WorkerRegistry

Publish = Callable[[str, dict[str, object]], None]
"""Delivers a message to all channels of a group at once, in the order of the calls."""


class MemoryStore:
    """The list's state. The four roles extend it; `MemoryWaitingList` composes them.

    `clock` returns seconds. `done_log_seconds` is how long the events of an ended response stay
    readable, `reserved_seconds` how long a response is reserved for the worker with its prefix.
    """

    def __init__(
        self,
        publish: Publish,
        *,
        clock: Callable[[], float] = time.monotonic,
        done_log_seconds: float = DONE_LOG_SECONDS,
        reserved_seconds: float = RESERVED_SECONDS,
    ) -> None:
        self.is_lost = True  # what the process before this one kept ended with it
        self._publish = publish
        self._clock = clock
        self._registry = WorkerRegistry(clock)
        self._affinity = CacheAffinity(clock, self._registry, publish, reserved_seconds)
        self._open = OpenResponses(clock, self._registry, self._affinity)
        self._done = DoneLogs(clock, done_log_seconds)
        self._statistics = Statistics(clock)
        self._closed: str | None = None
        self._elected: dict[str, tuple[str, float]] = {}

    def _look(self, response_id: str) -> Watched:
        """Return state, position and last event number of a response, known or not."""
        response = self._open.get(response_id)
        if response is not None:
            return Watched(
                response.state, self._open.position(response), response.log.last_sequence
            )
        done = self._done.get(response_id)
        return (
            Watched(State.DONE, None, done.log.last_sequence)
            if done
            else Watched(State.UNKNOWN, None, 0)
        )

    def _place(self, response_id: str, *, created: bool, slot: Slot | None = None) -> Place:
        """Return state and position of a response, with the number of positions."""
        seen = self._look(response_id)
        return Place(seen.state, seen.position, len(self._open.order), created, slot)

    def _publish_event(self, response: OpenResponse, event: str, *, last: bool) -> int:
        """Number, store and publish an event; return its number."""
        log, response_id = response.log, response.entry.response_id
        number = log.last_sequence + 1
        text = rules.numbered(event, number)
        log.events.append(text)
        self._publish(group_name(response_id), rules.message(response_id, number, text, last))
        return number

    def _end(self, response: OpenResponse, event: str, token: int = 0) -> int:
        """Publish the last event, keep the log for a while, and remove the response.

        Return the event's number. `token` is that of the lease which ends it, 0 without one.
        """
        number = self._publish_event(response, event, last=True)
        self._done.add(response.response_id, response.log, token)
        self._open.remove(response)
        return number
