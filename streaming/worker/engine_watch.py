"""Watches one worker's engine: whether a thread of it has died, a step or a prompt hangs.

It gives back what a hung engine holds. It ends nothing by itself: its errors end the worker.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from collections.abc import Callable

from channels.layers import BaseChannelLayer

from streaming import conf
from streaming.engine.base import Engine, ThreadStats
from streaming.lifecycle import ending
from streaming.record import losses
from streaming.system.outages import log_fault
from streaming.system.watchdog import EngineHangs, Standstill, where
from streaming.waiting_list.interface import MAX_ATTEMPTS
from streaming.worker.running_set import RunningSet
from streaming.worker.status import StatusTracker

logger = logging.getLogger(__name__)

_STARTS_PATIENTLY = 5
"""How many times CHATSTREAM_HANG_SECONDS an engine may be starting before a line in the log says
so."""


class EngineWatch:
    """`look` every `look_seconds`. An engine hangs when one of its threads has been at work without
    any progress for CHATSTREAM_HANG_SECONDS. `status` is told when it begins and when it ends, then
    `on_change` is called.
    """

    def __init__(
        self,
        worker_id: str,
        engine: Engine,
        running_set: RunningSet,
        layer: BaseChannelLayer,
        status: StatusTracker,
        *,
        on_change: Callable[[], None],
    ) -> None:
        self._worker_id = worker_id
        self._engine = engine
        self._running_set = running_set
        self._layer = layer
        self._status = status
        self._on_change = on_change
        self._standstill = Standstill(conf.get().hang_seconds)  # of the thread that steps
        self._preparing: dict[int, Standstill] = {}  # of those that make prompts for it

    @property
    def look_seconds(self) -> float:
        """Return the seconds that are to pass between two looks."""
        return self._standstill.look_seconds

    @property
    def is_suspicious(self) -> bool:
        """Whether a step has made no progress for some looks: no time to give the engine more."""
        return self._standstill.is_suspicious

    async def look(self) -> None:
        """Look once whether the engine gets on.

        Raises RuntimeError if its thread has died, and EngineHangs if one has not got on for twice
        as long as it takes to call it hung.
        """
        stats, standstill = self._engine.stats(), self._standstill
        if not stats.alive:
            raise RuntimeError("The engine's thread has died.")
        looks = standstill.look(stats.progress if stats.at_work else None)
        what, thread_id = "A step", stats.thread_id
        for thread in stats.preparing:
            its_looks = self._look_at(thread)
            if its_looks > looks:
                looks, what, thread_id = its_looks, "The making of a prompt", thread.thread_id
        seconds = round(looks * standstill.look_seconds)
        if looks >= 2 * standstill.limit:
            raise EngineHangs(f"{what} of the engine has not returned for {seconds} s.")
        if looks >= standstill.limit and not self._status.hangs:
            self._status.set_hangs(True)
            self._on_change()
            logger.error(
                "Worker %s: %s of the engine has not returned for %d s. Its answers go back to "
                "the queue.",
                self._worker_id, what.lower(), seconds, exc_info=where(thread_id),
            )  # fmt: skip
            await self._give_back()
        elif looks < standstill.limit and self._status.hangs:
            self._status.set_hangs(False)
            self._on_change()
            logger.warning("Worker %s: the engine gets on; it serves again.", self._worker_id)

    def _look_at(self, thread: ThreadStats) -> int:
        known = self._preparing.get(thread.thread_id)
        if known is None:
            known = self._preparing[thread.thread_id] = Standstill(conf.get().hang_seconds)
        return known.look(thread.progress if thread.at_work else None)

    async def _give_back(self) -> None:
        """Let others go on with what the engine holds.

        The attempt counts, for one of them may be why it hangs; so does the hang, in the record: an
        embedded list ends with its worker.
        """
        for running in self._running_set.let_go():
            try:
                await self._layer.waiting_list.release(running.lease, forgive=False)
                hangs = await losses.count_hang(running.response_id)
                if max(running.claim.attempt, hangs) >= MAX_ATTEMPTS:
                    await ending.fail_exhausted(self._layer, running.response_id)
            except Exception as error:  # then the lease runs out by itself
                log_fault(logger, error, "%s was not given back.", running.response_id)

    async def watch_start(self) -> None:
        """Log now and then where an engine stands that takes long to start. How long it may take,
        nobody knows: it ends nothing. Never returns."""
        began = time.monotonic()
        pause = _STARTS_PATIENTLY * (conf.get().hang_seconds or sys.maxsize)
        while True:
            await asyncio.sleep(pause)
            pause *= 2
            logger.warning(
                "The engine has been starting for %d s.",
                time.monotonic() - began, exc_info=where(self._engine.stats().thread_id),
            )  # fmt: skip
