"""The workers that the waiting list in memory knows: who is alive, who may claim."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from streaming.waiting_list.base import Orders, WorkerBeat, WorkerRow, WorkerState


@dataclass(slots=True)
class KnownWorker:
    beat: WorkerBeat
    at: float
    paused: bool = False
    orders: Orders = field(default_factory=Orders)

    @property
    def capacity(self) -> int:
        """The heartbeat's, or the ordered one if that is less."""
        if self.orders.capacity is None:
            return self.beat.capacity
        return min(self.beat.capacity, self.orders.capacity)

    @property
    def state(self) -> WorkerState:
        return WorkerState.DRAINING if self.orders.drain else self.beat.state


@dataclass(slots=True)
class WorkerRegistry:
    clock: Callable[[], float]
    paused: bool = False
    """Nobody claims."""
    leases: dict[str, set[str]] = field(default_factory=dict)
    """What each worker runs; that outlives a dead one's row."""
    _workers: dict[str, KnownWorker] = field(default_factory=dict)

    def beat(self, beat: WorkerBeat) -> Orders:
        known = self._workers.setdefault(beat.worker_id, KnownWorker(beat, 0))
        known.beat, known.at = beat, self.clock()
        return known.orders

    def remove(self, worker_id: str) -> None:
        self._workers.pop(worker_id, None)

    def bury(self) -> list[str]:
        """Forget those that have not been heard of in time: these."""
        dead = [name for name, worker in self._workers.items() if not self._alive(worker)]
        for name in dead:
            del self._workers[name]
        return dead

    def pause(self, worker_id: str | None, paused: bool) -> bool:
        if worker_id is None:
            self.paused = paused
        elif worker_id in self._workers:
            self._workers[worker_id].paused = paused
        else:
            return False
        return True

    def order(self, worker_id: str, capacity: int | None, drain: bool | None) -> bool:
        known = self._workers.get(worker_id)
        if known is None:
            return False
        if capacity is not None:
            known.orders = replace(known.orders, capacity=capacity)
        if drain is not None:
            known.orders = replace(known.orders, drain=drain)
        return True

    def lease(self, worker_id: str, response_id: str) -> None:
        self.leases.setdefault(worker_id, set()).add(response_id)

    def unlease(self, worker_id: str, response_id: str) -> None:
        leases = self.leases.get(worker_id)
        if leases is not None:
            leases.discard(response_id)
            if not leases:
                del self.leases[worker_id]

    def free_places(self, worker_id: str) -> int:
        """How many it may claim now."""
        worker = self._workers.get(worker_id)
        if (
            worker is None
            or not self._alive(worker)
            or worker.state is not WorkerState.READY
            or self.paused
            or worker.paused
        ):
            return 0
        return max(0, worker.capacity - len(self.leases.get(worker_id, ())))

    def prefixes(self, worker_id: str) -> int:
        """Of how many prompts it says it has what it read; 0 of one that is not known."""
        worker = self._workers.get(worker_id)
        return worker.beat.prefixes if worker else 0

    def serving(self) -> list[int]:
        """The capacities of the live workers that are not draining: together the bound."""
        return [worker.capacity for worker in self._live() if _serves(worker)]

    def places(self) -> dict[str, int]:
        """The capacities of those that claim, or will once they are loaded."""
        return {
            worker.beat.worker_id: worker.capacity
            for worker in self._live()
            if _serves(worker) and not (self.paused or worker.paused)
        }

    def rows(self) -> list[WorkerRow]:
        return [
            WorkerRow(
                worker_id=worker.beat.worker_id,
                capacity=worker.capacity,
                state=worker.state,
                running=len(self.leases.get(worker.beat.worker_id, ())),
                age=self.clock() - worker.at,
                details=dict(worker.beat.details),
                paused=worker.paused,
                orders=worker.orders,
            )
            for worker in self._live()
        ]

    def _live(self) -> list[KnownWorker]:
        return [
            self._workers[name]
            for name in sorted(self._workers)
            if self._alive(self._workers[name])
        ]

    def _alive(self, worker: KnownWorker) -> bool:
        return worker.at + worker.beat.ttl > self.clock()


def _serves(worker: KnownWorker) -> bool:
    return worker.state is not WorkerState.DRAINING
