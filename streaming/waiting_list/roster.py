"""The workers that the waiting list in memory knows: who is alive, who may claim."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from streaming.waiting_list.base import WorkerBeat, WorkerRow, WorkerState


@dataclass(slots=True)
class KnownWorker:
    beat: WorkerBeat
    at: float
    paused: bool = False


@dataclass(slots=True)
class Roster:
    clock: Callable[[], float]
    paused: bool = False
    """Nobody claims."""
    leases: dict[str, set[str]] = field(default_factory=dict)
    """What each worker runs; that outlives a dead one's row."""
    _workers: dict[str, KnownWorker] = field(default_factory=dict)

    def beat(self, beat: WorkerBeat) -> None:
        known = self._workers.get(beat.worker_id)
        self._workers[beat.worker_id] = KnownWorker(
            beat, self.clock(), known is not None and known.paused
        )

    def remove(self, worker_id: str) -> None:
        self._workers.pop(worker_id, None)

    def bury(self) -> None:
        """Forget those that have not been heard of in time."""
        self._workers = {name: w for name, w in self._workers.items() if self._alive(w)}

    def pause(self, worker_id: str | None, paused: bool) -> bool:
        if worker_id is None:
            self.paused = paused
        elif worker_id in self._workers:
            self._workers[worker_id].paused = paused
        else:
            return False
        return True

    def lease(self, worker_id: str, response_id: str) -> None:
        self.leases.setdefault(worker_id, set()).add(response_id)

    def unlease(self, worker_id: str, response_id: str) -> None:
        leases = self.leases.get(worker_id)
        if leases is not None:
            leases.discard(response_id)
            if not leases:
                del self.leases[worker_id]

    def may_claim(self, worker_id: str) -> bool:
        worker = self._workers.get(worker_id)
        return (
            worker is not None
            and self._alive(worker)
            and worker.beat.state is WorkerState.READY
            and not (self.paused or worker.paused)
            and len(self.leases.get(worker_id, ())) < worker.beat.capacity
        )

    def serving(self) -> list[WorkerBeat]:
        """The live workers that are not draining: their capacities are the bound."""
        return [worker.beat for worker in self._live() if _serves(worker)]

    def places(self) -> dict[str, int]:
        """The capacities of those that claim, or will once they are loaded."""
        return {
            worker.beat.worker_id: worker.beat.capacity
            for worker in self._live()
            if _serves(worker) and not (self.paused or worker.paused)
        }

    def rows(self) -> list[WorkerRow]:
        return [
            WorkerRow(
                worker_id=worker.beat.worker_id,
                capacity=worker.beat.capacity,
                state=worker.beat.state,
                running=len(self.leases.get(worker.beat.worker_id, ())),
                age=self.clock() - worker.at,
                details=dict(worker.beat.details),
                paused=worker.paused,
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
    return worker.beat.state is not WorkerState.DRAINING
