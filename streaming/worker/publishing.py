"""The running set of one worker: from the engine's events to the readers, and to each end.

It says only what a lease allows. It decides nothing about who runs: the worker puts responses in,
and hears by `on_free` that one is gone.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import Callable, Sequence

from channels.layers import BaseChannelLayer

from streaming.engine.base import Engine, EngineEvent, EventSink, Finished
from streaming.lifecycle import ending, recovery
from streaming.models import Status
from streaming.record.endings import Attempt, Ending
from streaming.system.outages import log_fault
from streaming.waiting_list.interface import AppendCall, Claim, WaitingList, WrongNumber
from streaming.worker.appends import Append
from streaming.worker.running import Moment, Running

logger = logging.getLogger(__name__)

PUBLISH_SECONDS = 0.04
"""Each response is published at most this often, all responses of an interval together."""

PUBLISH_SECONDS_EACH = 0.01
"""Where many run on an engine that shares the cores, so often that there are 100 events a second:
each costs the readers' side of the process a fifth of a millisecond, and such an engine waits twice
as long."""

MOST_PUBLISH_SECONDS = 0.2
"""Text that comes five times a second, some three words each time, still flows."""

FORWARD_SECONDS = 0.01
"""Before an engine elsewhere, which has a rhythm of its own where many run: just so long that what
comes together is published together."""

_RETRY_SECONDS = 1.0


class Publisher:
    """Holds what runs on `engine` for one worker; all on one event loop."""

    def __init__(
        self,
        engine: Engine,
        layer: BaseChannelLayer,
        on_free: Callable[[], None],
    ) -> None:
        self.running: dict[str, Running] = {}
        self._engine = engine
        self._layer = layer
        self._list: WaitingList = layer.waiting_list
        self._on_free = on_free
        self._heard: deque[tuple[Moment, Sequence[EngineEvent]]] = deque()  # any thread appends
        self._is_idle = False
        self._news = asyncio.Event()
        self._emptied = asyncio.Event()
        self._endings: set[asyncio.Task[None]] = set()
        self._stale: dict[str, asyncio.Event] = {}  # lost by us; set when the engine ends them

    # --- what runs ---

    def add(self, claim: Claim) -> Running:
        running = self.running[claim.entry.response_id] = Running(claim)
        return running

    def holds(self, running: Running) -> bool:
        """Whether it runs still; the same response may do so under another lease of ours."""
        return self.running.get(running.response_id) is running

    def forget(self, running: Running) -> None:
        """It runs no more, and nobody need hurry to the free place."""
        if self.holds(running):
            del self.running[running.response_id]
        if not self.running:
            self._emptied.set()

    def lose(self, running: Running) -> None:
        """Our lease is over and somebody else may answer now: say and write nothing more."""
        logger.warning("The lease of %s was lost.", running.response_id)
        self._let_go(running)

    def let_go(self) -> list[Running]:
        """Say and write nothing more of all that the engine has not ended: of these, whose leases
        are still ours."""
        left = [each for each in self.running.values() if each.is_in_engine or not each.submitted]
        for running in left:
            self._let_go(running)
        return left

    def _let_go(self, running: Running) -> None:
        if running.is_in_engine:
            self._stale[running.response_id] = asyncio.Event()
            self._engine.cancel(running.response_id)
        self._drop(running)

    def cancel(self, running: Running) -> None:
        """Have it ended: by the engine, or by `end_unheeded`."""
        running.cancelled = True
        if running.is_in_engine:
            running.asked_to_end = running.asked_to_end or time.monotonic()
            self._engine.cancel(running.response_id)

    def end_unheeded(self, seconds: float) -> None:
        """End what the engine was asked to end so long ago and has not: a step may take long, or
        hang, and nobody who cancelled has to wait for that."""
        if self._heard:
            self._take_news()
            self._news.set()  # nothing else may come that would have it published
        latest = time.monotonic() - seconds
        for running in self.running.values():
            asked = running.asked_to_end
            if running.is_in_engine and asked is not None and asked < latest:
                running.cut_short()
                self._stale[running.response_id] = asyncio.Event()
                self._news.set()

    async def rid_of(self, response_id: str) -> None:
        """Wait until the engine has ended what it ran under an earlier lease of ours."""
        if ended := self._stale.get(response_id):
            await ended.wait()

    async def drained(self) -> None:
        """Wait until nothing runs."""
        while self.running:
            self._emptied.clear()
            await self._emptied.wait()

    async def settle(self, seconds: float) -> list[Running]:
        """Let ends that are being written be written, then let go of all that runs: these."""
        if self._endings:
            await asyncio.wait(self._endings, timeout=seconds)
        left = list(self.running.values())
        self.running.clear()
        return left

    @property
    def endings(self) -> Sequence[asyncio.Task[None]]:
        """The tasks that write ends."""
        return tuple(self._endings)

    def _drop(self, running: Running) -> None:
        self.forget(running)
        self._on_free()

    # --- from the engine to the readers ---

    def listen(self) -> EventSink:
        """The engine's sink, for its thread, into the running event loop, which it wakes only for
        an end, or if the last events were published long ago: an engine on the same cores waits
        whenever the loop runs, and has more to say with the next step."""
        loop = asyncio.get_running_loop()

        def sink(events: Sequence[EngineEvent]) -> None:
            self._heard.append((Moment(), tuple(events)))
            if self._is_idle or any(isinstance(event, Finished) for event in events):
                with contextlib.suppress(RuntimeError):  # the loop has ended
                    loop.call_soon_threadsafe(self._news.set)

        return sink

    async def _wait_for_news(self) -> None:
        self._is_idle = True  # before the look: what is heard after it sets `_news`
        if not self._heard:
            await self._news.wait()
        self._is_idle = False
        self._news.clear()

    async def _let_gather(self) -> None:
        """A while in which more may come; an end, whose place somebody may wait for, ends it."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.pause):
                await self._news.wait()

    @property
    def pause(self) -> float:
        """Seconds from one publishing to the next."""
        if not self._engine.shares_cores:
            return FORWARD_SECONDS
        return min(
            MOST_PUBLISH_SECONDS,
            max(PUBLISH_SECONDS, PUBLISH_SECONDS_EACH * len(self.running)),
        )

    def _take_news(self) -> None:
        while self._heard:
            moment, events = self._heard.popleft()
            for event in events:
                if event.response_id in self._stale:
                    # Said for a lease that we lost; we may hold the next one already.
                    if isinstance(event, Finished):
                        self._stale.pop(event.response_id).set()
                elif running := self.running.get(event.response_id):
                    running.take(event, moment)

    async def publish_on(self) -> None:
        """Publish what the engine says, again and again."""
        while True:
            await self._wait_for_news()
            try:
                self._take_news()
                await self._publish()
            except Exception as error:
                # What was not published stays in each Running and goes out with the next try.
                log_fault(logger, error, "Publishing failed; trying again.")
                self._news.set()
                await asyncio.sleep(_RETRY_SECONDS / 2)
            await self._let_gather()

    async def _publish(self) -> None:
        pending = [
            (running, append) for running in self.running.values() for append in running.unsaid()
        ]
        numbers = await self._append(pending)
        for (running, append), number in zip(pending, numbers, strict=True):
            if not self.holds(running):
                continue
            if number is None:
                self.lose(running)
            else:
                running.said(append)
        for running in list(self.running.values()):
            if running.is_over and not running.ending:
                running.ending = True
                writing = asyncio.create_task(self._finish(running))
                self._endings.add(writing)
                writing.add_done_callback(self._endings.discard)

    async def _append(self, pending: list[tuple[Running, Append]]) -> list[int | None]:
        """Publish all in one round trip. The numbers make it safe to say a thing twice."""
        if not pending:
            return []
        try:
            return await self._list.append_many(
                [
                    AppendCall(running.lease, append.event, append.tokens, append.number)
                    for running, append in pending
                ]
            )
        except WrongNumber as error:
            # We and the log disagree: whoever claims it next goes on from what the log says, or
            # begins anew if the log has lost what we said.
            for running, _ in pending:
                if running.response_id in error.response_ids and self.holds(running):
                    self.lose(running)
                    await recovery.begin_anew(self._list, running.response_id, running.tail)
            raise

    async def _finish(self, running: Running) -> None:
        """The record first, then the list; a database that is away for a moment is waited for."""
        while self.holds(running):
            try:
                assert running.row is not None  # it was submitted
                if not await self.end(running, running.outcome()):
                    await self.end_by_record(running)
            except WrongNumber:
                self.lose(running)  # the next one to claim it ends it by the record
            except Exception as error:
                message = "The end of %s was not written; trying again."
                log_fault(logger, error, message, running.response_id)
                await asyncio.sleep(_RETRY_SECONDS)

    async def end(self, running: Running, how: Ending) -> bool:
        """End it and free the place; False if it had ended, or is another attempt's by now."""
        row = running.row
        assert row is not None
        ended = await ending.end(
            self._layer,
            [running.response_id],
            how,
            of=(Status.IN_PROGRESS,),
            attempt=Attempt.of(row),
            row=row,
            hold=running.hold,
        )
        if ended:
            self._drop(running)
        return bool(ended)

    async def fail(self, running: Running, message: str) -> None:
        """End, whoever's it is in the record, what cannot be answered."""
        how = Ending.failed("internal_error", message)
        ids = [running.response_id]
        if await ending.end(self._layer, ids, how, hold=running.hold):
            self._drop(running)
        else:
            await self.end_by_record(running)

    async def end_by_record(self, running: Running) -> None:
        """Say the end that the record has, and free the place. What is open there is another
        attempt's, and nobody's to end here: whoever claims it next goes on."""
        if await ending.settle(self._layer, running.response_id, running.hold):
            self._drop(running)
        else:
            logger.warning("%s is open in the record, and given back.", running.response_id)
            await self._list.release(running.lease)
            self.forget(running)  # no bell: not at once again
