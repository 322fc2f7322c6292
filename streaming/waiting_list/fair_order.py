"""The order of the waiting list in memory: start-time fair queueing between owners.

`lua/fair_order.lua` is the same for Redis; the rule is told in `base.WaitingList`. No owner's
last tag needs to be kept: while the owner has something waiting it is the tag of the last one,
and otherwise the virtual time has passed it. Entries that were moved are in no owner's queue.
"""

from __future__ import annotations

from bisect import insort

from streaming.waiting_list.base import Edge, Slot
from streaming.waiting_list.ordered_entries import OpenResponse, OrderedEntries, place_of


class FairOrder(OrderedEntries):
    """The entries that have positions. Enter with `enter`, leave with `claim` or `withdraw`."""

    def __init__(self) -> None:
        super().__init__()
        self.replaced: dict[str, OpenResponse] = {}
        """By id, what stands elsewhere than where it entered; whoever reads it clears it."""
        self._by_owner: dict[str, list[OpenResponse]] = {}
        self._virtual_time = 0
        self._tickets = 0

    def enter(self, row: OpenResponse) -> None:
        """Give a response its place and let it stand there."""
        queue = self._by_owner.setdefault(row.entry.owner, [])
        last = queue[-1].place.tag if queue else 0
        self._close_gap()
        row.place = Slot(max(self._virtual_time, last) + 1, self._ticket())
        queue.append(row)
        self.add(row)

    def restore(self, row: OpenResponse) -> None:
        """Let one stand where it stood in another life."""
        self.count(row.place)
        if not row.place.moved:
            queue = self._by_owner.setdefault(row.entry.owner, [])
            insort(queue, row, key=place_of)
        self.add(row)

    def count(self, slot: Slot) -> None:
        """Whoever enters from now on stands behind this place."""
        self._virtual_time = max(self._virtual_time, slot.tag)
        self._tickets = max(self._tickets, slot.ticket)

    def slot_ahead(self) -> Slot:
        """One for what ran and whose own is not known."""
        return Slot(0, self._ticket())

    def claim(self, row: OpenResponse) -> None:
        """Take one out whose turn it is."""
        self.discard(row)
        self._virtual_time = max(self._virtual_time, row.place.tag)
        self._forget(row)

    def withdraw(self, row: OpenResponse) -> None:
        """Take one out, if it is here; its owner's later ones each move up by one place."""
        if not self.discard(row):
            return
        queue = self._by_owner.get(row.entry.owner, [])
        following = queue[queue.index(row) + 1 :] if row in queue else []
        for later in following:
            self.discard(later)
        for later in following:
            later.place, row.place = row.place, later.place
            self.add(later)
            self.replaced[later.response_id] = later
        self._forget(row)

    def move(self, row: OpenResponse, edge: Edge) -> bool:
        """Put one before or behind all others; False if it is not here."""
        if not self.discard(row):
            return False
        self._forget(row)
        if self._rows and edge is Edge.FRONT:
            self._close_gap()  # so that no newcomer gets a tag that is as small
            row.place = Slot(self._rows[0].place.tag - 1, self._ticket(), moved=True)
        elif self._rows:
            row.place = Slot(self._rows[-1].place.tag, self._ticket(), moved=True)
        else:
            row.place = row.place._replace(moved=True)
        self.add(row)
        self.replaced[row.response_id] = row
        return True

    def _close_gap(self) -> None:
        """Pass over rounds that moves have emptied: the next one is that of somebody who waits."""
        for later in self._rows.irange_key(min_key=Slot(self._virtual_time + 1, 0)):
            self._virtual_time = later.place.tag - 1
            break

    def _ticket(self) -> int:
        self._tickets += 1
        return self._tickets

    def _forget(self, row: OpenResponse) -> None:
        """Take it out of its owner's queue, if no move has."""
        queue = self._by_owner.get(row.entry.owner, [])
        if row in queue:
            queue.remove(row)
            if not queue:
                del self._by_owner[row.entry.owner]
