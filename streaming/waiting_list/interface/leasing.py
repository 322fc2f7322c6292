"""The role `Leasing`, of workers: claim responses, renew leases, publish, and give them back."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence

from streaming.waiting_list.interface.leases import AppendCall, Claim, Lease, Renewal, Reserved
from streaming.waiting_list.interface.workers import Orders, WorkerBeat


class Leasing(ABC):
    """Claim, publish and end responses under leases."""

    @abstractmethod
    async def heartbeat(self, beat: WorkerBeat) -> Orders:
        """Note that a worker is alive, and return the operator's orders for it."""

    @abstractmethod
    async def retire(self, worker_id: str) -> None:
        """Remove a worker that ends; the responses it still runs are given back at once."""

    @abstractmethod
    async def claim(self, worker_id: str, lease_seconds: float) -> Claim | Reserved | None:
        """Claim the next response for a worker, under a lease of `lease_seconds`.

        The next response is the first that is not reserved for another worker (see
        `memory.cache_affinity`). Returns None if nothing waits or the worker may not claim: it must
        be alive and READY, not be paused, and hold fewer leases than its capacity. Raises ListLost
        before a lost list is restored.
        """

    @abstractmethod
    async def renew(self, worker_id: str, leases: Iterable[Lease], lease_seconds: float) -> Renewal:
        """Extend each valid lease to `lease_seconds` from now, and return what became of each."""

    @abstractmethod
    async def append(
        self, lease: Lease, event: str, tokens: Sequence[int] = (), number: int | None = None
    ) -> int | None:
        """Number, store and publish one event (a JSON object without `sequence_number`).

        Returns its number, or None if the lease is no longer valid (nothing was published).
        The first event of a response has number 1. The stored text is `event` with the number
        as its first member: `{"sequence_number":N,` and the rest as it was written. `tokens` are
        the ids of the tokens whose text the event has.

        `number` is the one that the event must get, so that the call may be repeated when its
        answer was lost: for a number that this lease has already published, nothing is stored and
        the number is returned again. Any other number than the next one raises WrongNumber.
        """

    @abstractmethod
    async def append_many(self, appends: Sequence[AppendCall]) -> list[int | None]:
        """Append each event, as `append` does, in one round trip.

        WrongNumber is raised after all others are published.
        """

    async def rewind(self, response_id: str, seen: int, above: int) -> bool:
        """Let an open response begin anew if its log has lost event `seen`; return whether it does.

        For a response of which somebody has read that event: a replica that took over may lack the
        newest ones. That costs an attempt and the generated tokens; new events get numbers greater
        than `above`. A list that can only lose everything at once does nothing.
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
        """Append the last event and end the response; the next of its conversation may run.

        Returns the event's number, None if the lease is no longer valid. `number` is as in
        `append`. `counted`: forecasts may learn from its length, which is not so for an interrupted
        answer. `cut`: it ended at a limit, so that its length is a lower bound.
        """

    @abstractmethod
    async def release(self, lease: Lease, *, forgive: bool = True) -> bool:
        """Return a running response with its tokens to its slot, for a worker that drains.

        With `forgive` the attempt does not count; without it, it counts as a lost worker's does,
        for an engine that hangs, perhaps because of this response. False if the lease is no longer
        valid.
        """
