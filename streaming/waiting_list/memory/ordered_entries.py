"""Waiting responses of the list in memory, sorted by their slots."""

from __future__ import annotations

from collections.abc import Iterator

from sortedcontainers import SortedKeyList

from streaming.waiting_list.interface import Slot
from streaming.waiting_list.memory.open_response import OpenResponse


def slot_of(response: OpenResponse) -> Slot:
    """Return the sort key of a response."""
    return response.slot


class OrderedEntries:
    """Responses in order of their slots, which must not change while they are here."""

    def __init__(self) -> None:
        self._responses = SortedKeyList(key=slot_of)

    def __len__(self) -> int:
        return len(self._responses)

    def __iter__(self) -> Iterator[OpenResponse]:
        return iter(self._responses)

    def add(self, response: OpenResponse) -> None:
        """Add a response at its slot."""
        self._responses.add(response)

    def remove(self, response: OpenResponse) -> None:
        """Remove a response that is here."""
        self._responses.discard(response)  # `remove` would write all of it into an error's text

    def rank(self, response: OpenResponse) -> int:
        """Return how many stand before a response that is here."""
        before: int = self._responses.bisect_key_left(response.slot)
        return before
