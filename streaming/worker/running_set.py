"""The running set of one worker: what it has claimed and not ended."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator

from streaming.engine.base import Engine, EngineEvent, Finished
from streaming.waiting_list.interface import Claim
from streaming.worker.running import Running, RunningPhase
from streaming.worker.transcript import EventTime

logger = logging.getLogger(__name__)


class RunningSet:
    """Holds what runs on `engine` for one worker; all on one event loop.

    It decides nothing about who runs. `on_free` is called when a place has become free that
    somebody may hurry to.
    """

    def __init__(self, engine: Engine, on_free: Callable[[], None]) -> None:
        self._engine = engine
        self._on_free = on_free
        self._running: dict[str, Running] = {}
        self._emptied = asyncio.Event()
        self._stale: dict[str, asyncio.Event] = {}  # let go of; set when the engine ends them

    def __len__(self) -> int:
        return len(self._running)

    def __iter__(self) -> Iterator[Running]:
        """Iterate over what runs now; it may change meanwhile."""
        return iter(tuple(self._running.values()))

    def get(self, response_id: str) -> Running | None:
        """Return what runs of a response; None if nothing does."""
        return self._running.get(response_id)

    def holds(self, running: Running) -> bool:
        """Whether it runs still; the same response may do so under another lease of ours."""
        return self._running.get(running.response_id) is running

    def add(self, claim: Claim) -> Running:
        """Add what was claimed just now."""
        running = self._running[claim.entry.response_id] = Running(claim)
        return running

    # --- what runs no more ---

    def forget(self, running: Running) -> None:
        """Take it out, so that nobody need hurry to the free place."""
        if self.holds(running):
            del self._running[running.response_id]
        if not self._running:
            self._emptied.set()

    def drop(self, running: Running) -> None:
        """Take it out; somebody may wait for the free place."""
        self.forget(running)
        self._on_free()

    def lose(self, running: Running) -> None:
        """Say and write nothing more of it: our lease is over, and somebody else may answer now."""
        logger.warning("The lease of %s was lost.", running.response_id)
        self._let_go(running)

    def let_go(self) -> list[Running]:
        """Say and write nothing more of all that the engine has not ended. Return these, whose
        leases are still ours."""
        unfinished = (RunningPhase.CLAIMED, RunningPhase.GENERATING)
        left = [running for running in self if running.phase in unfinished]
        for running in left:
            self._let_go(running)
        return left

    def clear(self) -> list[Running]:
        """Take out all that runs. Return it."""
        left = list(self)
        self._running.clear()
        return left

    async def drained(self) -> None:
        """Wait until nothing runs."""
        while self._running:
            self._emptied.clear()
            await self._emptied.wait()

    def _let_go(self, running: Running) -> None:
        if running.is_in_engine:
            self._stale[running.response_id] = asyncio.Event()
            self._engine.cancel(running.response_id)
        self.drop(running)

    # --- what is to end ---

    def cancel(self, running: Running) -> None:
        """Have it ended by the engine, or by `cut_short_unheeded`."""
        if running.cancel():
            self._engine.cancel(running.response_id)

    def cancel_overlong(self, limit_seconds: float) -> None:
        """Have ended what has been running for longer than `limit_seconds`."""
        for running in self:
            if running.seconds > limit_seconds and running.time_out():
                self._engine.cancel(running.response_id)

    def cut_short_unheeded(self, seconds: float) -> bool:
        """End what the engine was asked to end more than `seconds` ago, and has not.

        Return whether there was any.
        """
        unheeded = [running for running in self if running.is_unheeded(seconds)]
        for running in unheeded:
            running.cut_short()
            self._stale[running.response_id] = asyncio.Event()
        return bool(unheeded)

    # --- what the engine says ---

    def take(self, event: EngineEvent, at: EventTime) -> None:
        """Take one event of the engine. What it says of a response that it has ended, or that it
        was given under a lease that we lost, is not heard."""
        if event.response_id in self._stale:  # we may hold the next lease already
            if isinstance(event, Finished):
                self._stale.pop(event.response_id).set()
        elif (running := self._running.get(event.response_id)) and running.is_in_engine:
            running.take(event, at)

    async def left_engine(self, response_id: str) -> None:
        """Wait until the engine has ended what it ran of a response under an earlier lease."""
        if ended := self._stale.get(response_id):
            await ended.wait()
