"""The order of the waiting list in memory: start-time fair queueing between owners.

`lua/fair_order.lua` is the same for Redis; the rule is told in `base.WaitingList`. No owner's
last tag needs to be kept: while the owner has something waiting it is the tag of the last one,
and otherwise the virtual time has passed it.
"""

from __future__ import annotations

from streaming.waiting_list.shelves import OpenResponse, Shelf, Slot


class FairOrder(Shelf):
    """The entries that have positions. Enter with `enter`, leave with `claim` or `withdraw`."""

    def __init__(self) -> None:
        super().__init__()
        self._by_owner: dict[str, list[OpenResponse]] = {}
        self._virtual_time = 0
        self._tickets = 0

    def enter(self, row: OpenResponse) -> None:
        """Give a response its place and let it stand there."""
        queue = self._by_owner.setdefault(row.entry.owner, [])
        last = queue[-1].place.tag if queue else 0
        self._tickets += 1
        row.place = Slot(max(self._virtual_time, last) + 1, self._tickets)
        queue.append(row)
        self.add(row)

    def claim(self) -> OpenResponse | None:
        """Take the first one out."""
        row = self.pop()
        if row is not None:
            self._virtual_time = max(self._virtual_time, row.place.tag)
            self._forget(row)
        return row

    def withdraw(self, row: OpenResponse) -> None:
        """Take one out, if it is here; its owner's later ones each move up by one place."""
        at = self.rank(row)
        if at is None:
            return
        queue = self._by_owner[row.entry.owner]
        for later in queue[queue.index(row) + 1 :]:
            behind = self.rank(later)
            assert behind is not None
            self.rows[at], later.place, row.place = later, row.place, later.place
            at = behind
        del self.rows[at]
        self._forget(row)

    def _forget(self, row: OpenResponse) -> None:
        queue = self._by_owner[row.entry.owner]
        queue.remove(row)
        if not queue:
            del self._by_owner[row.entry.owner]
