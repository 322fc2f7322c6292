"""The role of workers: claim responses, keep their leases, publish, and give them back."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence

from streaming.waiting_list.interface.leases import AppendCall, Claim, Lease, Renewal, Reserved
from streaming.waiting_list.interface.workers import Orders, WorkerBeat


class Leasing(ABC):
    """Claim, publish and end responses under leases."""

    @abstractmethod
    async def heartbeat(self, beat: WorkerBeat) -> Orders:
        """Note that a worker lives, and return what an operator wants of it."""

    @abstractmethod
    async def retire(self, worker_id: str) -> None:
        """Remove a worker that ends; leases it still holds are returned at once."""

    @abstractmethod
    async def claim(self, worker_id: str, lease_seconds: float) -> Claim | Reserved | None:
        """Claim the next response for a worker, under a lease of `lease_seconds`.

        None if nothing waits, or if the worker may not claim: its heartbeat must be alive and
        READY, it must not be paused, and hold fewer leases than its capacity. The next response
        is the first that is not reserved for another worker: see `cache_affinity`. Raises
        ListLost before a lost list is restored.
        """

    @abstractmethod
    async def renew(self, worker_id: str, leases: Iterable[Lease], lease_seconds: float) -> Renewal:
        """Let each valid lease end `lease_seconds` from now, and tell what became of each."""

    @abstractmethod
    async def append(
        self, lease: Lease, event: str, tokens: Sequence[int] = (), number: int | None = None
    ) -> int | None:
        """Number, store and publish one event (a JSON object without `sequence_number`).

        Returns its number, or None if the lease is no longer valid (nothing was published).
        The first event of a response has number 1. The stored text is `event` with the number
        spliced in at its front: `{"sequence_number":N,` and the rest as it was written.
        `tokens` are the ids of the tokens that it makes known.

        With `number`, the one the event must get, the call may be repeated when its answer was
        lost: a number that this lease has already published is answered again and nothing is
        stored. Any other number than the next one raises WrongNumber.
        """

    @abstractmethod
    async def append_many(self, appends: Sequence[AppendCall]) -> list[int | None]:
        """Do `append` for each, in one round trip.

        WrongNumber is raised after all others are published.
        """

    async def rewind(self, response_id: str, seen: int, above: int) -> bool:
        """Let an open response begin anew if its log has lost the event `seen`.

        Called by who knows that somebody was told that event already: so it is when a server is
        followed by one that did not have everything from it. Costs an attempt and the generated
        tokens; new events get numbers greater than `above`. Returns whether it did. A list that
        loses all or nothing need not do anything.
        """
        return False

    @abstractmethod
    async def finish(
        self,
        lease: Lease,
        event: str,
        number: int | None = None,
        *,
        counted: bool = True,
        cut: bool = False,
    ) -> int | None:
        """Append the last event, end lease and entry, let the next of its conversation enter.

        Returns the event's number, None if the lease is no longer valid. `number` as in `append`.
        `counted`: its length tells forecasts how long an answer is, which that of an interrupted
        one does not. `cut`: it ended at a limit, so that its length is a lower bound.
        """

    @abstractmethod
    async def release(self, lease: Lease, *, forgive: bool = True) -> bool:
        """Return a running response to its slot with its tokens (a draining worker).

        `forgive` False: the attempt counts, as a lost worker's does (one whose engine hangs, for
        the response may be the reason). False if the lease is no longer valid.
        """
