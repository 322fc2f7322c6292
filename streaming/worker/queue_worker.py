"""The worker: owns an engine, loads its model, and serves the waiting list with it until stopped.

It has its parts do the work: `claiming` fills its places from the list, `publishing` passes on what
the engine says, `end_writer` ends. It decides nothing about order (the waiting list does) nor about
steps (the engine does).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import platform
import secrets

from channels.layers import BaseChannelLayer

from streaming import conf
from streaming.engine.base import Engine
from streaming.lifecycle import reconciler, recovery
from streaming.lifecycle.limits import LimitsInForce
from streaming.lifecycle.list_lock import LockHolder
from streaming.system.outages import AWAY, log_fault
from streaming.system.watchdog import EngineHangs
from streaming.waiting_list import samples
from streaming.waiting_list.interface import WorkerState
from streaming.worker.claiming import Claimer
from streaming.worker.end_writer import EndWriter
from streaming.worker.engine_lifespan import EngineLifespan
from streaming.worker.engine_watch import EngineWatch
from streaming.worker.list_ownership import ListOwnership
from streaming.worker.listening import Listening
from streaming.worker.presence import Presence
from streaming.worker.publishing import Publisher
from streaming.worker.running_set import RunningSet
from streaming.worker.running_watch import RunningWatch
from streaming.worker.status import StatusTracker, WorkerStatus
from streaming.worker.tasks import POLL_SECONDS, cancel_all, repeat
from streaming.worker.upkeep import TITLE_SECONDS, Upkeep

logger = logging.getLogger(__name__)


class QueueWorker:
    """Owns one engine. `run` until `stop`; both on one event loop.

    `capacity`: responses it runs at most; None: as many as its engine finds right. With a `lock` it
    begins when it has that.
    """

    def __init__(
        self,
        engine: Engine,
        layer: BaseChannelLayer,
        capacity: int | None,
        lock: LockHolder | None = None,
    ) -> None:
        self.worker_id = worker_id = f"{platform.node()}:{os.getpid()}:{secrets.token_hex(3)}"
        self.ready = asyncio.Event()
        """Set when the worker can answer for the first time."""
        waiting_list, self._lease_seconds = layer.waiting_list, conf.get().lease_seconds
        self._engine = engine
        self._layer = layer
        self._bell = asyncio.Event()  # something may be claimed
        self._beat_now = asyncio.Event()
        self._status = StatusTracker(worker_id)
        self._ownership = ListOwnership(worker_id, layer, lock)
        self._running_set = RunningSet(engine, self._bell.set)
        self._end_writer = EndWriter(layer, self._running_set)
        self._publisher = Publisher(engine, waiting_list, self._running_set, self._end_writer)
        self._presence = Presence(
            worker_id,
            engine,
            waiting_list,
            self._status,
            capacity=capacity,
            lease_seconds=self._lease_seconds,
            on_orders=self._bell.set,
        )
        self._listening = Listening(
            worker_id,
            layer,
            self._running_set,
            on_bell=self._bell.set,
            on_orders=self._beat_now.set,
        )
        self._engine_watch = EngineWatch(
            worker_id, engine, self._running_set, layer, self._status, on_change=self._tell_status
        )
        self._lifespan = EngineLifespan(engine, self._engine_watch, self._status)
        self._running_watch = RunningWatch(
            worker_id, waiting_list, self._running_set, self._publisher, self._lease_seconds
        )
        self._upkeep = Upkeep(layer, worker_id, self._ownership, on_returned=self._bell.set)
        self._claimer = Claimer(
            worker_id,
            engine,
            waiting_list,
            self._running_set,
            self._end_writer,
            lease_seconds=self._lease_seconds,
            has_place=self._has_place,
            bell=self._bell,
            restore=lambda: recovery.restore(layer),
        )

    @property
    def capacity(self) -> int:
        """Return how many responses it runs at most, see `Presence`."""
        return self._presence.capacity

    @property
    def state(self) -> WorkerState:
        """Return its state as the waiting list is told."""
        return self._status.status.reported

    async def run(self) -> None:
        """Load the model, then serve until stopped.

        Raises EngineError if the model cannot be served, RuntimeError if the engine's thread dies,
        EngineHangs if it hangs (then it is there until the process ends), and LockLost if another
        process takes the waiting list over.
        """
        if await self._ownership.acquire(self._status.ending):
            try:
                await self._run()
            finally:
                await self._ownership.release()

    async def stop(self, drain_seconds: float = 0) -> None:
        """Claim no more, let running responses finish within `drain_seconds`, then end.

        What still runs goes back to its old place with its tokens.
        """
        self._status.stop()
        self._ownership.give_up()
        if self._running_set and drain_seconds:
            with contextlib.suppress(Exception):
                await self._presence.beat()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(drain_seconds):
                    await self._running_set.drained()
        self._status.end()

    # --- its life ---

    async def _run(self) -> None:
        await self._presence.beat_at_last()
        beats = repeat(self._lease_seconds / 3, self._presence.beat, sooner=self._beat_now)
        beating = asyncio.create_task(beats)
        try:
            await self._restore_at_last()
            await self._lifespan.start(self._publisher.listen())
            self._status.load(self._engine.unavailable_reason)
            await self._heed_limits()
            await self._presence.beat_at_last()
            self._tell_whether_available()
            await self._serve()
        finally:
            has_ended = await self._end(beating)
        if not has_ended:
            raise EngineHangs("The engine did not end.")

    async def _restore_at_last(self) -> None:
        """Give a list without memory back what the record has, before the model is loaded: readers
        who come back meanwhile find their places."""
        while not self._status.ending.is_set():
            try:
                return await recovery.restore(self._layer)
            except AWAY as error:
                log_fault(logger, error, "The waiting list is not restored yet; trying again.")
                await asyncio.sleep(POLL_SECONDS)

    async def _serve(self) -> None:
        """Do all duties until the worker ends, or one of them raises."""
        grace = conf.get().disconnect_grace
        duties = [
            asyncio.create_task(duty)
            for duty in (
                self._claimer.claim_loop(),
                self._publisher.publish_loop(),
                repeat(POLL_SECONDS, self._listening.hear_bell),
                repeat(POLL_SECONDS, self._listening.hear_group),
                repeat(self._lease_seconds / 3, self._running_watch.renew),
                repeat(min(1.0, grace / 3), self._upkeep.sweep),
                repeat(POLL_SECONDS / 2, self._running_watch.end_overlong),
                repeat(POLL_SECONDS / 2, self._running_watch.end_unheeded),
                repeat(reconciler.INTERVAL_SECONDS, self._upkeep.reconcile),
                repeat(samples.SAMPLE_SECONDS, self._upkeep.sample),
                repeat(TITLE_SECONDS, self._upkeep.title),
                repeat(POLL_SECONDS / 2, self._upkeep.keep_slots),
                repeat(POLL_SECONDS, self._heed_limits),
                self._watch_engine_loop(),
                self._ownership.watch_loop(),
            )
        ]
        ending = asyncio.create_task(self._status.ending.wait())
        try:
            done, _ = await asyncio.wait([*duties, ending], return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            await cancel_all(*duties, ending)

    async def _end(self, beating: asyncio.Task[None]) -> bool:
        """Give back what runs and say goodbye. Return False if the engine has not ended in time."""
        self._status.end()
        await cancel_all(beating)
        await self._end_writer.settle(5 * POLL_SECONDS)
        for running in self._running_set.clear():
            with contextlib.suppress(Exception):
                await self._layer.waiting_list.release(running.lease)
        with contextlib.suppress(Exception):
            await self._layer.waiting_list.retire(self.worker_id)
        await cancel_all(*self._end_writer.tasks)
        return await self._lifespan.close()

    # --- its status ---

    async def _heed_limits(self) -> None:
        """Run as many at once as operators have set for all workers, if they have."""
        limit = (await LimitsInForce.here(self._layer).changed()).get("max_running")
        if self._presence.set_limit(limit):
            logger.info("Worker %s runs up to %d.", self.worker_id, self.capacity)
            self._tell_status()

    def _has_place(self) -> bool:
        """Whether something may be claimed now."""
        return (
            self._status.status is WorkerStatus.READY
            and not self._engine_watch.is_suspicious
            and self._ownership.is_certain
            and len(self._running_set) < self.capacity
        )

    async def _watch_engine_loop(self) -> None:
        """Watch whether the engine gets on, and whether it can answer. Raises as `EngineWatch`."""
        while True:
            await asyncio.sleep(self._engine_watch.look_seconds)
            await self._engine_watch.look()
            if self._status.set_unavailable(self._engine.unavailable_reason):
                self._tell_whether_available()
                self._tell_status()

    def _tell_whether_available(self) -> None:
        if self._status.unavailable_reason:
            reason = self._status.unavailable_reason
            logger.warning("Worker %s claims nothing: %s", self.worker_id, reason)
        else:
            self.ready.set()
            logger.info("Worker %s serves %s.", self.worker_id, self._engine.info.name)

    def _tell_status(self) -> None:
        """Have the list told at once, not only by the next heartbeat, and look what is to claim."""
        self._beat_now.set()
        self._bell.set()
