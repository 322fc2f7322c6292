"""The role `Operating`, of operators and maintenance: steer the queue, show it, sweep it."""

from __future__ import annotations

from abc import ABC, abstractmethod

from streaming.waiting_list.interface.constants import SAMPLES_KEPT
from streaming.waiting_list.interface.entries import Edge
from streaming.waiting_list.interface.measures import Counters, Load
from streaming.waiting_list.interface.views import Snapshot, Sweep
from streaming.waiting_list.interface.workers import WorkerRow


class Operating(ABC):
    """Steer the queue and its workers, show all of it, and sweep it."""

    @abstractmethod
    async def move(self, response_id: str, edge: Edge) -> bool:
        """Put an entry of the order before or behind all others; False if it is not in the order.

        At the front, those that returned from a lost worker stay ahead of it. At the back it stands
        behind all who wait now; later ones get their fair slots.
        """

    @abstractmethod
    async def move_before(self, response_id: str, other_id: str) -> bool:
        """Put an entry of the order directly before another one; False if either is not in it.

        Those between its old and its new place take the slots of their neighbours, and keep their
        order. It is `moved` then, the others are what they were.
        """

    @abstractmethod
    async def close(self, message: str) -> None:
        """Accept nothing new, with a message that says why. What is open continues.

        The queue stays closed when all workers end. Raises ValueError for a message that is empty,
        longer than CLOSED_MESSAGE_CHARS, or not storable.
        """

    @abstractmethod
    async def reopen(self) -> None:
        """Accept new responses again."""

    @abstractmethod
    async def closed(self) -> str | None:
        """Return the operator's message while the queue is closed, else None."""

    @abstractmethod
    async def order(
        self, worker_id: str, *, capacity: int | None = None, drain: bool | None = None
    ) -> bool:
        """Set a worker's capacity, or let it drain or serve again; None changes nothing.

        False if there is no such worker. Raises ValueError for a capacity below 0.

        The list applies an order at once, whatever the worker does: its capacity is at most the
        ordered one, and a worker that is to drain claims nothing and counts for no bound. A
        capacity above the heartbeat's takes effect with a heartbeat that says so. What runs
        continues. Orders are forgotten with the worker.
        """

    @abstractmethod
    async def pause(self, worker_id: str | None = None) -> bool:
        """Let a worker claim nothing, or (None) none at all, those yet to come included.

        What runs continues, and capacities count as before. The switch of a worker and the one for
        all are independent: a worker claims when neither is set. Its own is forgotten with the
        worker. False if there is no such worker.
        """

    @abstractmethod
    async def unpause(self, worker_id: str | None = None) -> bool:
        """Take back what `pause` did with the same argument."""

    @abstractmethod
    async def elect(self, name: str, holder: str, seconds: float) -> bool:
        """Return whether `holder` alone has the duty `name` for `seconds` from now.

        A holder that asks again in time keeps it.
        """

    @abstractmethod
    async def snapshot(self) -> Snapshot:
        """Return workers and open responses, read at one moment."""

    async def workers(self) -> list[WorkerRow]:
        """Return the live workers alone."""
        return (await self.snapshot()).workers

    @abstractmethod
    async def counters(self) -> Counters:
        """Return the counters since the list began, and the present numbers."""

    @abstractmethod
    async def sample(self, text: str) -> None:
        """Keep one sample; the oldest beyond SAMPLES_KEPT are dropped."""

    @abstractmethod
    async def samples(self, last: int = SAMPLES_KEPT) -> list[str]:
        """Return the last samples, the newest last."""

    @abstractmethod
    async def load(self) -> Load:
        """Return what runs, what waits, who claims and how long answers were, for a forecast."""

    @abstractmethod
    async def sweep(self, viewer_grace: float, queue_timeout: float | None = None) -> Sweep:
        """Give back expired leases, drop dead workers, and return what the caller is to end.

        Those are responses that nobody has watched for `viewer_grace` seconds, that were not
        claimed within `queue_timeout` seconds (None: no limit), or that are out of attempts. Of
        those that nobody has watched, the caller may `keep` some instead.
        """
