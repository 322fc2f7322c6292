"""Operating the waiting list in memory: steer it, look at all of it, tidy it."""

from __future__ import annotations

import time

from streaming.waiting_list import rules
from streaming.waiting_list.interface import (
    SAMPLES_KEPT,
    Counters,
    Edge,
    EntryRow,
    Load,
    Operating,
    RunningLoad,
    Snapshot,
    Sweep,
    WorkerRow,
)
from streaming.waiting_list.memory.open_response import OpenResponse, ResponsePhase
from streaming.waiting_list.memory.store import MemoryStore


class MemoryOperating(MemoryStore, Operating):
    """The role `Operating` of the list in memory."""

    async def move(self, response_id: str, edge: Edge) -> bool:
        """Put a response of the order before or behind all others; False if it is not in it."""
        response = self._open.get(response_id)
        if response is None or response.phase is not ResponsePhase.ORDERED:
            return False
        self._open.order.move(response, edge)
        response.cancel_reservation()
        return True

    async def move_before(self, response_id: str, other_id: str) -> bool:
        """Put a response of the order before another one; False if either is not in it."""
        response, other = self._open.get(response_id), self._open.get(other_id)
        for each in (response, other):
            if each is None or each.phase is not ResponsePhase.ORDERED:
                return False
        assert response is not None
        assert other is not None
        if response is not other:
            self._open.order.move_before(response, other)
            response.cancel_reservation()
        return True

    async def close(self, message: str) -> None:
        """Accept nothing new, with the operator's message. Raises ValueError for a bad one."""
        self._closed = rules.check_closing(message)

    async def reopen(self) -> None:
        """Accept new responses again."""
        self._closed = None

    async def closed(self) -> str | None:
        """Return the operator's message while the queue is closed, else None."""
        return self._closed

    async def pause(self, worker_id: str | None = None) -> bool:
        """Let one worker claim nothing, or all (None); False for an unknown worker."""
        return self._registry.pause(worker_id, True)

    async def unpause(self, worker_id: str | None = None) -> bool:
        """Take back a `pause` of the same worker; False for an unknown one."""
        return self._registry.pause(worker_id, False)

    async def order(
        self, worker_id: str, *, capacity: int | None = None, drain: bool | None = None
    ) -> bool:
        """Change a worker's orders; False for an unknown worker."""
        rules.check_capacity(capacity)
        return self._registry.order(worker_id, capacity, drain)

    async def elect(self, name: str, holder: str, seconds: float) -> bool:
        """Return whether `holder` has the duty `name` alone for `seconds` from now."""
        now = self._clock()
        present, expires = self._elected.get(name, ("", 0.0))
        if present != holder and expires > now:
            return False
        self._elected[name] = holder, now + seconds
        return True

    async def snapshot(self) -> Snapshot:
        """Return workers and open responses."""
        found = self._open
        running = sorted(found.in_phase(ResponsePhase.RUNNING), key=lambda response: response.slot)
        waiting = (
            *found.returned,
            *found.order,
            *found.parked,
            *found.in_phase(ResponsePhase.HELD),
        )
        return Snapshot(
            workers=self._registry.rows(),
            running=[self._row(response) for response in running],
            waiting=[self._row(response) for response in waiting],
            paused=self._registry.paused,
            closed=self._closed,
        )

    async def workers(self) -> list[WorkerRow]:
        """Return the live workers."""
        return self._registry.rows()

    async def counters(self) -> Counters:
        """Return what the list has counted, and the present numbers."""
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

    async def sample(self, text: str) -> None:
        """Keep one sample; the oldest beyond SAMPLES_KEPT are dropped."""
        self._statistics.samples.append(text)

    async def samples(self, last: int = SAMPLES_KEPT) -> list[str]:
        """Return the last samples, the newest last."""
        return list(self._statistics.samples)[-last:] if last > 0 else []

    async def load(self) -> Load:
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
                for response in self._open.in_phase(ResponsePhase.RUNNING)
            ],
            waiting=[
                (response.response_id, response.entry.max_tokens)
                for response in (*self._open.returned, *self._open.order)
            ],
            capacities=self._registry.claiming_capacities(),
            recent=list(self._statistics.recent),
            before_newcomer=len(self._open.returned) + self._open.order.before_newcomer(),
        )

    async def sweep(self, viewer_grace: float, queue_timeout: float | None = None) -> Sweep:
        """Return expired leases, drop dead workers, and name what is to be ended."""
        now = self._clock()
        returned = [
            response.response_id
            for response in self._open.in_phase(ResponsePhase.RUNNING)
            if response.expires <= now and self._open.give_back(response, forgive=False)
        ]
        for worker_id in self._registry.remove_dead():
            self._affinity.forget(worker_id)
        parked = list(self._open.parked)
        unseen = [
            response.response_id
            for response in self._open
            if response.seen <= now - viewer_grace and response.phase is not ResponsePhase.PARKED
        ]
        overdue = [
            response.response_id
            for response in self._open
            if queue_timeout is not None
            and not response.token
            and response.asked <= now - queue_timeout
        ]
        cancelled = [each.response_id for each in parked if each.cancelled]
        return Sweep(
            returned=returned,
            exhausted=[each.response_id for each in parked if not each.cancelled],
            abandoned=cancelled + unseen,
            overdue=overdue,
            cancelled=cancelled,
        )

    def _row(self, response: OpenResponse) -> EntryRow:
        """Return a response as a snapshot shows it."""
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
            slot=None if response.phase is ResponsePhase.HELD else response.slot,
        )
