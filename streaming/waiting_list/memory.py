"""The waiting list of one process, for the embedded deployment.

No operation awaits anything, so each runs to its end before the event loop does anything
else: that is its atomicity. Call it on the loop that the consumers run on.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain

from streaming.waiting_list import rules
from streaming.waiting_list.base import (
    DONE_LOG_SECONDS,
    MAX_ATTEMPTS,
    SAMPLES_KEPT,
    AppendCall,
    Claim,
    Counters,
    Edge,
    Entry,
    Lease,
    Left,
    Limits,
    Load,
    Orders,
    Place,
    QueueClosed,
    Remembered,
    Renewal,
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
from streaming.waiting_list.bounds import Bounds
from streaming.waiting_list.cache_affinity import LEFT_SECONDS, CacheAffinity
from streaming.waiting_list.conversation_queues import ConversationQueues
from streaming.waiting_list.event_logs import DoneLogs, EventLog
from streaming.waiting_list.fair_order import FairOrder
from streaming.waiting_list.ordered_entries import OpenResponse, OrderedEntries
from streaming.waiting_list.overview import Overview
from streaming.waiting_list.statistics import Statistics
from streaming.waiting_list.worker_registry import WorkerRegistry

Publish = Callable[[str, dict[str, object]], None]


class MemoryWaitingList(WaitingList):
    """`publish(group, message)` delivers to a group's channels at once, in order."""

    def __init__(
        self,
        publish: Publish,
        *,
        clock: Callable[[], float] = time.monotonic,
        done_log_seconds: float = DONE_LOG_SECONDS,
        left_seconds: float = LEFT_SECONDS,
    ) -> None:
        self._publish = publish
        self._clock = clock
        self._open: dict[str, OpenResponse] = {}  # in order of arrival
        self._order = FairOrder()  # has positions
        self._returned = OrderedEntries()  # from lost or released leases: ahead of position 1
        self._parked = OrderedEntries()  # attempts used up or cancelled: waits only to be withdrawn
        self._conversations = ConversationQueues()
        self._bounds = Bounds()
        self._registry = WorkerRegistry(clock)
        self._affinity = CacheAffinity(clock, self._registry, publish, left_seconds)
        self._elected: dict[str, tuple[str, float]] = {}
        self._done = DoneLogs(clock, done_log_seconds)
        self._statistics = Statistics(clock)
        self._closed: str | None = None
        self._tokens = 0
        self.is_lost = True  # with the process before
        self._overview = Overview(
            clock,
            self._open,
            self._order,
            self._returned,
            self._parked,
            self._registry,
            self._statistics,
        )

    # Accepting

    async def enqueue(
        self, entry: Entry, limits: Limits, *, readmit: bool = False, said: int = 0
    ) -> Place:
        rules.check_entry(entry)
        response_id = entry.response_id
        if self._look(response_id).state is not State.UNKNOWN:
            return self._place(response_id, created=False)
        if not readmit:
            self._accept(entry, limits)
        now = self._clock()
        self._open[response_id] = row = OpenResponse(
            entry, asked=now, since=now, seen=now, log=EventLog(said)
        )
        self._bounds.add(entry)
        if self._conversations.join(entry):
            self._take_place(row)
        return self._place(response_id, created=True, slot=_slot_of(row))

    async def is_restored(self) -> bool:
        return not self.is_lost

    async def restore(
        self, forgotten: Sequence[Remembered], *, whole: bool, patience: float = 0
    ) -> None:
        for each in rules.in_order(forgotten):
            if each.entry.response_id not in self._open:
                self._restore(each, self._clock() + patience)
        if whole:
            self.is_lost = False

    def _restore(self, known: Remembered, seen: float) -> None:
        now, entry = self._clock(), known.entry
        self._open[entry.response_id] = row = OpenResponse(
            entry, asked=now, since=now, seen=seen, log=EventLog(known.said)
        )
        self._bounds.add(entry)
        if not self._conversations.join(entry):
            return
        row.state = State.WAITING
        if known.ran:
            row.place = known.slot or self._order.slot_ahead()
            row.token = self._next_token()  # it was claimed, and has waited enough
            self._order.count(row.place)
            self._returned.add(row)
        elif known.slot:
            row.place = known.slot
            self._order.restore(row)
        else:
            self._order.enter(row)
            self._order.replaced[entry.response_id] = row

    async def unsaved(self) -> dict[str, Slot]:
        return {name: row.place for name, row in self._order.replaced.items()}

    async def saved(self, slots: Mapping[str, Slot]) -> None:
        for name, slot in slots.items():
            row = self._order.replaced.get(name)
            if row is not None and row.place == slot:
                del self._order.replaced[name]

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
        self._bounds.check(entry, limits, self._registry.serving())

    def _accept(self, entry: Entry, limits: Limits) -> None:
        """Count the entry as accepted, or raise what keeps it out."""
        try:
            self._check(entry, limits)
        except WaitingListError as refusal:
            self._statistics.reject(refusal.code)
            raise
        self._statistics.accepted += 1

    def _take_place(self, row: OpenResponse) -> None:
        row.state, row.since = State.WAITING, self._clock()
        self._order.enter(row)

    # A worker's side

    async def claim(self, worker_id: str, lease_seconds: float) -> Claim | Left | None:
        if not self._registry.free_places(worker_id):
            return None
        row = self._affinity.choose(worker_id, chain(self._returned, self._order))
        if row is None or isinstance(row, Left):
            return row
        if not self._returned.discard(row):
            self._order.claim(row)
        now = self._clock()
        if not row.token:
            self._statistics.claim(now - row.asked)
        self._registry.lease(worker_id, row.response_id)
        row.state, row.since, row.worker_id = State.RUNNING, now, worker_id
        row.token = self._next_token()
        row.expires, row.attempt = now + lease_seconds, row.attempt + 1
        row.tail_before, row.tokens_before = row.log.tail, len(row.tokens)
        return Claim(
            lease=Lease(row.response_id, worker_id, row.token),
            entry=row.entry,
            attempt=row.attempt,
            tail=row.log.tail,
            tokens=tuple(row.tokens),
        )

    def _next_token(self) -> int:
        self._tokens += 1
        return self._tokens

    async def renew(self, worker_id: str, leases: Iterable[Lease], lease_seconds: float) -> Renewal:
        held, lost, cancelled = set(), set(), set()
        for lease in leases:
            row = self._leased(lease)
            if row is None or row.worker_id != worker_id:
                lost.add(lease.response_id)
                continue
            row.expires = self._clock() + lease_seconds
            held.add(lease.response_id)
            if row.cancelled:
                cancelled.add(lease.response_id)
        return Renewal(frozenset(held), frozenset(lost), frozenset(cancelled))

    async def append(
        self, lease: Lease, event: str, tokens: Sequence[int] = (), number: int | None = None
    ) -> int | None:
        return (await self.append_many([(lease, event, tokens, number)]))[0]

    async def append_many(self, appends: Sequence[AppendCall]) -> list[int | None]:
        for _, event, *_ in appends:
            rules.check_event(event)
        numbers: list[int | None] = []
        wrong: list[str] = []
        for append in appends:
            try:
                numbers.append(self._append(*append))
            except WrongNumber as error:
                wrong += error.response_ids
        if wrong:
            raise WrongNumber(wrong)
        return numbers

    def _append(
        self, lease: Lease, event: str, tokens: Sequence[int], number: int | None = None
    ) -> int | None:
        row = self._leased(lease)
        if row is None:
            return None
        is_next = rules.is_next(number, row.log.tail, row.tail_before)
        if is_next is None:
            raise WrongNumber([row.response_id])
        if not is_next:
            return number
        row.tokens.extend(tokens)
        self._statistics.tokens += len(tokens)
        return self._say(row, event, last=False)

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
        row = self._leased(lease)
        if row is None:
            done = self._done.get(lease.response_id)
            said = done is not None and done.token == lease.token and done.log.tail == number
            return number if said else None
        if number is not None and number != row.log.tail + 1:
            raise WrongNumber([row.response_id])
        if counted and not row.tokens_before:
            seconds = self._clock() - row.since
            tokens, most = len(row.tokens), row.entry.max_tokens
            self._statistics.recent.append((tokens, seconds, (tokens if cut else 0) or most))
        self._affinity.keep(row.worker_id, row.entry.conversation_id)
        return self._end(row, event, row.token)

    async def release(self, lease: Lease, *, forgive: bool = True) -> bool:
        row = self._leased(lease)
        if row is None:
            return False
        self._give_back(row, forgive=forgive)
        return True

    def _leased(self, lease: Lease) -> OpenResponse | None:
        """The response this lease may speak for: by token and by time, swept or not."""
        row = self._open.get(lease.response_id)
        if row is None or row.state is not State.RUNNING or row.token != lease.token:
            return None
        return row if row.expires > self._clock() else None

    def _say(self, row: OpenResponse, event: str, *, last: bool) -> int:
        number = row.log.tail + 1
        text = rules.numbered(event, number)
        row.log.events.append(text)
        message = rules.message(row.response_id, number, text, last)
        self._publish(group_name(row.response_id), message)
        return number

    def _give_back(self, row: OpenResponse, *, forgive: bool) -> bool:
        """Back to its old place; False if it may not be claimed again."""
        if forgive:
            row.attempt -= 1
        self._unlease(row)
        row.state, row.since = State.WAITING, self._clock()
        again = not row.cancelled and row.attempt < MAX_ATTEMPTS
        (self._returned if again else self._parked).add(row)
        return again

    def _unlease(self, row: OpenResponse) -> None:
        self._registry.unlease(row.worker_id, row.response_id)
        row.worker_id = ""

    # Ending

    async def withdraw(self, response_id: str, event: str) -> Withdrawal:
        rules.check_event(event)
        row = self._open.get(response_id)
        if row is None:
            return Withdrawal.GONE
        if row.state is State.RUNNING:
            row.cancelled = True
            return Withdrawal.RUNNING
        self._end(row, event)
        return Withdrawal.WITHDRAWN

    async def flag(self, response_id: str) -> bool:
        row = self._open.get(response_id)
        if row is None or row.state is not State.RUNNING:
            return False
        row.cancelled = True
        return True

    def forget(self) -> None:
        """Hold nothing any more, and say nothing of it: all that was open is another list's."""
        for row in list(self._open.values()):
            self._drop(row)
        self.is_lost = True

    def _end(self, row: OpenResponse, event: str, token: int = 0) -> int:
        number = self._say(row, event, last=True)
        self._done.add(row.response_id, row.log, token)
        self._drop(row)
        return number

    def _drop(self, row: OpenResponse) -> None:
        entry = row.entry
        del self._open[entry.response_id]
        self._order.withdraw(row)
        self._returned.discard(row)
        self._parked.discard(row)
        self._affinity.free(row)
        self._unlease(row)
        self._bounds.remove(entry)
        self._order.replaced.pop(entry.response_id, None)
        following = self._conversations.leave(entry)
        if following is not None:
            self._take_place(self._open[following])
            self._order.replaced[following] = self._open[following]

    # A viewer's side

    async def read(self, response_id: str, after: int = 0, most: int | None = None) -> list[str]:
        if response_id in self._open:
            return self._open[response_id].log.after(after, most)
        done = self._done.get(response_id)
        return done.log.after(after, most) if done else []

    async def watch(self, response_ids: Sequence[str]) -> Watch:
        now = self._clock()
        for response_id in response_ids:
            if response_id in self._open:
                self._open[response_id].seen = now
        return Watch(
            size=len(self._order),
            workers=len(self._registry.serving()),
            responses={response_id: self._look(response_id) for response_id in response_ids},
        )

    async def place(self, response_id: str) -> Place:
        return self._place(response_id, created=False)

    async def known(self, response_ids: Sequence[str]) -> set[str]:
        return {response_id for response_id in response_ids if response_id in self._open}

    def _look(self, response_id: str) -> Watched:
        row = self._open.get(response_id)
        if row is not None:
            return Watched(row.state, self._overview.position(row), row.log.tail)
        done = self._done.get(response_id)
        return Watched(State.DONE, None, done.log.tail) if done else Watched(State.UNKNOWN, None, 0)

    def _place(self, response_id: str, *, created: bool, slot: Slot | None = None) -> Place:
        seen = self._look(response_id)
        return Place(seen.state, seen.position, len(self._order), created, slot)

    # An operator's side

    async def move(self, response_id: str, edge: Edge) -> bool:
        row = self._open.get(response_id)
        if row is None or not self._order.move(row, edge):
            return False
        row.left_to = ""  # it stands elsewhere now, and is nobody's in particular
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

    async def counters(self) -> Counters:
        return self._overview.counters()

    async def sample(self, text: str) -> None:
        self._statistics.samples.append(text)

    async def samples(self, last: int = SAMPLES_KEPT) -> list[str]:
        return list(self._statistics.samples)[-last:] if last > 0 else []

    # Workers and upkeep

    async def heartbeat(self, beat: WorkerBeat) -> Orders:
        return self._registry.beat(beat)

    async def retire(self, worker_id: str) -> None:
        for response_id in list(self._registry.leases.get(worker_id, ())):
            self._give_back(self._open[response_id], forgive=True)
        self._registry.remove(worker_id)
        self._affinity.forget(worker_id)

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

    async def load(self) -> Load:
        return self._overview.load()

    async def sweep(self, viewer_grace: float, queue_timeout: float | None = None) -> Sweep:
        now = self._clock()
        returned = [
            row.response_id
            for row in self._overview.in_state(State.RUNNING)
            if row.expires <= now and self._give_back(row, forgive=False)
        ]
        for worker_id in self._registry.bury():
            self._affinity.forget(worker_id)
        parked = [row.response_id for row in self._parked]
        cancelled = [name for name in parked if self._open[name].cancelled]
        exhausted = [name for name in parked if name not in cancelled]
        unseen = [
            name
            for name, row in self._open.items()
            if row.seen <= now - viewer_grace and name not in parked
        ]
        overdue = [
            name
            for name, row in self._open.items()
            if queue_timeout is not None and not row.token and row.asked <= now - queue_timeout
        ]
        return Sweep(returned, exhausted, cancelled + unseen, overdue)


def _slot_of(row: OpenResponse) -> Slot | None:
    return None if row.state is State.HELD else row.place
