"""The waiting list of one process, for the embedded deployment.

No operation awaits anything, so each runs to its end before the event loop does anything
else: that is its atomicity. Call it on the loop that the consumers run on.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence

from streaming.waiting_list import rules
from streaming.waiting_list.base import (
    DONE_LOG_SECONDS,
    SAMPLES_KEPT,
    AppendCall,
    Claim,
    Counters,
    Edge,
    Entry,
    Lease,
    Limits,
    Load,
    Orders,
    Place,
    QueueClosed,
    Remembered,
    Renewal,
    Reserved,
    Slot,
    Snapshot,
    State,
    Sweep,
    WaitingList,
    WaitingListError,
    Watch,
    Watched,
    Withdrawal,
    WorkerBeat,
    WorkerRow,
    WrongNumber,
    group_name,
)
from streaming.waiting_list.memory.cache_affinity import RESERVED_SECONDS, CacheAffinity
from streaming.waiting_list.memory.event_logs import DoneLogs
from streaming.waiting_list.memory.open_response import OpenResponse, Phase
from streaming.waiting_list.memory.open_responses import OpenResponses
from streaming.waiting_list.memory.overview import Overview
from streaming.waiting_list.memory.statistics import Statistics
from streaming.waiting_list.memory.worker_registry import WorkerRegistry

Publish = Callable[[str, dict[str, object]], None]


class MemoryWaitingList(WaitingList):
    """The list of one process. `publish(group, message)` delivers to a group's channels at once,
    in order; `clock` counts seconds."""

    def __init__(
        self,
        publish: Publish,
        *,
        clock: Callable[[], float] = time.monotonic,
        done_log_seconds: float = DONE_LOG_SECONDS,
        reserved_seconds: float = RESERVED_SECONDS,
    ) -> None:
        self._publish = publish
        self._clock = clock
        self._registry = WorkerRegistry(clock)
        self._affinity = CacheAffinity(clock, self._registry, publish, reserved_seconds)
        self._open = OpenResponses(clock, self._registry, self._affinity)
        self._elected: dict[str, tuple[str, float]] = {}
        self._done = DoneLogs(clock, done_log_seconds)
        self._statistics = Statistics(clock)
        self._closed: str | None = None
        self.is_lost = True  # with the process before
        self._overview = Overview(clock, self._open, self._registry, self._statistics)

    # Accepting

    async def enqueue(
        self, entry: Entry, limits: Limits, *, readmit: bool = False, said: int = 0
    ) -> Place:
        rules.check_entry(entry)
        if self._look(entry.response_id).state is not State.UNKNOWN:
            return self._place(entry.response_id, created=False)
        if not readmit:
            self._accept(entry, limits)
        response = self._open.add(entry, said)
        slot = None if response.phase is Phase.HELD else response.slot
        return self._place(entry.response_id, created=True, slot=slot)

    async def is_restored(self) -> bool:
        return not self.is_lost

    async def restore(
        self, forgotten: Sequence[Remembered], *, whole: bool, patience: float = 0
    ) -> None:
        for known in rules.in_order(forgotten):
            if known.entry.response_id not in self._open:
                self._open.restore(known, self._clock() + patience)
        if whole:
            self.is_lost = False

    async def unsaved(self) -> dict[str, Slot]:
        return {name: response.slot for name, response in self._open.order.unsaved.items()}

    async def saved(self, slots: Mapping[str, Slot]) -> None:
        unsaved = self._open.order.unsaved
        for name, slot in slots.items():
            response = unsaved.get(name)
            if response is not None and response.slot == slot:
                del unsaved[name]

    async def objection(self, owner: str, address: str, limits: Limits) -> WaitingListError | None:
        try:
            self._check(Entry("", owner, "", address, 1), limits)
        except WaitingListError as refusal:
            return refusal
        return None

    async def count_refusal(self, code: str) -> None:
        self._statistics.reject(code)

    def _check(self, entry: Entry, limits: Limits) -> None:
        if self._closed is not None:
            raise QueueClosed(self._closed)
        self._open.bounds.check(entry, limits, self._registry.serving_capacities())

    def _accept(self, entry: Entry, limits: Limits) -> None:
        """Count the entry as accepted, or raise what keeps it out."""
        try:
            self._check(entry, limits)
        except WaitingListError as refusal:
            self._statistics.reject(refusal.code)
            raise
        self._statistics.accepted += 1

    async def withdraw(self, response_id: str, event: str) -> Withdrawal:
        rules.check_event(event)
        response = self._open.get(response_id)
        if response is None:
            return Withdrawal.GONE
        if response.cancel():
            return Withdrawal.RUNNING
        self._end(response, event)
        return Withdrawal.WITHDRAWN

    async def flag(self, response_id: str) -> bool:
        response = self._open.get(response_id)
        return response is not None and response.cancel()

    def forget(self) -> None:
        """Drop all responses and publish nothing of it: another list has what was open."""
        for response in list(self._open):
            self._open.remove(response)
        self.is_lost = True

    # Leasing

    async def heartbeat(self, beat: WorkerBeat) -> Orders:
        return self._registry.beat(beat)

    async def retire(self, worker_id: str) -> None:
        for response_id in list(self._registry.leases.get(worker_id, ())):
            self._open.give_back(self._open[response_id], forgive=True)
        self._registry.remove(worker_id)
        self._affinity.forget(worker_id)

    async def claim(self, worker_id: str, lease_seconds: float) -> Claim | Reserved | None:
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
        rules.check_event(event)
        return self._append(lease, event, tokens, number)

    async def append_many(self, appends: Sequence[AppendCall]) -> list[int | None]:
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

    def _append(
        self, lease: Lease, event: str, tokens: Sequence[int], number: int | None
    ) -> int | None:
        response = self._leased(lease)
        if response is None:
            return None
        if number is not None:
            is_next = rules.is_next(number, response.log.last_sequence, response.number_at_claim)
            if is_next is None:
                raise WrongNumber([response.response_id])
            if not is_next:
                return number
        response.tokens.extend(tokens)
        self._statistics.tokens += len(tokens)
        return self._say(response, event, last=False)

    async def finish(
        self,
        lease: Lease,
        event: str,
        number: int | None = None,
        *,
        counted: bool = True,
        cut: bool = False,
    ) -> int | None:
        rules.check_event(event)
        response = self._leased(lease)
        if response is None:
            done = self._done.get(lease.response_id)
            said = (
                done is not None and done.token == lease.token and done.log.last_sequence == number
            )
            return number if said else None
        if number is not None and number != response.log.last_sequence + 1:
            raise WrongNumber([response.response_id])
        if counted and not response.tokens_at_claim:
            seconds = self._clock() - response.since
            tokens, most = len(response.tokens), response.entry.max_tokens
            self._statistics.recent.append((tokens, seconds, (tokens if cut else 0) or most))
        self._affinity.keep(response.worker_id, response.entry.conversation_id)
        return self._end(response, event, response.token)

    async def release(self, lease: Lease, *, forgive: bool = True) -> bool:
        response = self._leased(lease)
        if response is None:
            return False
        self._open.give_back(response, forgive=forgive)
        return True

    def _leased(self, lease: Lease) -> OpenResponse | None:
        """Return the response that this lease may publish for."""
        response = self._open.get(lease.response_id)
        if response is None or not response.is_leased(lease.token, self._clock()):
            return None
        return response

    def _say(self, response: OpenResponse, event: str, *, last: bool) -> int:
        """Number, store and publish an event; return its number."""
        log, response_id = response.log, response.entry.response_id
        number = log.last_sequence + 1
        text = rules.numbered(event, number)
        log.events.append(text)
        self._publish(group_name(response_id), rules.message(response_id, number, text, last))
        return number

    def _end(self, response: OpenResponse, event: str, token: int = 0) -> int:
        """Publish the last event, keep the log for a while, and remove the response."""
        number = self._say(response, event, last=True)
        self._done.add(response.response_id, response.log, token)
        self._open.remove(response)
        return number

    # Watching

    async def read(self, response_id: str, after: int = 0, most: int | None = None) -> list[str]:
        found = self._open.get(response_id) or self._done.get(response_id)
        return found.log.after(after, most) if found else []

    async def watch(self, response_ids: Sequence[str]) -> Watch:
        now = self._clock()
        for response_id in response_ids:
            if response_id in self._open:
                self._open[response_id].seen = now
        return Watch(
            size=len(self._open.order),
            workers=len(self._registry.serving_capacities()),
            responses={response_id: self._look(response_id) for response_id in response_ids},
        )

    async def place(self, response_id: str) -> Place:
        return self._place(response_id, created=False)

    async def known(self, response_ids: Sequence[str]) -> set[str]:
        return {response_id for response_id in response_ids if response_id in self._open}

    def _look(self, response_id: str) -> Watched:
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
        seen = self._look(response_id)
        return Place(seen.state, seen.position, len(self._open.order), created, slot)

    # Operating

    async def move(self, response_id: str, edge: Edge) -> bool:
        response = self._open.get(response_id)
        if response is None or response.phase is not Phase.ORDERED:
            return False
        self._open.order.move(response, edge)
        response.cancel_reservation()
        return True

    async def close(self, message: str) -> None:
        self._closed = rules.check_closing(message)

    async def reopen(self) -> None:
        self._closed = None

    async def closed(self) -> str | None:
        return self._closed

    async def pause(self, worker_id: str | None = None) -> bool:
        return self._registry.pause(worker_id, True)

    async def unpause(self, worker_id: str | None = None) -> bool:
        return self._registry.pause(worker_id, False)

    async def order(
        self, worker_id: str, *, capacity: int | None = None, drain: bool | None = None
    ) -> bool:
        rules.check_capacity(capacity)
        return self._registry.order(worker_id, capacity, drain)

    async def elect(self, name: str, holder: str, seconds: float) -> bool:
        now = self._clock()
        present, expires = self._elected.get(name, ("", 0.0))
        if present != holder and expires > now:
            return False
        self._elected[name] = holder, now + seconds
        return True

    async def snapshot(self) -> Snapshot:
        return self._overview.snapshot(self._closed)

    async def workers(self) -> list[WorkerRow]:
        return self._registry.rows()

    async def counters(self) -> Counters:
        return self._overview.counters()

    async def sample(self, text: str) -> None:
        self._statistics.samples.append(text)

    async def samples(self, last: int = SAMPLES_KEPT) -> list[str]:
        return list(self._statistics.samples)[-last:] if last > 0 else []

    async def load(self) -> Load:
        return self._overview.load()

    async def sweep(self, viewer_grace: float, queue_timeout: float | None = None) -> Sweep:
        now = self._clock()
        returned = [
            response.response_id
            for response in self._open.in_phase(Phase.RUNNING)
            if response.expires <= now and self._open.give_back(response, forgive=False)
        ]
        for worker_id in self._registry.remove_dead():
            self._affinity.forget(worker_id)
        parked = list(self._open.parked)
        unseen = [
            response.response_id
            for response in self._open
            if response.seen <= now - viewer_grace and response.phase is not Phase.PARKED
        ]
        overdue = [
            response.response_id
            for response in self._open
            if queue_timeout is not None
            and not response.token
            and response.asked <= now - queue_timeout
        ]
        return Sweep(
            returned=returned,
            exhausted=[each.response_id for each in parked if not each.cancelled],
            abandoned=[each.response_id for each in parked if each.cancelled] + unseen,
            overdue=overdue,
        )
