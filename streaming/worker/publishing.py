"""From the engine's events to the readers: what it says is published under the leases of a worker.

Nothing is published that a lease does not allow.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Sequence

from streaming.engine.base import Engine, EngineEvent, EventSink, Finished
from streaming.lifecycle import recovery
from streaming.system.outages import log_fault
from streaming.waiting_list.interface import AppendCall, WaitingList, WrongNumber
from streaming.worker.end_writer import EndWriter
from streaming.worker.running import Running
from streaming.worker.running_set import RunningSet
from streaming.worker.transcript import Append, EventTime

logger = logging.getLogger(__name__)

PUBLISH_SECONDS = 0.04
"""Least seconds between two publications, each of all responses that have something to say."""

PUBLISH_SECONDS_EACH = 0.01
"""The same for each running response, if the engine shares the cores: 100 events a second in all.
Each event costs the readers' side of the process some 0.2 ms, and delays such an engine by twice as
much."""

MOST_PUBLISH_SECONDS = 0.2
"""Most seconds between two publications: text that comes five times a second, some three words each
time, still flows."""

FORWARD_SECONDS = 0.01
"""Seconds between two publications of an engine elsewhere, which has a rhythm of its own where many
run: long enough that what comes together is published together."""

_RETRY_SECONDS = 0.5
"""Seconds until what could not be published is published again."""


class Publisher:
    """Publishes what `engine` says of a worker's running set; all on one event loop."""

    def __init__(
        self,
        engine: Engine,
        waiting_list: WaitingList,
        running_set: RunningSet,
        end_writer: EndWriter,
    ) -> None:
        self._engine = engine
        self._list = waiting_list
        self._running_set = running_set
        self._end_writer = end_writer
        self._heard: deque[tuple[EventTime, Sequence[EngineEvent]]] = deque()  # by any thread
        self._is_idle = False
        self._news = asyncio.Event()

    def listen(self) -> EventSink:
        """Return the engine's sink, for its thread, into the running event loop.

        It wakes the loop only for an end, or if the last events were published long ago: an engine
        on the same cores waits whenever the loop runs, and has more to say with the next step.
        """
        loop = asyncio.get_running_loop()

        def sink(events: Sequence[EngineEvent]) -> None:
            self._heard.append((EventTime(), tuple(events)))
            if self._is_idle or any(isinstance(event, Finished) for event in events):
                with contextlib.suppress(RuntimeError):  # the loop has ended
                    loop.call_soon_threadsafe(self._news.set)

        return sink

    async def publish_loop(self) -> None:
        """Publish what the engine says, again and again. Never returns."""
        while True:
            await self._wait_for_news()
            try:
                self._take_news()
                await self._publish()
            except Exception as error:
                # What was not published stays in each Running and goes out with the next try.
                log_fault(logger, error, "Publishing failed; trying again.")
                self._news.set()
                await asyncio.sleep(_RETRY_SECONDS)
            await self._let_gather()

    def end_unheeded(self, seconds: float) -> None:
        """End what the engine was asked to end more than `seconds` ago, and has not: a step may
        take long, or hang, and nobody who cancelled has to wait for that."""
        if self._heard:
            self._take_news()
            self._news.set()  # nothing else may come that would have it published
        if self._running_set.cut_short_unheeded(seconds):
            self._news.set()

    @property
    def pause(self) -> float:
        """Return the seconds from one publication to the next."""
        if not self._engine.shares_cores:
            return FORWARD_SECONDS
        return min(
            MOST_PUBLISH_SECONDS,
            max(PUBLISH_SECONDS, PUBLISH_SECONDS_EACH * len(self._running_set)),
        )

    async def _wait_for_news(self) -> None:
        self._is_idle = True  # before the look: what is heard after it sets `_news`
        if not self._heard:
            await self._news.wait()
        self._is_idle = False
        self._news.clear()

    async def _let_gather(self) -> None:
        """Let more come, for a while; an end, whose place somebody may wait for, ends it."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.pause):
                await self._news.wait()

    def _take_news(self) -> None:
        while self._heard:
            at, events = self._heard.popleft()
            for event in events:
                self._running_set.take(event, at)

    async def _publish(self) -> None:
        pending = [
            (running, append) for running in self._running_set for append in running.unpublished()
        ]
        numbers = await self._append(pending)
        for (running, append), number in zip(pending, numbers, strict=True):
            if not self._running_set.holds(running):
                continue
            if number is None:
                self._running_set.lose(running)
            else:
                running.mark_published(append)
        for running in self._running_set:
            if running.can_end:
                self._end_writer.begin(running)
            elif not running.is_published:  # said while earlier words had to be tried again
                self._news.set()

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
                if running.response_id in error.response_ids and self._running_set.holds(running):
                    self._running_set.lose(running)
                    await recovery.begin_anew(
                        self._list, running.response_id, running.last_sequence
                    )
            raise
