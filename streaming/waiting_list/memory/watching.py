"""Watching responses of the waiting list in memory: their events and positions."""

from __future__ import annotations

from collections.abc import Sequence

from streaming.waiting_list.interface import Place, Watch, Watching
from streaming.waiting_list.memory.store import MemoryStore


class MemoryWatching(MemoryStore, Watching):
    """The role `Watching` of the list in memory."""

    async def read(self, response_id: str, after: int = 0, most: int | None = None) -> list[str]:
        """Return the stored events with numbers greater than `after`, at most `most`."""
        found = self._open.get(response_id) or self._done.get(response_id)
        return found.log.after(after, most) if found else []

    async def watch(self, response_ids: Sequence[str]) -> Watch:
        """Return state, position and last number of each, and count a viewer touch for each."""
        now = self._clock()
        for response_id in response_ids:
            if response_id in self._open:
                self._open[response_id].seen = now
        return Watch(
            size=len(self._open.order),
            workers=len(self._registry.serving_capacities()),
            responses={response_id: self._look(response_id) for response_id in response_ids},
        )

    async def keep(self, response_id: str, seconds: float) -> None:
        """Count an open response as viewed until `seconds` from now."""
        if response_id in self._open:
            self._open[response_id].seen = self._clock() + seconds

    async def place(self, response_id: str) -> Place:
        """Return state and position of one response."""
        return self._place(response_id, created=False)

    async def known(self, response_ids: Sequence[str]) -> set[str]:
        """Return those ids that are open."""
        return {response_id for response_id in response_ids if response_id in self._open}
