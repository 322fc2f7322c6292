"""What operators and forecasts see of the waiting list in memory; it changes nothing."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from streaming.waiting_list.base import (
    Counters,
    EntryRow,
    Load,
    RunningLoad,
    Snapshot,
    State,
)
from streaming.waiting_list.fair_order import FairOrder
from streaming.waiting_list.ordered_entries import OpenResponse, OrderedEntries
from streaming.waiting_list.statistics import Statistics
from streaming.waiting_list.worker_registry import WorkerRegistry


class Overview:
    """Looks at the parts of a list: what is open, by id, what of it waits, workers, counts."""

    def __init__(
        self,
        clock: Callable[[], float],
        open_: Mapping[str, OpenResponse],
        order: FairOrder,
        returned: OrderedEntries,
        parked: OrderedEntries,
        registry: WorkerRegistry,
        statistics: Statistics,
    ) -> None:
        self._clock = clock
        self._open = open_
        self._order = order
        self._returned = returned
        self._parked = parked
        self._registry = registry
        self._statistics = statistics

    def in_state(self, state: State) -> list[OpenResponse]:
        return [row for row in self._open.values() if row.state is state]

    def position(self, row: OpenResponse) -> int | None:
        rank = self._order.rank(row)
        return None if rank is None else rank + 1

    def snapshot(self, closed: str | None) -> Snapshot:
        running = sorted(self.in_state(State.RUNNING), key=lambda row: row.place)
        waiting = [*self._returned, *self._order, *self._parked, *self.in_state(State.HELD)]
        return Snapshot(
            workers=self._registry.rows(),
            running=[self._row(row) for row in running],
            waiting=[self._row(row) for row in waiting],
            paused=self._registry.paused,
            closed=closed,
        )

    def _row(self, row: OpenResponse) -> EntryRow:
        return EntryRow(
            response_id=row.entry.response_id,
            owner=row.entry.owner,
            conversation_id=row.entry.conversation_id,
            state=row.state,
            position=self.position(row),
            worker_id=row.worker_id,
            attempt=row.attempt,
            since=self._clock() - row.since,
            tokens=len(row.tokens),
            max_tokens=row.entry.max_tokens,
            asked=self._clock() - row.asked,
            slot=None if row.state is State.HELD else row.place,
        )

    def load(self) -> Load:
        now = self._clock()
        return Load(
            running=[
                RunningLoad(
                    response_id=row.response_id,
                    worker_id=row.worker_id,
                    tokens=len(row.tokens),
                    max_tokens=row.entry.max_tokens,
                    seconds=now - row.since,
                    resumed=row.tokens_before,
                )
                for row in self.in_state(State.RUNNING)
            ],
            waiting=[
                (row.response_id, row.entry.max_tokens) for row in (*self._returned, *self._order)
            ],
            places=self._registry.places(),
            recent=list(self._statistics.recent),
        )

    def counters(self) -> Counters:
        running = sum(map(len, self._registry.leases.values()))
        serving = self._registry.serving()
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
