"""All open responses of the waiting list in memory, by id and by phase."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain

from streaming.waiting_list.interface import Claim, Entry, Remembered, Reserved
from streaming.waiting_list.memory.bounds import Bounds
from streaming.waiting_list.memory.cache_affinity import CacheAffinity
from streaming.waiting_list.memory.conversation_queues import ConversationQueues
from streaming.waiting_list.memory.event_logs import EventLog
from streaming.waiting_list.memory.fair_order import FairOrder
from streaming.waiting_list.memory.open_response import OpenResponse, ResponsePhase
from streaming.waiting_list.memory.ordered_entries import OrderedEntries
from streaming.waiting_list.memory.worker_registry import WorkerRegistry


class OpenResponses:
    """Open responses by id, in order of arrival, and a collection for each phase.

    A response is in `order` while ORDERED, in `returned` while RETURNED, in `parked` while
    PARKED, in the registry's leases while RUNNING, and HELD behind the first one of its
    conversation. Only the methods of this class move it.
    """

    def __init__(
        self, clock: Callable[[], float], registry: WorkerRegistry, affinity: CacheAffinity
    ) -> None:
        self.order = FairOrder()
        self.returned = OrderedEntries()
        self.parked = OrderedEntries()
        self.conversations = ConversationQueues()
        self.bounds = Bounds()
        self._clock = clock
        self._registry = registry
        self._affinity = affinity
        self._by_id: dict[str, OpenResponse] = {}
        self._last_token = 0

    def __len__(self) -> int:
        return len(self._by_id)

    def __iter__(self) -> Iterator[OpenResponse]:
        return iter(self._by_id.values())

    def __contains__(self, response_id: str) -> bool:
        return response_id in self._by_id

    def __getitem__(self, response_id: str) -> OpenResponse:
        return self._by_id[response_id]

    def get(self, response_id: str) -> OpenResponse | None:
        """Return an open response, None for another id."""
        return self._by_id.get(response_id)

    def in_phase(self, phase: ResponsePhase) -> list[OpenResponse]:
        """Return those in a phase, in order of arrival."""
        return [response for response in self if response.phase is phase]

    def position(self, response: OpenResponse) -> int | None:
        """Return a response's position in the order: 1 is next, None if it is not in the order."""
        return self.order.rank(response) + 1 if response.phase is ResponsePhase.ORDERED else None

    def add(self, entry: Entry, said: int) -> OpenResponse:
        """Add a new response: in the order, or held behind another one of its conversation."""
        now = self._clock()
        response, is_held = self._register(entry, said, now, now)
        if not is_held:
            self.order.enter(response, now)
        return response

    def restore(self, known: Remembered, seen: float) -> None:
        """Add a response that a lost list had, where it stood.

        It counts as last viewed at `seen`, in seconds of the list's clock.
        """
        now = self._clock()
        response, is_held = self._register(known.entry, known.said, now, seen)
        if is_held:
            return
        if known.ran:
            slot = known.slot or self.order.slot_ahead()
            response.enter_returned(slot, self._next_token(), now)
            self.order.pass_over(slot)
            self.returned.add(response)
        elif known.slot:
            self.order.restore(response, known.slot, now)
        else:
            self._enter_late(response)

    def choose(self, worker_id: str) -> OpenResponse | Reserved | None:
        """Return what a worker is to claim.

        Reserved if all that waits is reserved for other workers, None if nothing waits.
        """
        return self._affinity.choose(worker_id, chain(self.returned, self.order))

    def start(
        self, response: OpenResponse, worker_id: str, now: float, lease_seconds: float
    ) -> Claim:
        """Lease a waiting response to a worker and return the claim."""
        if response.phase is ResponsePhase.RETURNED:
            self.returned.remove(response)
        else:
            self.order.claim(response)
        claim = response.start(worker_id, self._next_token(), now, lease_seconds)
        self._registry.lease(worker_id, response.response_id)
        return claim

    def give_back(self, response: OpenResponse, *, forgive: bool) -> bool:
        """Return a running response to its slot; False if it may not be claimed again."""
        self._registry.unlease(response.worker_id, response.response_id)
        response.give_back(self._clock(), forgive=forgive)
        again = response.phase is ResponsePhase.RETURNED
        (self.returned if again else self.parked).add(response)
        return again

    def remove(self, response: OpenResponse) -> None:
        """End a response, whatever its phase; the next of its conversation enters the order."""
        entry = response.entry
        del self._by_id[entry.response_id]
        match response.phase:
            case ResponsePhase.ORDERED:
                self.order.withdraw(response)
            case ResponsePhase.RETURNED:
                self.returned.remove(response)
            case ResponsePhase.PARKED:
                self.parked.remove(response)
            case ResponsePhase.RUNNING:
                self._registry.unlease(response.worker_id, entry.response_id)
        response.end(self._clock())
        self.bounds.remove(entry)
        self.order.unsaved.pop(entry.response_id, None)
        following = self.conversations.leave(entry)
        if following is not None:
            self._enter_late(self._by_id[following])

    def _register(
        self, entry: Entry, said: int, now: float, seen: float
    ) -> tuple[OpenResponse, bool]:
        """Add a held response and count it; return it, and whether it stays held."""
        response = OpenResponse(entry, asked=now, since=now, seen=seen, log=EventLog(said))
        self._by_id[entry.response_id] = response
        self.bounds.add(entry)
        return response, not self.conversations.join(entry)

    def _enter_late(self, response: OpenResponse) -> None:
        """Let a response enter the order after `enqueue` has returned; the record must be told."""
        self.order.enter(response, self._clock())
        self.order.unsaved[response.response_id] = response

    def _next_token(self) -> int:
        self._last_token += 1
        return self._last_token
