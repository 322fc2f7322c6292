"""A waiting list as plain as can be, to hold the real ones against: no shelves, no counters.

Everything is worked out again from the entries each time somebody asks.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from streaming.waiting_list.interface import MAX_ATTEMPTS, AdmissionLimits, Edge, State, WorkerState

LEFT = "(left to others)"
"""What `Model.claim` answers when it passed over all that waits."""


@dataclass
class ModelEntry:
    owner: str
    conversation: str
    address: str
    arrival: int
    tag: int = 0
    ticket: int = 0
    state: State = State.HELD
    worker: str = ""
    lease: int = -1
    expired: bool = False
    attempt: int = 0
    cancelled: bool = False
    returned: bool = False
    moved: bool = False
    claimed: bool = False
    events: int = 0
    tokens: list[int] = field(default_factory=list)
    events_before: int = 0
    tokens_before: int = 0
    ended_by: int = -1
    left_to: str = ""
    left: int = 0  # when it was, by a counter; 0: not since it waits
    lapsed: bool = False

    @property
    def place(self) -> tuple[int, int]:
        return self.tag, self.ticket

    @property
    def open(self) -> bool:
        return self.state is not State.DONE

    @property
    def parked(self) -> bool:
        waits = self.state is State.WAITING
        return waits and (self.cancelled or self.attempt >= MAX_ATTEMPTS)

    @property
    def counted(self) -> bool:
        """Does it have a position?"""
        return self.state is State.WAITING and not self.returned


@dataclass
class ModelWorker:
    told: int
    says: WorkerState
    alive: bool = True
    paused: bool = False
    ordered: int | None = None
    drain: bool = False
    prefixes: int = 0
    missing: bool = False

    @property
    def capacity(self) -> int:
        return self.told if self.ordered is None else min(self.told, self.ordered)

    @property
    def state(self) -> WorkerState:
        return WorkerState.DRAINING if self.drain else self.says


class Model:
    def __init__(self) -> None:
        self.entries: dict[str, ModelEntry] = {}
        self.workers: dict[str, ModelWorker] = {}
        self.tickets = 0
        self.virtual_time = 0
        self.paused = False
        self.closed: str | None = None
        self.counted: Counter[str] = Counter()
        self.leases: list[str] = []  # every lease ever given: its response
        self.recent: list[int] = []  # the tokens of what was finished and counted
        self.holders: dict[str, str] = {}  # worker by conversation, the latest one last
        self.leavings = 0

    def ticket(self) -> int:
        self.tickets += 1
        return self.tickets

    def open(self) -> dict[str, ModelEntry]:
        return {name: entry for name, entry in self.entries.items() if entry.open}

    def serving(self) -> list[ModelWorker]:
        return [
            worker
            for worker in self.workers.values()
            if worker.alive and worker.state is not WorkerState.DRAINING
        ]

    def order(self) -> list[str]:
        waiting = [(e.place, name) for name, e in self.entries.items() if e.counted]
        return [name for _, name in sorted(waiting)]

    def before_newcomer(self) -> int:
        """How many would be served before a prompt of an owner who has nothing waiting."""
        return len(self.returned()) + len(self.safe())

    def returned(self) -> list[str]:
        back = [
            (entry.place, name)
            for name, entry in self.entries.items()
            if entry.state is State.WAITING and entry.returned and not entry.parked
        ]
        return [name for _, name in sorted(back)]

    def queue_of(self, owner: str) -> list[ModelEntry]:
        """What an owner has in the order, first to last, but for what was moved."""
        counted = [e for e in self.entries.values() if e.counted and not e.moved]
        mine = [e for e in counted if e.owner == owner]
        return sorted(mine, key=lambda entry: entry.place)

    def heads(self) -> dict[str, str]:
        """The first entry of every owner that has one in the order."""
        heads: dict[str, str] = {}
        for name in self.order():
            heads.setdefault(self.entries[name].owner, name)
        return heads

    def tags(self) -> list[int]:
        return [entry.tag for entry in self.entries.values() if entry.counted]

    def round(self, tags: list[int]) -> int:
        """The virtual time, past rounds in which nobody waits."""
        later = [tag for tag in tags if tag > self.virtual_time]
        return min(later, default=self.virtual_time + 1) - 1

    def safe(self) -> list[str]:
        """Those whom no newcomer can overtake: first heads, while nothing was ever moved."""
        newest = self.round(self.tags()) + 1
        safe = [name for name in self.order() if self.entries[name].tag <= newest]
        if not any(entry.moved for entry in self.entries.values()):
            assert set(self.heads().values()) <= set(safe)
        return safe

    def move(self, name: str, edge: Edge) -> bool:
        entry = self.entries.get(name)
        if entry is None or not entry.counted:
            return False
        tags = self.tags()
        tags.remove(entry.tag)
        entry.moved = True
        entry.left_to = ""
        if tags and edge is Edge.FRONT:
            self.virtual_time = self.round(tags)
            entry.tag, entry.ticket = min(tags) - 1, self.ticket()
        elif tags:
            entry.tag, entry.ticket = max(tags), self.ticket()
        return True

    def position(self, name: str) -> int | None:
        order = self.order()
        return order.index(name) + 1 if name in order else None

    def refused(
        self, owner: str, address: str, limits: AdmissionLimits, needs_worker: bool
    ) -> str | None:
        present = list(self.open().values())
        if self.closed is not None:
            return "queue_closed"
        if needs_worker and not self.serving():
            return "unavailable"
        if 0 < limits.max_per_owner <= sum(entry.owner == owner for entry in present):
            return "user_limit"
        here = sum(entry.address == address for entry in present)
        if address and 0 < limits.max_per_address <= here:
            return "address_limit"
        capacity = sum(worker.capacity for worker in self.serving())
        return "queue_full" if len(present) >= capacity + limits.max_waiting else None

    def enqueue(self, name: str, owner: str, conversation: str, address: str) -> None:
        alone = not conversation or not self.in_conversation(conversation)
        entry = self.entries[name] = ModelEntry(owner, conversation, address, len(self.entries))
        if alone:
            self.enter(entry)

    def enter(self, entry: ModelEntry) -> None:
        last = max((other.tag for other in self.queue_of(entry.owner)), default=0)
        self.virtual_time = self.round(self.tags())
        entry.tag, entry.ticket = max(self.virtual_time, last) + 1, self.ticket()
        entry.state = State.WAITING

    def leave(self, entry: ModelEntry) -> None:
        """The owner's places stay but for the last; those behind the entry move up."""
        if entry.moved:
            return
        queue = self.queue_of(entry.owner)
        places = [other.place for other in queue]
        queue.remove(entry)
        for other, place in zip(queue, places[:-1], strict=True):
            other.tag, other.ticket = place

    def in_conversation(self, conversation: str) -> list[ModelEntry]:
        return [e for e in self.open().values() if e.conversation == conversation]

    def free(self, worker_id: str) -> int:
        """How many a worker may claim."""
        worker = self.workers.get(worker_id)
        if not worker or not worker.alive or worker.state is not WorkerState.READY:
            return 0
        if self.paused or worker.paused:
            return 0
        runs = sum(entry.worker == worker_id for entry in self.open().values())
        return max(0, worker.capacity - runs)

    def left_to(self, worker_id: str) -> list[str]:
        """What is left to a worker, in the order of being left."""
        left = [
            (entry.left, name)
            for name, entry in self.entries.items()
            if entry.state is State.WAITING and entry.left_to == worker_id and not entry.lapsed
        ]
        return [name for _, name in sorted(left)]

    def passes_over(self, worker_id: str, name: str) -> bool:
        """Does a worker leave an entry to another one?"""
        entry = self.entries[name]
        if entry.left:
            to, free = entry.left_to, self.free(entry.left_to)
            if entry.lapsed and free:
                self.workers[to].missing = True
            return bool(to) and name in self.left_to(to)[:free]
        holder = self.holders.get(entry.conversation, "")
        if holder in ("", worker_id) or self.workers[holder].missing:
            return False
        if len(self.left_to(holder)) >= self.free(holder):
            return False
        self.leavings += 1
        entry.left_to, entry.left, entry.lapsed = holder, self.leavings, False
        return True

    def claim(self, worker_id: str) -> str | None:
        if not self.free(worker_id):
            return None
        self.workers[worker_id].missing = False
        waiting = self.left_to(worker_id) or self.returned() + self.order()
        for name in waiting:
            if self.entries[name].left_to != worker_id and self.passes_over(worker_id, name):
                continue
            entry = self.entries[name]
            entry.state, entry.worker, entry.expired = State.RUNNING, worker_id, False
            entry.left_to, entry.left, entry.lapsed = "", 0, False
            self.virtual_time = max(self.virtual_time, entry.tag)
            entry.returned, entry.claimed = False, True
            entry.events_before, entry.tokens_before = entry.events, len(entry.tokens)
            entry.attempt += 1
            entry.lease = len(self.leases)
            self.leases.append(name)
            return name
        return LEFT if waiting else None

    def lapse(self) -> None:
        for entry in self.entries.values():
            entry.lapsed = bool(entry.left)

    def hold(self, entry: ModelEntry) -> None:
        """A worker has finished it and may hold its conversation's prefix now."""
        worker = self.workers.get(entry.worker)
        if worker is None or not worker.prefixes or not entry.conversation:
            return
        self.holders.pop(entry.conversation, None)
        self.holders[entry.conversation] = entry.worker
        mine = [name for name, holder in self.holders.items() if holder == entry.worker]
        for name in mine[: -worker.prefixes]:
            del self.holders[name]

    def forget(self, worker_id: str) -> None:
        for name in self.left_to(worker_id):
            self.entries[name].left_to = ""
        self.workers.pop(worker_id, None)
        self.holders = {c: holder for c, holder in self.holders.items() if holder != worker_id}

    def speaker(self, lease: int) -> ModelEntry | None:
        entry = self.entries[self.leases[lease]]
        valid = entry.state is State.RUNNING and entry.lease == lease and not entry.expired
        return entry if valid else None

    def give_back(self, entry: ModelEntry, forgive: bool) -> bool:
        entry.state, entry.worker, entry.returned = State.WAITING, "", True
        entry.attempt -= forgive
        return not entry.parked

    def end(self, entry: ModelEntry) -> None:
        was_open = entry.state is not State.HELD
        if entry.counted:
            self.leave(entry)
        entry.state, entry.worker = State.DONE, ""
        entry.events += 1
        others = self.in_conversation(entry.conversation)
        if entry.conversation and was_open and others:
            self.enter(min(others, key=lambda other: other.arrival))

    def sweep(self) -> tuple[set[str], set[str], set[str]]:
        returned = {
            name
            for name, entry in self.open().items()
            if entry.state is State.RUNNING and entry.expired and self.give_back(entry, False)
        }
        for name in [name for name, worker in self.workers.items() if not worker.alive]:
            self.forget(name)
        parked = {name: entry for name, entry in self.open().items() if entry.parked}
        cancelled = {name for name, entry in parked.items() if entry.cancelled}
        return returned, set(parked) - cancelled, cancelled
