"""What the waiting list in memory is made of: open responses, workers, and shelves in order."""

from __future__ import annotations

from bisect import bisect_left, insort
from dataclasses import dataclass, field

from streaming.waiting_list import rules
from streaming.waiting_list.base import Entry, State, WorkerBeat


@dataclass(slots=True)
class OpenResponse:
    """An open response."""

    entry: Entry
    ticket: int
    since: float
    seen: float
    state: State = State.HELD
    worker_id: str = ""
    token: int = 0
    expires: float = 0.0
    attempt: int = 0
    cancelled: bool = False
    log: list[str] = field(default_factory=list)
    tokens: list[int] = field(default_factory=list)

    @property
    def place(self) -> tuple[float, str]:
        return rules.place_key(self.ticket), self.entry.response_id


@dataclass(slots=True)
class KnownWorker:
    beat: WorkerBeat
    at: float


class Shelf:
    """Waiting responses in order of their places."""

    def __init__(self) -> None:
        self._places: list[tuple[float, str]] = []

    def __len__(self) -> int:
        return len(self._places)

    def add(self, place: tuple[float, str]) -> None:
        insort(self._places, place)

    def rank(self, place: tuple[float, str]) -> int | None:
        at = bisect_left(self._places, place)
        return at if at < len(self._places) and self._places[at] == place else None

    def discard(self, place: tuple[float, str]) -> None:
        at = self.rank(place)
        if at is not None:
            del self._places[at]

    def ids(self) -> list[str]:
        return [response_id for _, response_id in self._places]

    def pop(self) -> str | None:
        return self._places.pop(0)[1] if self._places else None
