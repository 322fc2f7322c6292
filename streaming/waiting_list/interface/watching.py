"""The role `Watching`, of viewers: read events, follow positions."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from streaming.waiting_list.interface.entries import Place
from streaming.waiting_list.interface.views import Watch


class Watching(ABC):
    """Read what responses have published and where they stand."""

    @abstractmethod
    async def read(self, response_id: str, after: int = 0, most: int | None = None) -> list[str]:
        """Return the stored events with numbers greater than `after`, each a complete JSON text.

        `most` bounds how many, the lowest numbers first.
        """

    @abstractmethod
    async def watch(self, response_ids: Sequence[str]) -> Watch:
        """Return state, position and last number of each, and count a viewer touch for each."""

    @abstractmethod
    async def keep(self, response_id: str, seconds: float) -> None:
        """Count an open response as viewed until `seconds` from now; a viewer's touch ends that.

        Below 0: as last viewed so many seconds ago.
        """

    @abstractmethod
    async def place(self, response_id: str) -> Place:
        """Return state and position of one response, without a viewer touch."""

    @abstractmethod
    async def known(self, response_ids: Sequence[str]) -> set[str]:
        """Return those ids that are open (held, waiting or running)."""
