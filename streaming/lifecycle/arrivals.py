"""Prompts on their way into this process's record and its waiting list, when many come at once."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Iterator
from uuid import UUID
from weakref import WeakKeyDictionary

from streaming.record import standing
from streaming.waiting_list.interface import Slot

_WRITTEN_AT_ONCE = 4
"""Maximum concurrent inserts of prompts. Those beyond it wait where they do not hold up what starts
and ends answers in the database's thread."""


class Arrivals:
    """The prompts that one event loop is writing, and those whose acceptance it is to record."""

    _of_loop: WeakKeyDictionary[asyncio.AbstractEventLoop, Arrivals] = WeakKeyDictionary()

    def __init__(self) -> None:
        self._turnstile = asyncio.Semaphore(_WRITTEN_AT_ONCE)
        self._coming = 0
        self._none = asyncio.Event()
        self._accepted: deque[UUID] = deque()
        self._slots: dict[UUID, str] = {}  # where they stand

    @classmethod
    def here(cls) -> Arrivals:
        """Return the running loop's."""
        loop = asyncio.get_running_loop()
        if loop not in cls._of_loop:
            cls._of_loop[loop] = cls()
        return cls._of_loop[loop]

    @contextlib.asynccontextmanager
    async def writing(self) -> AsyncIterator[None]:
        """Write one prompt within this context, which waits for its turn."""
        self._coming += 1
        try:
            async with self._turnstile:
                yield
        finally:
            self._coming -= 1
            if not self._coming:
                self._none.set()

    async def all_written(self, seconds: float) -> None:
        """Wait until no prompt is being written, at most so many seconds."""
        if self._coming:
            self._none.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._none.wait()

    async def mark_queued(self, response_id: UUID, slot: Slot | None = None) -> None:
        """Mark a response `queued` in the record, at its slot.

        All that are accepted until the database's thread is free are written by one visit. The
        first of them waits for it, and the others return at once. Raises what the visit raises;
        the reconciler marks those that it was to write.
        """
        self._accepted.append(response_id)
        self._slots[response_id] = slot.text if slot else self._slots.get(response_id, "")
        if len(self._accepted) > 1:
            return
        slots: dict[UUID, str] = {}
        try:
            await standing.mark_queued(self._take(slots), slots)
        except BaseException:
            self._accepted.clear()  # or nobody would be the first again
            self._slots.clear()
            raise

    def _take(self, slots: dict[UUID, str]) -> Iterator[UUID]:
        """Yield all that are accepted when the visit begins, and write where each stands into
        `slots`."""
        while self._accepted:
            response_id = self._accepted.popleft()
            slots[response_id] = self._slots.pop(response_id, "")
            yield response_id
