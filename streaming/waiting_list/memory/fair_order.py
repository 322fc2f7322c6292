"""The order of the waiting list in memory: start-time fair queueing between owners.

`lua/fair_order.lua` is the same for Redis; `interface.WaitingList` describes the rule. No owner's
last tag needs to be kept: while the owner has something waiting it is the tag of the last one,
and otherwise the virtual time has passed it. Entries that were moved are in no owner's queue.
"""

from __future__ import annotations

from bisect import insort

from streaming.waiting_list.interface import Edge, Slot
from streaming.waiting_list.memory.open_response import OpenResponse
from streaming.waiting_list.memory.ordered_entries import OrderedEntries, slot_of


class FairOrder(OrderedEntries):
    """The responses that have positions: in by `enter`, out by `claim` or `withdraw`."""

    def __init__(self) -> None:
        super().__init__()
        self.unsaved: dict[str, OpenResponse] = {}
        """By id, responses whose slot is not the one that `enqueue` returned, until it is saved."""
        self._by_owner: dict[str, list[OpenResponse]] = {}
        self._virtual_time = 0
        self._last_ticket = 0

    def enter(self, response: OpenResponse, now: float) -> None:
        """Give a response its slot in the order, behind its owner's others."""
        queue = self._by_owner.setdefault(response.entry.owner, [])
        last = queue[-1].slot.tag if queue else 0
        self._close_gap()
        response.enter(Slot(max(self._virtual_time, last) + 1, self._next_ticket()), now)
        queue.append(response)
        self.add(response)

    def restore(self, response: OpenResponse, slot: Slot, now: float) -> None:
        """Let a response wait where it stood before the list was lost."""
        self.pass_over(slot)
        response.enter(slot, now)
        if not slot.moved:
            queue = self._by_owner.setdefault(response.entry.owner, [])
            insort(queue, response, key=slot_of)
        self.add(response)

    def pass_over(self, slot: Slot) -> None:
        """Let all who enter from now on stand behind this slot."""
        self._virtual_time = max(self._virtual_time, slot.tag)
        self._last_ticket = max(self._last_ticket, slot.ticket)

    def slot_ahead(self) -> Slot:
        """Return a slot for a response that ran and whose own slot is not known."""
        return Slot(0, self._next_ticket())

    def before_newcomer(self) -> int:
        """Return how many stand before a response that `enter` would add for a new owner."""
        tag = self._present_time() + 1
        before: int = self._responses.bisect_key_left(Slot(tag, self._last_ticket + 1))
        return before

    def claim(self, response: OpenResponse) -> None:
        """Remove a response that is claimed, and advance the virtual time to its tag."""
        self.remove(response)
        self._virtual_time = max(self._virtual_time, response.slot.tag)
        self._leave_queue(response)

    def withdraw(self, response: OpenResponse) -> None:
        """Remove a response; each later one of its owner inherits the slot of the one before it."""
        self.remove(response)
        queue = self._by_owner.get(response.entry.owner, [])
        following = queue[queue.index(response) + 1 :] if response in queue else []
        for later in following:
            self.remove(later)
        for later in following:
            later.slot, response.slot = response.slot, later.slot
            self.add(later)
            self.unsaved[later.response_id] = later
        self._leave_queue(response)

    def move(self, response: OpenResponse, edge: Edge) -> None:
        """Put one before or behind all others."""
        self.remove(response)
        self._leave_queue(response)
        if self._responses and edge is Edge.FRONT:
            self._close_gap()  # so that no newcomer gets a tag that is as small
            tag = self._responses[0].slot.tag - 1
            response.slot = Slot(tag, self._next_ticket(), moved=True)
        elif self._responses:
            tag = self._responses[-1].slot.tag
            response.slot = Slot(tag, self._next_ticket(), moved=True)
        else:
            response.slot = response.slot._replace(moved=True)
        self.add(response)
        self.unsaved[response.response_id] = response

    def move_before(self, response: OpenResponse, other: OpenResponse) -> None:
        """Put one directly before another; those between take the slots of their neighbours."""
        at, to = self.rank(response), self.rank(other)
        segment = list(self._responses[at:to] if at < to else self._responses[to : at + 1])
        slots = [each.slot for each in segment]
        for each in segment:
            self.remove(each)
        self._leave_queue(response)
        segment.remove(response)
        segment.insert(len(segment) if at < to else 0, response)
        for each, slot in zip(segment, slots, strict=True):
            each.slot = slot._replace(moved=each.slot.moved or each is response)
            self.add(each)
            self.unsaved[each.response_id] = each

    def _close_gap(self) -> None:
        """Pass over rounds that moves have emptied: the next one is that of somebody who waits."""
        self._virtual_time = self._present_time()

    def _present_time(self) -> int:
        """Return the virtual time as it is once such rounds are passed over."""
        for later in self._responses.irange_key(min_key=Slot(self._virtual_time + 1, 0)):
            return int(later.slot.tag) - 1
        return self._virtual_time

    def _next_ticket(self) -> int:
        self._last_ticket += 1
        return self._last_ticket

    def _leave_queue(self, response: OpenResponse) -> None:
        """Take it out of its owner's queue, if no move has."""
        queue = self._by_owner.get(response.entry.owner, [])
        if response in queue:
            queue.remove(response)
            if not queue:
                del self._by_owner[response.entry.owner]
