"""The worker: owns an engine, says that it lives, renews its leases, and does what operators
order. `claiming` fills its places from the waiting list; what the engine says, `publishing`
passes on.

It decides nothing about order (the waiting list does) nor about steps (the engine does).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import platform
import secrets
from collections.abc import Awaitable, Callable
from typing import Any

from channels.layers import BaseChannelLayer, get_channel_layer
from django.utils.module_loading import import_string

from streaming import conf
from streaming.engine.base import Engine, EngineError
from streaming.lifecycle import reconciler, recovery
from streaming.lifecycle.doorbell import DOORBELL
from streaming.lifecycle.list_lock import LockHolder, LockLost, LockTaken
from streaming.record.database import disconnecting
from streaming.system.outages import AWAY, log_fault
from streaming.system.watchdog import EngineHangs, in_thread
from streaming.waiting_list import samples
from streaming.waiting_list.interface import (
    WORKERS_GROUP,
    Orders,
    WorkerBeat,
    WorkerState,
)
from streaming.worker.claiming import POLL_SECONDS, Claimer, wait
from streaming.worker.engine_watch import EngineWatch
from streaming.worker.publishing import Publisher
from streaming.worker.upkeep import Upkeep

logger = logging.getLogger(__name__)

_CANCEL_ATTEMPTS = 5

_UNHEEDED_SECONDS = 2.0
"""An engine that has not ended within this time what it is asked to end is not waited for. No step
of a machine that is fast enough to chat with takes so long."""

_CLOSE_SECONDS = 10.0
"""How long an engine may take to end, or a model to be loaded that nobody wants any more."""

_LEAST_CLOSE_SECONDS = 1.0
"""The same for one that hangs."""


class QueueWorker:
    """Owns one engine. `run` until `stop`; both on one event loop.

    `run` raises EngineError if the model cannot be served, RuntimeError if the engine's thread
    dies, EngineHangs if it hangs (then it is there until the process ends), and LockLost if another
    process takes the waiting list over. With a `lock` it begins when it has that.
    """

    def __init__(
        self,
        engine: Engine,
        layer: BaseChannelLayer,
        capacity: int | None,
        lock: LockHolder | None = None,
    ) -> None:
        self.worker_id = f"{platform.node()}:{os.getpid()}:{secrets.token_hex(3)}"
        self.ready = asyncio.Event()
        self._engine = engine
        self._layer = layer
        self._lock = lock
        self._list = layer.waiting_list
        self._lease_seconds = conf.get().lease_seconds
        self._capacity = capacity
        self._state = WorkerState.LOADING
        self._loaded = False
        self._unavailable_reason = ""
        self._orders = Orders()
        self._bell = asyncio.Event()
        self._stopping = asyncio.Event()
        self._ordered = asyncio.Event()
        self._beating = asyncio.Lock()
        self._publisher = Publisher(engine, layer, self._bell.set)
        self._watch = EngineWatch(
            self.worker_id, engine, self._publisher, layer, on_change=self._say_now
        )
        self._upkeep = Upkeep(layer, self.worker_id, self._bell.set)
        self._claimer = Claimer(
            self.worker_id,
            engine,
            self._list,
            self._publisher,
            lease_seconds=self._lease_seconds,
            has_place=self._has_place,
            bell=self._bell,
            restore=lambda: recovery.restore(layer),
        )

    @property
    def capacity(self) -> int:
        """How many it runs at most: as started (None: as its engine finds right, once loaded), or
        as ordered, which may be up to all the rows that its engine has."""
        ordered = self._orders.capacity
        own, most = self._capacity or 0, self._capacity or 0
        if self._loaded:
            info = self._engine.info
            own, most = own or info.capacity or info.max_running, info.max_running
        return own if ordered is None else min(ordered, most)

    @property
    def state(self) -> WorkerState:
        """Draining, too, while an operator wants it so; then it serves again, or is stopped.
        Loading, again, while the engine cannot answer: prompts wait."""
        if self._state is not WorkerState.READY:
            return self._state
        if self._watch.hangs:
            return WorkerState.HUNG
        if self._orders.drain:
            return WorkerState.DRAINING
        return WorkerState.LOADING if self._unavailable_reason else WorkerState.READY

    # --- life ---

    async def run(self) -> None:
        """Load the model, then serve until stopped."""
        if self._lock is None:
            await self._run()
        elif await self._acquire(self._lock):
            try:
                await self._run()
            finally:
                if self._lock.lost:
                    self._list.forget()  # its viewers go by the record, where others write now
                await asyncio.to_thread(disconnecting(self._lock.release))

    async def _acquire(self, lock: LockHolder) -> bool:
        """Wait for the lock, whose holder may be a process that ends; False if stopped before."""
        is_told = False
        while not self._stopping.is_set():
            try:
                await asyncio.to_thread(disconnecting(lock.acquire))
            except LockTaken as error:
                if not is_told and not self._stopping.is_set():
                    logger.error("Worker %s does not start yet. %s", self.worker_id, error)
                    is_told = True
            except asyncio.CancelledError:
                lock.give_up()
                raise
            except AWAY as error:
                log_fault(logger, error, "The waiting list's lock cannot be had; trying again.")
            else:
                return True
            await wait(self._stopping, POLL_SECONDS)
        return False

    async def _run(self) -> None:
        await self._beat_at_last()
        beats = self._every(self._lease_seconds / 3, self._beat, sooner=self._ordered)
        beating = asyncio.create_task(beats)
        try:
            await self._restore_at_last()
            await self._load()
            self._loaded = True
            if self._state is WorkerState.LOADING:
                self._state = WorkerState.READY
            self._unavailable_reason = self._engine.unavailable_reason
            await self._beat_at_last()
            self._be_ready()
            await self._serve()
        finally:
            has_ended = await self._end(beating)
        if not has_ended:
            raise EngineHangs("The engine did not end.")

    async def _load(self) -> None:
        """Start the engine. Raises EngineHangs if that goes on when nobody wants it any more."""
        start = in_thread(self._engine.start, self._publisher.listen())
        loading, stopping = asyncio.create_task(start), asyncio.create_task(self._stopping.wait())
        watching = asyncio.create_task(self._watch.watch_start())
        try:
            await asyncio.wait([loading, stopping], return_when=asyncio.FIRST_COMPLETED)
            await asyncio.wait([loading], timeout=_CLOSE_SECONDS)
            if not loading.done():
                raise EngineHangs("The engine was still being started.")
            loading.result()
        finally:
            await _cancel(loading, stopping, watching)

    def _be_ready(self) -> None:
        if self._unavailable_reason:
            logger.warning("Worker %s claims nothing: %s", self.worker_id, self._unavailable_reason)
        else:
            self.ready.set()
            logger.info("Worker %s serves %s.", self.worker_id, self._engine.info.name)

    async def _serve(self) -> None:
        grace = conf.get().disconnect_grace
        duties = [
            asyncio.create_task(duty)
            for duty in (
                self._claimer.claim_on(),
                self._publisher.publish_on(),
                self._every(POLL_SECONDS, self._listen_for_bell),
                self._every(POLL_SECONDS, self._listen_for_orders),
                self._every(self._lease_seconds / 3, self._renew),
                self._every(min(1.0, grace / 3), self._sweep),
                self._every(POLL_SECONDS / 2, self._stop_overlong),
                self._every(POLL_SECONDS / 2, self._end_unheeded),
                self._every(reconciler.INTERVAL_SECONDS, self._reconcile),
                self._every(samples.SAMPLE_SECONDS, self._upkeep.sample),
                self._every(POLL_SECONDS / 2, self._keep_slots),
                self._watch_engine(),
                self._watch_lock(),
            )
        ]
        stopping = asyncio.create_task(self._stopping.wait())
        try:
            done, _ = await asyncio.wait([*duties, stopping], return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            await _cancel(*duties, stopping)

    async def stop(self, drain_seconds: float = 0) -> None:
        """Claim no more, let running responses finish within `drain_seconds`, then end.

        What still runs goes back to its old place with its tokens.
        """
        self._state = WorkerState.DRAINING
        if self._lock:
            self._lock.give_up()
        if self._publisher.running and drain_seconds:
            with contextlib.suppress(Exception):
                await self._beat()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(drain_seconds):
                    await self._publisher.drained()
        self._stopping.set()

    async def _end(self, beating: asyncio.Task[None]) -> bool:
        """Give back and say goodbye; False if the engine has not ended in time."""
        await _cancel(beating)
        for running in await self._publisher.settle(5 * POLL_SECONDS):
            with contextlib.suppress(Exception):
                await self._list.release(running.lease)
        with contextlib.suppress(Exception):
            await self._list.retire(self.worker_id)
        await _cancel(*self._publisher.endings)
        seconds = _LEAST_CLOSE_SECONDS if self._watch.hangs else _CLOSE_SECONDS
        try:
            async with asyncio.timeout(1.5 * seconds):
                await in_thread(self._engine.close, seconds)
        except TimeoutError:
            return False
        return not self._engine.stats().at_work

    async def _every(
        self,
        seconds: float,
        duty: Callable[[], Awaitable[None]],
        sooner: asyncio.Event | None = None,
    ) -> None:
        """A duty again and again; its faults (the layer or the database away) are outlived."""
        sooner = sooner or asyncio.Event()
        while True:
            try:
                await duty()
            except Exception as error:
                log_fault(logger, error, "%s failed; trying again.", duty.__name__)
            await wait(sooner, seconds)
            sooner.clear()

    def _has_place(self) -> bool:
        if self.state is not WorkerState.READY or self._watch.is_suspicious or not self._has_list:
            return False
        return len(self._publisher.running) < self.capacity

    @property
    def _has_list(self) -> bool:
        """Whether what the list says holds: one that was taken over says who has left, and what
        waits, of a time that is past."""
        return self._lock is None or self._lock.is_fresh

    # --- duties ---

    async def _beat(self) -> None:
        """Say that it lives, and do what operators want, until the list has heard of that, too."""
        async with self._beating:
            while (orders := await self._list.heartbeat(self._present())) != self._orders:
                self._orders = orders
                logger.info(
                    "Worker %s is ordered to run up to %s%s.",
                    self.worker_id,
                    "as many as it was started with" if orders.capacity is None else self.capacity,
                    " and to claim nothing" if orders.drain else "",
                )
                self._bell.set()

    def _present(self) -> WorkerBeat:
        details: dict[str, Any] = {"pid": os.getpid(), "host": platform.node()}
        prefixes = 0
        if self._loaded:
            prefixes = self._engine.cached_prefix_capacity
            info, stats = self._engine.info, self._engine.stats()
            details |= {
                "model": info.name,
                "device": info.device,
                "dtype": info.dtype,
                "context_tokens": info.context_tokens,
                "rows": info.max_running,
                "sampling": dict(info.sampling),
                "thinks": info.thinks,
                "steps": stats.steps,
                "generated_tokens": stats.generated_tokens,
                "tokens_per_second": round(stats.tokens_per_second, 1),
                "kv_bytes": stats.kv_bytes,
                "kv_bytes_used": stats.kv_bytes_used,
            }
        return WorkerBeat(
            self.worker_id, self.capacity, self.state, self._lease_seconds, details, prefixes
        )

    async def _beat_at_last(self) -> None:
        """The layer may not be there yet when a worker starts: it is waited for."""
        while not self._stopping.is_set():
            try:
                return await self._beat()
            except AWAY as error:
                logger.warning("The waiting list cannot be reached; trying again. (%s)", error)
                await asyncio.sleep(POLL_SECONDS)

    async def _restore_at_last(self) -> None:
        """Before the model is loaded: readers who come back meanwhile find their places."""
        while not self._stopping.is_set():
            try:
                return await recovery.restore(self._layer)
            except AWAY as error:
                log_fault(logger, error, "The waiting list is not restored yet; trying again.")
                await asyncio.sleep(POLL_SECONDS)

    async def _keep_slots(self) -> None:
        if self._has_list:
            await recovery.keep_slots(self._list)

    async def _renew(self) -> None:
        asked = list(self._publisher.running.values())
        leases = [running.lease for running in asked]
        renewal = await self._list.renew(self.worker_id, leases, self._lease_seconds)
        for running in asked:
            if not self._publisher.holds(running):
                continue
            if running.response_id in renewal.cancelled:
                self._publisher.cancel(running)
            elif running.response_id in renewal.lost:
                self._publisher.lose(running)

    async def _sweep(self) -> None:
        if self._has_list:
            await self._upkeep.sweep()

    async def _reconcile(self) -> None:
        if self._has_list:
            await self._upkeep.reconcile()

    async def _watch_lock(self) -> None:
        while True:
            await asyncio.sleep(POLL_SECONDS)
            if self._lock and self._lock.lost:
                raise LockLost(self._lock.lost)

    async def _stop_overlong(self) -> None:
        limit = conf.get().generation_timeout
        for running in self._publisher.running.values():
            if limit and running.seconds > limit:
                running.timed_out = True
                self._publisher.cancel(running)

    async def _end_unheeded(self) -> None:
        self._publisher.end_unheeded(_UNHEEDED_SECONDS)

    async def _watch_engine(self) -> None:
        while True:
            await asyncio.sleep(self._watch.look_seconds)
            await self._watch.look()
            reason, known = self._engine.unavailable_reason, self._unavailable_reason
            if reason != known:
                self._unavailable_reason = reason
                if bool(reason) != bool(known):
                    self._be_ready()
                    self._say_now()

    def _say_now(self) -> None:
        """The state has changed: not only at the next beat; and perhaps it may claim again."""
        self._ordered.set()
        self._bell.set()

    async def _listen_for_bell(self) -> None:
        while True:
            await self._layer.receive(DOORBELL)
            self._bell.set()

    async def _listen_for_orders(self) -> None:
        channel = await self._layer.new_channel()
        await self._layer.group_add(WORKERS_GROUP, channel)
        self._ordered.set()  # what was ordered before we listened is asked for
        try:
            while True:
                message = await self._layer.receive(channel)
                if message["type"] == "worker.orders":
                    if message["worker_id"] == self.worker_id:
                        self._ordered.set()
                elif message["type"] == "worker.claim":
                    if message["worker_id"] == self.worker_id:
                        self._bell.set()
                elif running := self._publisher.running.get(message["response_id"]):
                    self._publisher.cancel(running)
        finally:
            with contextlib.suppress(Exception):  # the layer may be away, and forgets it by itself
                await self._layer.group_discard(WORKERS_GROUP, channel)


async def _cancel(*tasks: asyncio.Task[Any]) -> None:
    """Cancel until all have ended: what they wait for may swallow one cancellation, not many."""
    for attempt in range(_CANCEL_ATTEMPTS):
        pending = [task for task in tasks if not task.done()]
        if pending and attempt:
            name = getattr(pending[0].get_coro(), "__qualname__", "?")
            logger.warning("%d tasks are not cancelled yet, such as %s.", len(pending), name)
        for task in pending:
            task.cancel()
        if pending:
            await asyncio.wait(pending, timeout=POLL_SECONDS)
    ended = [task for task in tasks if task.done()]
    await asyncio.gather(*ended, return_exceptions=True)  # their errors have been told


def build_engine() -> Engine:
    """The engine that the settings ask for, its model not loaded yet."""
    settings = conf.get()
    if settings.upstream_url:
        if settings.max_running is None:
            message = "CHATSTREAM_MAX_RUNNING=auto is for models that run here, not upstream."
            raise EngineError(f"{message} Say how many the server takes.", "settings")
        from streaming.engine.upstream import UpstreamEngine

        return UpstreamEngine(
            settings.upstream_url,
            key=settings.upstream_key,
            model=settings.upstream_model or settings.model,
            continues={"auto": None, "yes": True, "no": False}[settings.upstream_continues],
            patience_seconds=settings.upstream_patience,
            max_running=settings.max_running,
            max_rows=settings.max_rows,
            context_tokens=settings.context_tokens,
        )
    engine_class = import_string(settings.engine)  # not earlier: torch takes seconds to import
    # an engine of one's own need not know of what is not set
    also: dict[str, Any] = {}
    if settings.chat_template is not None:
        also["chat_template"] = settings.chat_template
    if settings.adapter:
        also["adapter"] = settings.adapter
    engine: Engine = engine_class(
        settings.model or None,
        device=settings.device,
        dtype=settings.dtype,
        max_running=settings.max_running,
        max_rows=settings.max_rows,
        context_tokens=settings.context_tokens or None,
        cache_dir=settings.cache_dir,
        **also,
    )
    return engine


def start_queue_worker(engine: Engine | None = None) -> tuple[QueueWorker, asyncio.Task[None]]:
    """Start a worker inside this process, on the running event loop: the embedded deployment.

    Returns the worker and the task that runs it; the task's exception is why it ended. While
    another process has the waiting list of the database, it waits, and prompts are `unavailable`.
    """
    layer = get_channel_layer()
    lock = LockHolder.of(layer)
    worker = QueueWorker(engine or build_engine(), layer, conf.get().max_running, lock)
    return worker, asyncio.get_running_loop().create_task(worker.run())
