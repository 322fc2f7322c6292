"""What operators and forecasts see of the waiting list in memory. Changes nothing."""

from __future__ import annotations

import time
from collections.abc import Callable

from streaming.waiting_list.base import (
    Counters,
    EntryRow,
    Load,
    RunningLoad,
    Snapshot,
)
from streaming.waiting_list.memory.open_response import OpenResponse, Phase
from streaming.waiting_list.memory.open_responses import OpenResponses
from streaming.waiting_list.memory.statistics import Statistics
from streaming.waiting_list.memory.worker_registry import WorkerRegistry


class Overview:
    """Reads open responses, workers and counts of one list."""

    def __init__(
        self,
        clock: Callable[[], float],
        open_responses: OpenResponses,
        registry: WorkerRegistry,
        statistics: Statistics,
    ) -> None:
        self._clock = clock
        self._open = open_responses
        self._registry = registry
        self._statistics = statistics

    def snapshot(self, closed: str | None) -> Snapshot:
        """Return all of the list; `closed` is the operator's message, if there is one."""
        found = self._open
        running = sorted(found.in_phase(Phase.RUNNING), key=lambda response: response.slot)
        waiting = (*found.returned, *found.order, *found.parked, *found.in_phase(Phase.HELD))
        return Snapshot(
            workers=self._registry.rows(),
            running=[self._row(response) for response in running],
            waiting=[self._row(response) for response in waiting],
            paused=self._registry.paused,
            closed=closed,
        )

    def _row(self, response: OpenResponse) -> EntryRow:
        return EntryRow(
            response_id=response.entry.response_id,
            owner=response.entry.owner,
            conversation_id=response.entry.conversation_id,
            state=response.state,
            position=self._open.position(response),
            worker_id=response.worker_id,
            attempt=response.attempt,
            since=self._clock() - response.since,
            tokens=len(response.tokens),
            max_tokens=response.entry.max_tokens,
            asked=self._clock() - response.asked,
            slot=None if response.phase is Phase.HELD else response.slot,
        )

    def load(self) -> Load:
        """Return what a forecast needs."""
        now = self._clock()
        return Load(
            running=[
                RunningLoad(
                    response_id=response.response_id,
                    worker_id=response.worker_id,
                    tokens=len(response.tokens),
                    max_tokens=response.entry.max_tokens,
                    seconds=now - response.since,
                    resumed=response.tokens_at_claim,
                )
                for response in self._open.in_phase(Phase.RUNNING)
            ],
            waiting=[
                (response.response_id, response.entry.max_tokens)
                for response in (*self._open.returned, *self._open.order)
            ],
            capacities=self._registry.claiming_capacities(),
            recent=list(self._statistics.recent),
        )

    def counters(self) -> Counters:
        """Return the counters, and the present numbers beside them."""
        running = sum(map(len, self._registry.leases.values()))
        serving = self._registry.serving_capacities()
        return Counters(
            at=time.time(),
            running=running,
            waiting=len(self._open) - running,
            workers=len(serving),
            capacity=sum(serving),
            accepted=self._statistics.accepted,
            rejected=self._statistics.rejected(),
            tokens=self._statistics.tokens,
            waits=self._statistics.waits(),
        )
