"""The workers that the waiting list in memory knows: who is alive, who may claim."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from streaming.waiting_list.interface import Orders, WorkerBeat, WorkerRow, WorkerState


@dataclass(slots=True)
class KnownWorker:
    """A worker's last heartbeat and when it came (seconds of the list's clock), and its orders."""

    beat: WorkerBeat
    at: float
    paused: bool = False
    orders: Orders = field(default_factory=Orders)

    @property
    def capacity(self) -> int:
        """The effective capacity: the heartbeat's, or the ordered one if that is less."""
        if self.orders.capacity is None:
            return self.beat.capacity
        return min(self.beat.capacity, self.orders.capacity)

    @property
    def state(self) -> WorkerState:
        """The effective state: DRAINING if ordered, else the heartbeat's."""
        return WorkerState.DRAINING if self.orders.drain else self.beat.state


@dataclass(slots=True)
class WorkerRegistry:
    """Workers by id, with their leases."""

    clock: Callable[[], float]
    paused: bool = False
    """Whether no worker may claim."""
    leases: dict[str, set[str]] = field(default_factory=dict)
    """The response ids that each worker runs; a dead worker's stay until they are given back."""
    _workers: dict[str, KnownWorker] = field(default_factory=dict)

    def beat(self, beat: WorkerBeat) -> Orders:
        """Note a heartbeat, and return the worker's orders."""
        known = self._workers.setdefault(beat.worker_id, KnownWorker(beat, 0))
        known.beat, known.at = beat, self.clock()
        return known.orders

    def remove(self, worker_id: str) -> None:
        """Forget a worker; its leases stay until they are given back."""
        self._workers.pop(worker_id, None)

    def remove_dead(self) -> list[str]:
        """Forget the workers whose time to live is over, and return their ids."""
        dead = [name for name, worker in self._workers.items() if not self._alive(worker)]
        for name in dead:
            del self._workers[name]
        return dead

    def pause(self, worker_id: str | None, paused: bool) -> bool:
        """Pause or unpause a worker, or all (None); False for an unknown worker."""
        if worker_id is None:
            self.paused = paused
        elif worker_id in self._workers:
            self._workers[worker_id].paused = paused
        else:
            return False
        return True

    def order(self, worker_id: str, capacity: int | None, drain: bool | None) -> bool:
        """Change a worker's orders; None changes nothing. False for an unknown worker."""
        known = self._workers.get(worker_id)
        if known is None:
            return False
        if capacity is not None:
            known.orders = replace(known.orders, capacity=capacity)
        if drain is not None:
            known.orders = replace(known.orders, drain=drain)
        return True

    def lease(self, worker_id: str, response_id: str) -> None:
        """Count a response as run by a worker."""
        self.leases.setdefault(worker_id, set()).add(response_id)

    def unlease(self, worker_id: str, response_id: str) -> None:
        """No longer count a response as run by a worker."""
        leases = self.leases.get(worker_id)
        if leases is not None:
            leases.discard(response_id)
            if not leases:
                del self.leases[worker_id]

    def free_capacity(self, worker_id: str) -> int:
        """Return how many responses a worker may claim now."""
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

    def cached_prefix_capacity(self, worker_id: str) -> int:
        """Return how many prefixes a worker's engine keeps; 0 for an unknown worker."""
        worker = self._workers.get(worker_id)
        return worker.beat.cached_prefix_capacity if worker else 0

    def serving_capacities(self) -> list[int]:
        """Return the capacities of the live workers that are not draining."""
        return [worker.capacity for worker in self._live() if _serves(worker)]

    def claiming_capacities(self) -> dict[str, int]:
        """Return, by worker, the capacities of those that claim, or will once they are loaded."""
        return {
            worker.beat.worker_id: worker.capacity
            for worker in self._live()
            if _serves(worker) and not (self.paused or worker.paused)
        }

    def rows(self) -> list[WorkerRow]:
        """Return the live workers as a snapshot shows them, by id."""
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
