"""What the waiting list in memory is made of: open responses, and shelves of them in order."""

from __future__ import annotations

from bisect import bisect_left, insort
from dataclasses import dataclass, field
from typing import NamedTuple

from streaming.waiting_list.base import Entry, State
from streaming.waiting_list.event_logs import EventLog


class Slot(NamedTuple):
    """Where a response stands: the smaller is sooner. No two have the same ticket."""

    tag: int
    ticket: int


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


class Shelf:
    """Waiting responses in order of their places."""

    def __init__(self) -> None:
        self.rows: list[OpenResponse] = []

    def __len__(self) -> int:
        return len(self.rows)

    def add(self, row: OpenResponse) -> None:
        insort(self.rows, row, key=place_of)

    def rank(self, row: OpenResponse) -> int | None:
        at = bisect_left(self.rows, row.place, key=place_of)
        return at if at < len(self.rows) and self.rows[at] is row else None

    def discard(self, row: OpenResponse) -> bool:
        """Take one out; False if it is not here."""
        at = self.rank(row)
        if at is not None:
            del self.rows[at]
        return at is not None
