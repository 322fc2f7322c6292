"""A waiting list as plain as can be, to hold the real ones against: no shelves, no counters.

Everything is worked out again from the entries each time somebody asks.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from streaming.waiting_list.base import MAX_ATTEMPTS, Limits, State, WorkerState


@dataclass
class ModelEntry:
    owner: str
    conversation: str
    address: str
    ticket: int
    state: State = State.HELD
    worker: str = ""
    lease: int = -1
    expired: bool = False
    attempt: int = 0
    cancelled: bool = False
    returned: bool = False
    events: int = 0
    tokens: list[int] = field(default_factory=list)

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
    capacity: int
    state: WorkerState
    alive: bool = True


class Model:
    def __init__(self) -> None:
        self.entries: dict[str, ModelEntry] = {}
        self.workers: dict[str, ModelWorker] = {}
        self.tickets = 0
        self.leases: list[str] = []  # every lease ever given: its response

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
        waiting = [(e.ticket, name) for name, e in self.entries.items() if e.counted]
        return [name for _, name in sorted(waiting)]

    def returned(self) -> list[str]:
        back = [
            (entry.ticket, name)
            for name, entry in self.entries.items()
            if entry.state is State.WAITING and entry.returned and not entry.parked
        ]
        return [name for _, name in sorted(back)]

    def position(self, name: str) -> int | None:
        order = self.order()
        return order.index(name) + 1 if name in order else None

    def refused(self, owner: str, address: str, limits: Limits, needs_worker: bool) -> str | None:
        present = list(self.open().values())
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
        entry = ModelEntry(owner, conversation, address, self.ticket())
        if not conversation or not self.in_conversation(conversation):
            entry.state = State.WAITING
        self.entries[name] = entry

    def in_conversation(self, conversation: str) -> list[ModelEntry]:
        return [e for e in self.open().values() if e.conversation == conversation]

    def claim(self, worker_id: str) -> str | None:
        worker = self.workers.get(worker_id)
        if not worker or not worker.alive or worker.state is not WorkerState.READY:
            return None
        if sum(entry.worker == worker_id for entry in self.open().values()) >= worker.capacity:
            return None
        for name in self.returned() + self.order():
            entry = self.entries[name]
            entry.state, entry.worker, entry.expired = State.RUNNING, worker_id, False
            entry.returned = False
            entry.attempt += 1
            entry.lease = len(self.leases)
            self.leases.append(name)
            return name
        return None

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
        entry.state, entry.worker = State.DONE, ""
        entry.events += 1
        others = self.in_conversation(entry.conversation)
        if entry.conversation and was_open and others:
            following = min(others, key=lambda other: other.ticket)
            following.state, following.ticket = State.WAITING, self.ticket()

    def sweep(self) -> tuple[set[str], set[str], set[str]]:
        returned = {
            name
            for name, entry in self.open().items()
            if entry.state is State.RUNNING and entry.expired and self.give_back(entry, False)
        }
        for name in [name for name, worker in self.workers.items() if not worker.alive]:
            del self.workers[name]
        parked = {name: entry for name, entry in self.open().items() if entry.parked}
        cancelled = {name for name, entry in parked.items() if entry.cancelled}
        return returned, set(parked) - cancelled, cancelled
