"""Leasing responses of the waiting list in memory to workers, which publish for them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from streaming.waiting_list import rules
from streaming.waiting_list.interface import (
    AppendCall,
    Claim,
    Lease,
    Leasing,
    Orders,
    Renewal,
    Reserved,
    WorkerBeat,
    WrongNumber,
)
from streaming.waiting_list.memory.open_response import OpenResponse
from streaming.waiting_list.memory.store import MemoryStore


class MemoryLeasing(MemoryStore, Leasing):
    """The role `Leasing` of the list in memory."""

    async def heartbeat(self, beat: WorkerBeat) -> Orders:
        """Note a worker's heartbeat and return its orders."""
        return self._registry.beat(beat)

    async def retire(self, worker_id: str) -> None:
        """Remove a worker that ends and return its leases."""
        for response_id in list(self._registry.leases.get(worker_id, ())):
            self._open.give_back(self._open[response_id], forgive=True)
        self._registry.remove(worker_id)
        self._affinity.forget(worker_id)

    async def claim(self, worker_id: str, lease_seconds: float) -> Claim | Reserved | None:
        """Claim the next response for a worker that has a free place."""
        if not self._registry.free_capacity(worker_id):
            return None
        response = self._open.choose(worker_id)
        if response is None or isinstance(response, Reserved):
            return response
        now = self._clock()
        if not response.token:
            self._statistics.claim(now, now - response.asked)
        return self._open.start(response, worker_id, now, lease_seconds)

    async def renew(self, worker_id: str, leases: Iterable[Lease], lease_seconds: float) -> Renewal:
        """Extend the valid leases among these to `lease_seconds` from now."""
        held, lost, cancelled = set(), set(), set()
        for lease in leases:
            response = self._leased(lease)
            if response is None or response.worker_id != worker_id:
                lost.add(lease.response_id)
                continue
            response.expires = self._clock() + lease_seconds
            held.add(lease.response_id)
            if response.cancelled:
                cancelled.add(lease.response_id)
        return Renewal(frozenset(held), frozenset(lost), frozenset(cancelled))

    async def append(
        self, lease: Lease, event: str, tokens: Sequence[int] = (), number: int | None = None
    ) -> int | None:
        """Number, store and publish one event; return its number, None without a valid lease."""
        rules.check_event(event)
        return self._append(lease, event, tokens, number)

    async def append_many(self, appends: Sequence[AppendCall]) -> list[int | None]:
        """Append each event; WrongNumber is raised after all others are published."""
        for call in appends:
            rules.check_event(call.event)
        numbers: list[int | None] = []
        wrong: list[str] = []
        for call in appends:
            try:
                numbers.append(self._append(call.lease, call.event, call.tokens, call.number))
            except WrongNumber as error:
                wrong += error.response_ids
        if wrong:
            raise WrongNumber(wrong)
        return numbers

    async def finish(
        self,
        lease: Lease,
        event: str,
        number: int | None = None,
        *,
        counted: bool = True,
        cut: bool = False,
    ) -> int | None:
        """Publish the last event and end the response; return its number, None without a lease."""
        rules.check_event(event)
        response = self._leased(lease)
        if response is None:
            done = self._done.get(lease.response_id)
            is_repeated = (
                done is not None and done.token == lease.token and done.log.last_sequence == number
            )
            return number if is_repeated else None
        if number is not None and number != response.log.last_sequence + 1:
            raise WrongNumber([response.response_id])
        if counted and not response.tokens_at_claim:
            seconds = self._clock() - response.since
            tokens, most = len(response.tokens), response.entry.max_tokens
            self._statistics.recent.append((tokens, seconds, (tokens if cut else 0) or most))
        self._affinity.keep(response.worker_id, response.entry.conversation_id)
        return self._end(response, event, response.token)

    async def release(self, lease: Lease, *, forgive: bool = True) -> bool:
        """Return a running response to its slot; False without a valid lease."""
        response = self._leased(lease)
        if response is None:
            return False
        self._open.give_back(response, forgive=forgive)
        return True

    def _append(
        self, lease: Lease, event: str, tokens: Sequence[int], number: int | None
    ) -> int | None:
        """Append one event that was checked; return as `append` does."""
        response = self._leased(lease)
        if response is None:
            return None
        if number is not None and rules.is_repeated(
            response.response_id, number, response.log.last_sequence, response.number_at_claim
        ):
            return number
        response.tokens.extend(tokens)
        self._statistics.tokens += len(tokens)
        return self._publish_event(response, event, last=False)

    def _leased(self, lease: Lease) -> OpenResponse | None:
        """Return the response that this lease may publish for, None if it may no longer."""
        response = self._open.get(lease.response_id)
        if response is None or not response.is_leased(lease.token, self._clock()):
            return None
        return response
