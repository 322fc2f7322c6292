"""Cache affinity: which worker a waiting response is reserved for.

The worker that answered the last turn of a conversation, the holder of its prefix, still has the
prefix's keys and values in its engine. A response is reserved for the holder only where that
delays nobody: a worker that claims passes over an entry if its holder has a free place for it now.
That place is then taken: the holder's next claim returns what is reserved for it, and no more is
reserved for it than it has free places. So the same responses start as without reservations, each
on the worker that suits it. The holder is told at once. If it does not claim within
RESERVED_SECONDS, or is paused, drained or lost, the next worker that claims gets the entry, which
is not reserved again. A holder that did not claim in time gets no reservations until it claims.

`lua/cache_affinity.lua` is the same for Redis.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from streaming.waiting_list.interface import WORKERS_GROUP, Reserved, State
from streaming.waiting_list.memory.open_response import OpenResponse
from streaming.waiting_list.memory.worker_registry import WorkerRegistry

RESERVED_SECONDS = 0.3
"""Seconds for which an entry is reserved for the worker that holds its prefix."""

LOOK_AHEAD = 64
"""Maximum entries that one claim passes over."""

PREFIXES_KEPT = 256
"""Maximum conversations whose holder one worker is remembered as."""


class Prefixes:
    """The holder of each conversation's prefix: the worker that ran its last response.

    Of each worker, only the latest conversations are remembered.
    """

    def __init__(self) -> None:
        self._holders: dict[str, str] = {}
        self._held: dict[str, dict[str, None]] = {}  # of each worker, the latest one last

    def __len__(self) -> int:
        return len(self._holders)

    def holder(self, conversation_id: str) -> str:
        """Return the worker that holds a conversation's prefix, '' if unknown."""
        return self._holders.get(conversation_id, "")

    def keep(self, worker_id: str, conversation_id: str, most: int) -> None:
        """Make a worker the holder; of its prefixes, forget the oldest beyond `most`."""
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
        """Forget all prefixes of a worker."""
        for conversation_id in self._held.pop(worker_id, ()):
            del self._holders[conversation_id]


class CacheAffinity:
    """Chooses what a worker claims. `publish(group, message)` as in MemoryWaitingList."""

    def __init__(
        self,
        clock: Callable[[], float],
        registry: WorkerRegistry,
        publish: Callable[[str, dict[str, object]], None],
        reserved_seconds: float,
    ) -> None:
        self._clock = clock
        self._registry = registry
        self._publish = publish
        self._reserved_seconds = reserved_seconds
        self._prefixes = Prefixes()
        self._reserved: dict[str, list[OpenResponse]] = {}
        self._missing: set[str] = set()  # did not claim what was reserved for them in time

    def keep(self, worker_id: str, conversation_id: str) -> None:
        """Note that a worker has finished a response of a conversation."""
        most = min(self._registry.cached_prefix_capacity(worker_id), PREFIXES_KEPT)
        self._prefixes.keep(worker_id, conversation_id, most)

    def forget(self, worker_id: str) -> None:
        """Forget a worker that is gone, and cancel its reservations."""
        self._prefixes.forget(worker_id)
        for response in self._reserved_for(worker_id):
            response.cancel_reservation()
        self._reserved.pop(worker_id, None)
        self._missing.discard(worker_id)

    def choose(
        self, worker_id: str, waiting: Iterable[OpenResponse]
    ) -> OpenResponse | Reserved | None:
        """Return the response of `waiting`, which is in order, that a worker is to claim.

        Reserved if all are reserved for other workers, None if nothing waits. The worker must have
        a free place. The reservation of the chosen response is cleared.
        """
        self._missing.discard(worker_id)
        if mine := self._reserved_for(worker_id):
            return _chosen(mine[0])
        until: list[float] = []
        for response in waiting:
            if len(until) == LOOK_AHEAD or not self._passes_over(response, worker_id):
                return _chosen(response)
            until.append(response.reserved_until)
        return Reserved(min(until) - self._clock()) if until else None

    def _reserved_for(self, worker_id: str) -> list[OpenResponse]:
        """Return the responses that are reserved for a worker now."""
        now = self._clock()
        return [
            response
            for response in self._reserved.get(worker_id, ())
            if response.state is State.WAITING
            and response.reserved_for == worker_id
            and response.reserved_until > now
        ]

    def _passes_over(self, response: OpenResponse, worker_id: str) -> bool:
        """Return whether a worker must leave a response to its holder; reserve it if it does."""
        if response.reserved_until:
            return response.reserved_for != worker_id and self._is_reserved(response)
        holder = self._prefixes.holder(response.entry.conversation_id)
        if holder in ("", worker_id) or holder in self._missing:
            return False
        others = self._reserved_for(holder)
        if len(others) >= self._registry.free_capacity(holder):
            return False
        response.reserve(holder, self._clock() + self._reserved_seconds)
        self._reserved[holder] = [*others, response]
        self._publish(WORKERS_GROUP, {"type": "worker.claim", "worker_id": holder})
        return True

    def _is_reserved(self, response: OpenResponse) -> bool:
        """Return whether only its holder may claim a response that was reserved."""
        if not response.reserved_for:
            return False
        free = self._registry.free_capacity(response.reserved_for)
        if response.reserved_until <= self._clock():
            if free:
                self._missing.add(response.reserved_for)
            return False
        holders = self._reserved_for(response.reserved_for)
        return response in holders[:free]  # its free places may have become fewer


def _chosen(response: OpenResponse) -> OpenResponse:
    response.clear_reservation()
    return response
