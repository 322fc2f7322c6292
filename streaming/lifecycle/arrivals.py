"""Prompts on their way into this process's record and its waiting list, when many come at once."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Iterator
from uuid import UUID
from weakref import WeakKeyDictionary

from streaming.record import queries
from streaming.waiting_list.base import Slot

_WRITTEN_AT_ONCE = 4
"""So many prompts of a crowd stand before the database's thread. Others wait where they do not hold
up what starts and ends answers."""


class Arrivals:
    """Those of one event loop."""

    _of_loop: WeakKeyDictionary[asyncio.AbstractEventLoop, Arrivals] = WeakKeyDictionary()

    def __init__(self) -> None:
        self._turnstile = asyncio.Semaphore(_WRITTEN_AT_ONCE)
        self._coming = 0
        self._none = asyncio.Event()
        self._accepted: deque[UUID] = deque()
        self._slots: dict[UUID, str] = {}  # where they stand

    @classmethod
    def here(cls) -> Arrivals:
        """The running loop's."""
        loop = asyncio.get_running_loop()
        if loop not in cls._of_loop:
            cls._of_loop[loop] = cls()
        return cls._of_loop[loop]

    @contextlib.asynccontextmanager
    async def one(self) -> AsyncIterator[None]:
        """While a prompt is written."""
        self._coming += 1
        try:
            async with self._turnstile:
                yield
        finally:
            self._coming -= 1
            if not self._coming:
                self._none.set()

    async def over(self, seconds: float) -> None:
        """Wait until none is being written, so long at most."""
        if self._coming:
            self._none.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._none.wait()

    async def accept(self, response_id: UUID, slot: Slot | None = None) -> None:
        """Mark it `queued` in the record, at its place, or let a visit to the database's thread do
        it that has not begun: the first one that it takes along waits for it."""
        self._accepted.append(response_id)
        self._slots[response_id] = slot.text if slot else self._slots.get(response_id, "")
        if len(self._accepted) > 1:
            return
        slots: dict[UUID, str] = {}
        try:
            await queries.mark_queued(self._take(slots), slots)
        except BaseException:
            self._accepted.clear()  # or nobody would be the first again
            self._slots.clear()
            raise

    def _take(self, slots: dict[UUID, str]) -> Iterator[UUID]:
        """All that are accepted, when the visit begins: it is that which asks for them. `slots` is
        given where each stands."""
        while self._accepted:
            response_id = self._accepted.popleft()
            slots[response_id] = self._slots.pop(response_id, "")
            yield response_id
