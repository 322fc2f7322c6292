"""What the waiting list in memory is made of: open responses, and shelves of them in order."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from sortedcontainers import SortedKeyList

from streaming.waiting_list.base import Entry, Slot, State
from streaming.waiting_list.event_logs import EventLog

NOWHERE = Slot(0, 0)


@dataclass(slots=True, eq=False)
class OpenResponse:
    """An open response. It keeps its place while it runs, to come back to it.

    `tail_before` and `tokens_before` are how far it was at its last claim. `left_to` is the worker
    that it was left to since it waits, if no operator moved it then, and `left_until` (0: not at
    all) is when others need wait no longer.
    """

    entry: Entry
    asked: float
    since: float
    seen: float
    state: State = State.HELD
    place: Slot = NOWHERE
    worker_id: str = ""
    token: int = 0
    expires: float = 0.0
    attempt: int = 0
    cancelled: bool = False
    log: EventLog = field(default_factory=EventLog)
    tokens: list[int] = field(default_factory=list)
    tail_before: int = 0
    tokens_before: int = 0
    left_to: str = ""
    left_until: float = 0.0

    @property
    def response_id(self) -> str:
        return self.entry.response_id


def place_of(row: OpenResponse) -> Slot:
    return row.place


class OrderedEntries:
    """Waiting responses in order of their places, which stay as they are while they are here."""

    def __init__(self) -> None:
        self._rows = SortedKeyList(key=place_of)

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[OpenResponse]:
        return iter(self._rows)

    def add(self, row: OpenResponse) -> None:
        self._rows.add(row)

    def rank(self, row: OpenResponse) -> int | None:
        """How many are before it; None if it is not here."""
        if row not in self._rows:  # `index` would write all of it into an error's text
            return None
        before: int = self._rows.bisect_key_left(row.place)
        return before

    def discard(self, row: OpenResponse) -> bool:
        """Take one out; False if it is not here."""
        present = len(self._rows)
        self._rows.discard(row)
        return len(self._rows) < present
