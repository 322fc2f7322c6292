"""Which worker a waiting response is left to: the one that holds the prefix of its conversation.

Only where it costs nobody anything. A worker that claims passes over an entry when another one,
that answered the conversation's last turn and still has what it read of it, has a free place for
the entry at this moment. The place is then the entry's: whatever that worker claims next is what
was left to it, and it is left no more entries than it has places. So just those are started who
would have been without all this, each on the worker that suits it. The worker is told at once; if
it does not come within LEFT_SECONDS, is paused, drained or lost, whoever asks next takes the entry,
which is not left to anybody again. One that did not come is left nothing more until it claims.

`lua/cache_affinity.lua` is the same for Redis.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from streaming.waiting_list.base import WORKERS_GROUP, Left, State
from streaming.waiting_list.ordered_entries import OpenResponse
from streaming.waiting_list.worker_registry import WorkerRegistry

LEFT_SECONDS = 0.3
"""How long an entry is left to the worker that holds its prefix."""

LOOK_AHEAD = 64
"""The most entries that one claim passes over."""

PREFIXES_KEPT = 256
"""The most conversations that are remembered of a worker."""


class Prefixes:
    """Which worker ran the last response of a conversation; of each worker, the latest few."""

    def __init__(self) -> None:
        self._holders: dict[str, str] = {}
        self._held: dict[str, dict[str, None]] = {}  # of each worker, the latest one last

    def __len__(self) -> int:
        return len(self._holders)

    def holder(self, conversation_id: str) -> str:
        """The worker, '' if none is known."""
        return self._holders.get(conversation_id, "")

    def keep(self, worker_id: str, conversation_id: str, most: int) -> None:
        """This worker is the one now. It holds `most`: the oldest of more are forgotten."""
        if not conversation_id or most < 1:
            return
        self._held.get(self.holder(conversation_id), {}).pop(conversation_id, None)
        held = self._held.setdefault(worker_id, {})
        held[conversation_id] = None
        self._holders[conversation_id] = worker_id
        while len(held) > most:
            oldest = next(iter(held))
            del held[oldest], self._holders[oldest]

    def forget(self, worker_id: str) -> None:
        for conversation_id in self._held.pop(worker_id, ()):
            del self._holders[conversation_id]


class CacheAffinity:
    """Chooses what a worker claims. `publish(group, message)` as in MemoryWaitingList."""

    def __init__(
        self,
        clock: Callable[[], float],
        registry: WorkerRegistry,
        publish: Callable[[str, dict[str, object]], None],
        left_seconds: float,
    ) -> None:
        self._clock = clock
        self._registry = registry
        self._publish = publish
        self._left_seconds = left_seconds
        self._prefixes = Prefixes()
        self._left: dict[str, list[OpenResponse]] = {}
        self._missing: set[str] = set()  # did not come for what was left to them

    def keep(self, worker_id: str, conversation_id: str) -> None:
        """A worker has run a response of a conversation to its end."""
        most = min(self._registry.prefixes(worker_id), PREFIXES_KEPT)
        self._prefixes.keep(worker_id, conversation_id, most)

    def forget(self, worker_id: str) -> None:
        """A worker is gone, and its memory with it."""
        self._prefixes.forget(worker_id)
        for row in self._left_to(worker_id):
            row.left_to = ""
        self._left.pop(worker_id, None)
        self._missing.discard(worker_id)

    def choose(self, worker_id: str, waiting: Iterable[OpenResponse]) -> OpenResponse | Left | None:
        """What a worker with a free place claims of what waits, in order; it is free of any
        preference then."""
        self._missing.discard(worker_id)
        row: OpenResponse | None
        if mine := self._left_to(worker_id):
            return self.free(mine[0])
        left: list[float] = []
        for row in waiting:
            if len(left) == LOOK_AHEAD or not self._leave(row, worker_id):
                return self.free(row)
            left.append(row.left_until)
        return Left(min(left) - self._clock()) if left else None

    def free(self, row: OpenResponse) -> OpenResponse:
        """It waits no more; if it comes back, it may be left to somebody again."""
        row.left_to, row.left_until = "", 0.0
        return row

    def _left_to(self, worker_id: str) -> list[OpenResponse]:
        """What is left to a worker and still waits for it."""
        now = self._clock()
        return [
            row
            for row in self._left.get(worker_id, ())
            if row.state is State.WAITING and row.left_to == worker_id and row.left_until > now
        ]

    def _leave(self, row: OpenResponse, worker_id: str) -> bool:
        """Does this worker leave it to another one?"""
        if row.left_until:
            return row.left_to != worker_id and self._still_left(row)
        holder = self._prefixes.holder(row.entry.conversation_id)
        if holder in ("", worker_id) or holder in self._missing:
            return False
        others = self._left_to(holder)
        if len(others) >= self._registry.free_places(holder):
            return False
        row.left_to, row.left_until = holder, self._clock() + self._left_seconds
        self._left[holder] = [*others, row]
        self._publish(WORKERS_GROUP, {"type": "worker.claim", "worker_id": holder})
        return True

    def _still_left(self, row: OpenResponse) -> bool:
        """Is one that was left to a worker to be had by nobody else yet?"""
        if not row.left_to:
            return False
        free = self._registry.free_places(row.left_to)
        if row.left_until <= self._clock():
            if free:
                self._missing.add(row.left_to)
            return False
        return row in self._left_to(row.left_to)[:free]  # places may have become fewer
