"""The waiting list of one process, for the embedded deployment.

No operation awaits anything, so each runs to its end before the event loop does anything
else: that is its atomicity. Call it on the loop that the consumers run on.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from streaming.waiting_list import rules
from streaming.waiting_list.base import (
    DONE_LOG_SECONDS,
    MAX_ATTEMPTS,
    AddressLimit,
    Claim,
    Entry,
    EntryRow,
    Lease,
    Limits,
    OwnerLimit,
    Place,
    QueueFull,
    Renewal,
    Snapshot,
    State,
    Sweep,
    Unavailable,
    WaitingList,
    Watch,
    Watched,
    Withdrawal,
    WorkerBeat,
    WorkerRow,
    WorkerState,
    group_name,
)
from streaming.waiting_list.shelves import KnownWorker, OpenResponse, Shelf

Publish = Callable[[str, dict[str, object]], None]


class MemoryWaitingList(WaitingList):
    """`publish(group, message)` delivers to a group's channels at once, in order."""

    def __init__(
        self,
        publish: Publish,
        *,
        clock: Callable[[], float] = time.monotonic,
        done_log_seconds: float = DONE_LOG_SECONDS,
    ) -> None:
        self._publish = publish
        self._clock = clock
        self._done_log_seconds = done_log_seconds
        self._open: dict[str, OpenResponse] = {}
        self._order = Shelf()  # has positions
        self._returned = Shelf()  # from lost or released leases: ahead of position 1
        self._parked = Shelf()  # attempts used up or cancelled: waits only to be withdrawn
        self._lanes: dict[str, list[str]] = {}  # conversation -> open one first, then the held
        self._owners: Counter[str] = Counter()
        self._addresses: Counter[str] = Counter()
        self._workers: dict[str, KnownWorker] = {}
        self._leases: dict[str, set[str]] = {}  # by worker; they outlive a dead one's row
        self._done: dict[str, tuple[float, list[str]]] = {}  # in order of expiry
        self._tickets = 0
        self._tokens = 0

    # Accepting

    async def enqueue(self, entry: Entry, limits: Limits, *, readmit: bool = False) -> Place:
        rules.check_entry(entry)
        response_id = entry.response_id
        if self._look(response_id).state is not State.UNKNOWN:
            return self._place(response_id, created=False)
        if not readmit:
            self._check_bounds(entry, limits)
        now = self._clock()
        self._open[response_id] = row = OpenResponse(entry, self._next_ticket(), now, now)
        self._owners[entry.owner] += 1
        if entry.address:
            self._addresses[entry.address] += 1
        lane = [response_id]
        if entry.conversation_id:
            lane = self._lanes.setdefault(entry.conversation_id, [])
            lane.append(response_id)
        if len(lane) == 1:
            row.state = State.WAITING
            self._order.add(row.place)
        return self._place(response_id, created=True)

    def _check_bounds(self, entry: Entry, limits: Limits) -> None:
        workers = self._serving()
        if not workers:  # nobody else can ever serve this process's list
            raise rules.refusal(Unavailable.code, 0, 0)
        mine = self._owners[entry.owner]
        if 0 < limits.max_per_owner <= mine:
            raise rules.refusal(OwnerLimit.code, mine, limits.max_per_owner)
        here = self._addresses[entry.address]
        if entry.address and 0 < limits.max_per_address <= here:
            raise rules.refusal(AddressLimit.code, here, limits.max_per_address)
        bound = sum(worker.beat.capacity for worker in workers) + limits.max_waiting
        if len(self._open) >= bound:
            raise rules.refusal(QueueFull.code, len(self._open), bound)

    def _next_ticket(self) -> int:
        self._tickets += 1
        return self._tickets

    # A worker's side

    async def claim(self, worker_id: str, lease_seconds: float) -> Claim | None:
        now = self._clock()
        worker = self._workers.get(worker_id)
        if worker is None or not self._alive(worker) or worker.beat.state is not WorkerState.READY:
            return None
        leases = self._leases.get(worker_id, set())
        if len(leases) >= worker.beat.capacity:
            return None
        response_id = self._returned.pop() or self._order.pop()
        if response_id is None:
            return None
        row = self._open[response_id]
        self._tokens += 1
        self._leases.setdefault(worker_id, leases).add(response_id)
        row.state, row.since, row.worker_id = State.RUNNING, now, worker_id
        row.token, row.expires, row.attempt = self._tokens, now + lease_seconds, row.attempt + 1
        return Claim(
            lease=Lease(response_id, worker_id, row.token),
            entry=row.entry,
            attempt=row.attempt,
            tail=len(row.log),
            tokens=tuple(row.tokens),
        )

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

    async def append(self, lease: Lease, event: str, tokens: Sequence[int] = ()) -> int | None:
        return self._append(lease, rules.check_event(event), tokens)

    async def append_many(
        self, appends: Sequence[tuple[Lease, str, Sequence[int]]]
    ) -> list[int | None]:
        for _, event, _ in appends:
            rules.check_event(event)
        return [self._append(*append) for append in appends]

    def _append(self, lease: Lease, event: str, tokens: Sequence[int]) -> int | None:
        row = self._leased(lease)
        if row is None:
            return None
        row.tokens.extend(tokens)
        return self._say(row, event, last=False)

    async def finish(self, lease: Lease, event: str) -> int | None:
        rules.check_event(event)
        row = self._leased(lease)
        return None if row is None else self._end(row, event)

    async def release(self, lease: Lease) -> bool:
        row = self._leased(lease)
        if row is None:
            return False
        self._give_back(row, forgive=True)
        return True

    def _leased(self, lease: Lease) -> OpenResponse | None:
        """The response this lease may speak for: by token and by time, swept or not."""
        row = self._open.get(lease.response_id)
        if row is None or row.state is not State.RUNNING or row.token != lease.token:
            return None
        return row if row.expires > self._clock() else None

    def _say(self, row: OpenResponse, event: str, *, last: bool) -> int:
        number = len(row.log) + 1
        text = rules.numbered(event, number)
        row.log.append(text)
        response_id = row.entry.response_id
        self._publish(group_name(response_id), rules.message(response_id, number, text, last))
        return number

    def _give_back(self, row: OpenResponse, *, forgive: bool) -> bool:
        """Back to its old place; False if it may not be claimed again."""
        if forgive:
            row.attempt -= 1
        self._unlease(row)
        row.state, row.since = State.WAITING, self._clock()
        again = not row.cancelled and row.attempt < MAX_ATTEMPTS
        (self._returned if again else self._parked).add(row.place)
        return again

    def _unlease(self, row: OpenResponse) -> None:
        leases = self._leases.get(row.worker_id)
        if leases is not None:
            leases.discard(row.entry.response_id)
            if not leases:
                del self._leases[row.worker_id]
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

    def _end(self, row: OpenResponse, event: str) -> int:
        number = self._say(row, event, last=True)
        entry = row.entry
        del self._open[entry.response_id]
        for shelf in (self._order, self._returned, self._parked):
            shelf.discard(row.place)
        self._unlease(row)
        _uncount(self._owners, entry.owner)
        _uncount(self._addresses, entry.address)
        self._done[entry.response_id] = (self._clock() + self._done_log_seconds, row.log)
        self._leave_lane(entry)
        return number

    def _leave_lane(self, entry: Entry) -> None:
        lane = self._lanes.get(entry.conversation_id)
        if lane is None:
            return
        was_first = lane[0] == entry.response_id
        lane.remove(entry.response_id)
        if not lane:
            del self._lanes[entry.conversation_id]
        elif was_first:
            row = self._open[lane[0]]
            row.state, row.since, row.ticket = State.WAITING, self._clock(), self._next_ticket()
            self._order.add(row.place)

    # A viewer's side

    async def read(self, response_id: str, after: int = 0) -> list[str]:
        self._expire_logs()
        if response_id in self._open:
            return self._open[response_id].log[max(after, 0) :]
        return self._done.get(response_id, (0.0, []))[1][max(after, 0) :]

    async def watch(self, response_ids: Sequence[str]) -> Watch:
        now = self._clock()
        for response_id in response_ids:
            if response_id in self._open:
                self._open[response_id].seen = now
        return Watch(
            size=len(self._order),
            workers=len(self._serving()),
            responses={response_id: self._look(response_id) for response_id in response_ids},
        )

    async def place(self, response_id: str) -> Place:
        return self._place(response_id, created=False)

    async def known(self, response_ids: Sequence[str]) -> set[str]:
        return {response_id for response_id in response_ids if response_id in self._open}

    def _look(self, response_id: str) -> Watched:
        self._expire_logs()
        row = self._open.get(response_id)
        if row is not None:
            return Watched(row.state, self._position(row), len(row.log))
        if response_id in self._done:
            return Watched(State.DONE, None, len(self._done[response_id][1]))
        return Watched(State.UNKNOWN, None, 0)

    def _position(self, row: OpenResponse) -> int | None:
        rank = self._order.rank(row.place)
        return None if rank is None else rank + 1

    def _place(self, response_id: str, *, created: bool) -> Place:
        seen = self._look(response_id)
        return Place(seen.state, seen.position, len(self._order), created)

    # Workers and upkeep

    async def heartbeat(self, beat: WorkerBeat) -> None:
        self._workers[beat.worker_id] = KnownWorker(beat, self._clock())

    async def retire(self, worker_id: str) -> None:
        for response_id in list(self._leases.get(worker_id, ())):
            self._give_back(self._open[response_id], forgive=True)
        self._workers.pop(worker_id, None)

    async def snapshot(self) -> Snapshot:
        rows = self._open.values()
        places = self._returned.ids() + self._order.ids() + self._parked.ids()
        running = sorted((r for r in rows if r.state is State.RUNNING), key=lambda r: r.ticket)
        held = sorted((r for r in rows if r.state is State.HELD), key=lambda r: r.ticket)
        return Snapshot(
            workers=await self.workers(),
            running=[self._row(row) for row in running],
            waiting=[self._row(row) for row in [*map(self._open.__getitem__, places), *held]],
        )

    async def workers(self) -> list[WorkerRow]:
        known = (self._workers[name] for name in sorted(self._workers))
        return [self._worker_row(worker) for worker in known if self._alive(worker)]

    async def sweep(self, viewer_grace: float) -> Sweep:
        now = self._clock()
        self._expire_logs()
        returned = [
            row.entry.response_id
            for row in list(self._open.values())
            if row.state is State.RUNNING
            and row.expires <= now
            and self._give_back(row, forgive=False)
        ]
        for worker_id, worker in list(self._workers.items()):
            if not self._alive(worker):
                del self._workers[worker_id]
        parked = self._parked.ids()
        cancelled = [parked_id for parked_id in parked if self._open[parked_id].cancelled]
        exhausted = [parked_id for parked_id in parked if parked_id not in cancelled]
        unseen = [
            response_id
            for response_id, row in self._open.items()
            if row.seen <= now - viewer_grace and response_id not in parked
        ]
        return Sweep(returned, exhausted, cancelled + unseen)

    def _alive(self, worker: KnownWorker) -> bool:
        return worker.at + worker.beat.ttl > self._clock()

    def _serving(self) -> list[KnownWorker]:
        """The live workers that are not draining: their capacities are the bound."""
        return [
            worker
            for worker in self._workers.values()
            if self._alive(worker) and worker.beat.state is not WorkerState.DRAINING
        ]

    def _worker_row(self, worker: KnownWorker) -> WorkerRow:
        beat, age = worker.beat, self._clock() - worker.at
        running = len(self._leases.get(beat.worker_id, ()))
        return WorkerRow(
            beat.worker_id, beat.capacity, beat.state, running, age, dict(beat.details)
        )

    def _row(self, row: OpenResponse) -> EntryRow:
        return EntryRow(
            response_id=row.entry.response_id,
            owner=row.entry.owner,
            conversation_id=row.entry.conversation_id,
            state=row.state,
            position=self._position(row),
            worker_id=row.worker_id,
            attempt=row.attempt,
            since=self._clock() - row.since,
            tokens=len(row.tokens),
            max_tokens=row.entry.max_tokens,
        )

    def _expire_logs(self) -> None:
        now = self._clock()
        while self._done:
            oldest = next(iter(self._done))
            if self._done[oldest][0] > now:
                return
            del self._done[oldest]


def _uncount(counter: Counter[str], name: str) -> None:
    if counter[name] > 1:
        counter[name] -= 1
    else:
        del counter[name]
