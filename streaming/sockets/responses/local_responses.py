"""What a socket remembers of its responses that are stored nowhere else, so that it can go on with
them."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from uuid import UUID

from streaming.engine.base import ChatMessage


@dataclass(frozen=True, slots=True)
class Prepared:
    """A response without output: turns that another one is to begin with, behind the response
    `previous_id`."""

    turns: tuple[ChatMessage, ...]
    previous_id: UUID | None


class LocalResponses:
    """The newest responses of one socket that are not stored, by their ids; at most `most`.

    What is forgotten here nobody can reach any more: `take_forgotten` returns the responses whose
    rows are to be deleted. One that was gone on with counts as new.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._known: OrderedDict[UUID, Prepared | None] = OrderedDict()
        self._forgotten: list[UUID] = []

    def __len__(self) -> int:
        return len(self._known)

    def __contains__(self, response_id: UUID) -> bool:
        return response_id in self._known

    def keep(self, response_id: UUID, prepared: Prepared | None = None) -> None:
        """Remember a response, and forget the oldest one beyond the bound."""
        self._known[response_id] = prepared
        self._known.move_to_end(response_id)
        while len(self._known) > self._most:
            self.evict(next(iter(self._known)))

    def prepared(self, response_id: UUID) -> Prepared | None:
        """Return what a response without output has prepared; None for all others."""
        if response_id in self._known:
            self._known.move_to_end(response_id)
        return self._known.get(response_id)

    def evict(self, response_id: UUID) -> None:
        """Forget a response."""
        if response_id in self._known and self._known.pop(response_id) is None:
            self._forgotten.append(response_id)

    def clear(self) -> None:
        """Forget all."""
        for response_id in list(self._known):
            self.evict(response_id)

    def take_forgotten(self) -> list[UUID]:
        """Return the ids of those that were forgotten since the last call, without what was only
        prepared."""
        forgotten, self._forgotten = self._forgotten, []
        return forgotten
