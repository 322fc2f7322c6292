"""The worker: claims from the waiting list when it has a free place, feeds the engine,
publishes what comes back, renews its leases, and writes each end into the record.

It is the bridge between the engine's thread and the event loop; it decides nothing about
order (the waiting list does) nor about steps (the engine does).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import platform
import secrets
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from channels.layers import BaseChannelLayer, get_channel_layer
from django.db import DatabaseError
from django.utils.module_loading import import_string
from redis.exceptions import RedisError

from streaming import conf, reconciler, record, responses
from streaming.engine.base import Engine, EngineError, EngineEvent, Finished, GenerationRequest
from streaming.models import Status
from streaming.protocol import ErrorDetail, ProtocolError
from streaming.running import Append, Running
from streaming.waiting_list.base import Claim, WorkerBeat, WorkerState, WrongNumber

logger = logging.getLogger(__name__)

POLL_SECONDS = 1.0
"""A lost doorbell is noticed after this long."""

PUBLISH_SECONDS = 0.04
"""Each response is published at most this often, all responses of an interval together."""

_CANCEL_ATTEMPTS = 5

_AWAY = (DatabaseError, RedisError, OSError)
"""The database or the layer is away for a moment; the response is not to blame."""


class QueueWorker:
    """Owns one engine. `run` until `stop`; both on one event loop.

    `run` raises EngineError if the model cannot be served, and RuntimeError if the engine's
    thread dies.
    """

    def __init__(self, engine: Engine, layer: BaseChannelLayer, capacity: int) -> None:
        self.worker_id = f"{platform.node()}:{os.getpid()}:{secrets.token_hex(3)}"
        self.capacity = capacity
        self.ready = asyncio.Event()
        self._engine = engine
        self._layer = layer
        self._list = layer.waiting_list
        self._lease_seconds = conf.get().lease_seconds
        self._state = WorkerState.LOADING
        self._running: dict[str, Running] = {}
        self._bell = asyncio.Event()
        self._news = asyncio.Event()
        self._emptied = asyncio.Event()
        self._stopping = asyncio.Event()
        self._endings: set[asyncio.Task[None]] = set()
        self._stale: dict[str, asyncio.Event] = {}  # lost by us; set when the engine ends them

    # --- life ---

    async def run(self) -> None:
        """Load the model, then serve until stopped."""
        self._loop = asyncio.get_running_loop()
        await self._beat_at_last()
        beating = asyncio.create_task(self._every(self._lease_seconds / 3, self._beat))
        try:
            await asyncio.to_thread(self._engine.start, self._on_events)
            self._state = WorkerState.READY
            await self._beat_at_last()
            self.ready.set()
            logger.info("Worker %s serves %s.", self.worker_id, self._engine.info.name)
            await self._serve()
        finally:
            await self._end(beating)

    async def _serve(self) -> None:
        grace = conf.get().disconnect_grace
        duties = [
            asyncio.create_task(duty)
            for duty in (
                self._claim_on(),
                self._publish_on(),
                self._every(POLL_SECONDS, self._listen_for_bell),
                self._every(POLL_SECONDS, self._listen_for_cancels),
                self._every(self._lease_seconds / 3, self._renew),
                self._every(min(1.0, grace / 3), self._sweep),
                self._every(POLL_SECONDS / 2, self._stop_overlong),
                self._every(reconciler.INTERVAL_SECONDS, self._reconcile),
                self._watch_engine(),
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
        if self._running and drain_seconds:
            with contextlib.suppress(Exception):
                await self._beat()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(drain_seconds):
                    await self._drained()
        self._stopping.set()

    async def _drained(self) -> None:
        while self._running:
            self._emptied.clear()
            await self._emptied.wait()

    async def _end(self, beating: asyncio.Task[None]) -> None:
        await _cancel(beating)
        if self._endings:
            await asyncio.wait(self._endings, timeout=5 * POLL_SECONDS)
        left = list(self._running.values())
        self._running.clear()
        for running in left:
            with contextlib.suppress(Exception):
                await self._list.release(running.lease)
        with contextlib.suppress(Exception):
            await self._list.retire(self.worker_id)
        await _cancel(*self._endings)
        await asyncio.to_thread(self._engine.close)

    async def _every(self, seconds: float, duty: Callable[[], Awaitable[None]]) -> None:
        """A duty again and again; its faults (the layer or the database away) are outlived."""
        while True:
            try:
                await duty()
            except Exception:
                logger.exception("%s failed; trying again.", duty.__name__)
            await asyncio.sleep(seconds)

    # --- claiming ---

    async def _claim_on(self) -> None:
        while True:
            self._bell.clear()
            try:
                while self._state is WorkerState.READY and len(self._running) < self.capacity:
                    claim = await self._list.claim(self.worker_id, self._lease_seconds)
                    if claim is None:
                        break
                    await self._begin(claim)
            except Exception:
                logger.exception("Claiming failed; trying again.")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(POLL_SECONDS):
                    await self._bell.wait()

    async def _begin(self, claim: Claim) -> None:
        response_id = claim.entry.response_id
        running = self._running[response_id] = Running(claim)
        try:
            await self._submit(running, claim)
        except BaseException:
            self._forget(running)  # no bell: not at once again
            with contextlib.suppress(Exception):
                await self._list.release(claim.lease)
            raise

    async def _submit(self, running: Running, claim: Claim) -> None:
        response_id = running.response_id
        try:
            work = await record.start(response_id, self.worker_id, claim.attempt)
            if work is None:
                # It ended between its place and our claim; its readers still wait for the word.
                await self._finish_by_record(running)
                return
            if events := await self._list.read(response_id):
                running.resume(responses.text_of(events))
            if ended := self._stale.get(response_id):
                await ended.wait()
            if not self._holds(running):
                return  # the lease was lost over all this
            request = GenerationRequest(response_id, work.messages, work.params, claim.tokens)
            self._engine.submit(request)
            running.submitted = True
        except (EngineError, *_AWAY):
            raise
        except Exception:
            # Put back, it would come again and again and hold up everybody behind it.
            logger.exception("Response %s cannot be served.", response_id)
            error = ErrorDetail(code="internal_error", message="This prompt cannot be answered.")
            await record.end_lost(response_id, Status.FAILED, "", error)
            await self._finish_by_record(running)

    async def _finish_by_record(self, running: Running) -> None:
        done = await record.done_event(running.response_id)
        event = done or record.cancelled_event(running.response_id, "")
        await self._list.finish(
            running.lease,
            responses.event_json(event),
            running.tail + 1,
            counted=running.is_typical,
        )
        self._drop(running)

    def _drop(self, running: Running) -> None:
        self._forget(running)
        self._bell.set()

    def _forget(self, running: Running) -> None:
        if self._holds(running):
            del self._running[running.response_id]
        if not self._running:
            self._emptied.set()

    def _holds(self, running: Running) -> bool:
        """Whether it runs still; the same response may do so under another lease of ours."""
        return self._running.get(running.response_id) is running

    # --- from the engine to the readers ---

    def _on_events(self, events: Sequence[EngineEvent]) -> None:
        """The engine's sink, on the engine's thread."""
        with contextlib.suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(self._take, tuple(events))

    def _take(self, events: Sequence[EngineEvent]) -> None:
        for event in events:
            if event.response_id in self._stale:
                # Said for a lease that we lost; we may hold the next one already.
                if isinstance(event, Finished):
                    self._stale.pop(event.response_id).set()
            elif running := self._running.get(event.response_id):
                running.take(event)
        self._news.set()

    async def _publish_on(self) -> None:
        while True:
            await self._news.wait()
            self._news.clear()
            try:
                await self._publish()
            except Exception:
                # What was not published stays in each Running and goes out with the next try.
                logger.exception("Publishing failed; trying again.")
                self._news.set()
                await asyncio.sleep(POLL_SECONDS / 2)
            await asyncio.sleep(PUBLISH_SECONDS)

    async def _publish(self) -> None:
        pending = [
            (running, append) for running in self._running.values() for append in running.unsaid()
        ]
        numbers = await self._append(pending)
        for (running, append), number in zip(pending, numbers, strict=True):
            if not self._holds(running):
                continue
            if number is None:
                self._lose(running)
            else:
                running.said(append)
        for running in list(self._running.values()):
            if running.is_over and not running.ending:
                running.ending = True
                ending = asyncio.create_task(self._finish(running))
                self._endings.add(ending)
                ending.add_done_callback(self._endings.discard)

    async def _append(self, pending: list[tuple[Running, Append]]) -> list[int | None]:
        """Publish all in one round trip. The numbers make it safe to say a thing twice."""
        if not pending:
            return []
        try:
            numbers: list[int | None] = await self._list.append_many(
                [(r.lease, append.event, append.tokens, append.number) for r, append in pending]
            )
        except WrongNumber as error:
            # We and the log disagree: whoever claims it next goes on from what the log says.
            for running, _ in pending:
                if running.response_id in error.response_ids and self._holds(running):
                    self._lose(running)
            raise
        return numbers

    async def _finish(self, running: Running) -> None:
        """The record first, then the list; a database that is away for a moment is waited for."""
        while self._holds(running):
            try:
                await record.finish(
                    running.response_id, self.worker_id, running.attempt, running.outcome()
                )
                await self._finish_by_record(running)
            except WrongNumber:
                self._lose(running)  # the next one to claim it ends it by the record
            except Exception:
                logger.exception(
                    "The end of %s was not written; trying again.", running.response_id
                )
                await asyncio.sleep(POLL_SECONDS)

    def _lose(self, running: Running) -> None:
        """Our lease is over and somebody else may answer now: say and write nothing more."""
        logger.warning("The lease of %s was lost.", running.response_id)
        if running.is_in_engine:
            self._stale[running.response_id] = asyncio.Event()
            self._engine.cancel(running.response_id)
        self._drop(running)

    # --- duties ---

    async def _beat(self) -> None:
        details: dict[str, str | int | float] = {"pid": os.getpid(), "host": platform.node()}
        if self._state is not WorkerState.LOADING:
            info, stats = self._engine.info, self._engine.stats()
            details |= {
                "model": info.name,
                "device": info.device,
                "dtype": info.dtype,
                "context_tokens": info.context_tokens,
                "steps": stats.steps,
                "generated_tokens": stats.generated_tokens,
            }
        beat = WorkerBeat(self.worker_id, self.capacity, self._state, self._lease_seconds, details)
        await self._list.heartbeat(beat)

    async def _beat_at_last(self) -> None:
        """The layer may not be there yet when a worker starts: it is waited for."""
        while not self._stopping.is_set():
            try:
                return await self._beat()
            except _AWAY as error:
                logger.warning("The waiting list cannot be reached; trying again. (%s)", error)
                await asyncio.sleep(POLL_SECONDS)

    async def _renew(self) -> None:
        asked = list(self._running.values())
        leases = [running.lease for running in asked]
        renewal = await self._list.renew(self.worker_id, leases, self._lease_seconds)
        for response_id in renewal.cancelled:
            self._engine.cancel(response_id)
        for running in asked:
            if running.response_id in renewal.lost and self._holds(running):
                self._lose(running)

    async def _sweep(self) -> None:
        settings = conf.get()
        timeout = settings.queue_timeout or None
        sweep = await self._list.sweep(settings.disconnect_grace, timeout)
        for response_id in sweep.exhausted:
            await responses.fail_exhausted(self._layer, response_id)
        for response_id in sweep.overdue:
            await responses.fail_overdue(self._layer, response_id)
        for response_id in sweep.abandoned:
            with contextlib.suppress(ProtocolError):
                await responses.cancel(self._layer, response_id)
        if sweep.returned or sweep.abandoned:
            self._bell.set()

    async def _stop_overlong(self) -> None:
        limit = conf.get().generation_timeout
        for running in self._running.values():
            if limit and running.seconds > limit:
                running.timed_out = True
                self._engine.cancel(running.response_id)

    async def _reconcile(self) -> None:
        seconds = 1.5 * reconciler.INTERVAL_SECONDS
        if await self._list.elect("reconcile", self.worker_id, seconds):
            await reconciler.reconcile(self._layer)

    async def _watch_engine(self) -> None:
        while True:
            await asyncio.sleep(POLL_SECONDS)
            if not self._engine.stats().alive:
                raise RuntimeError("The engine's thread has died.")

    async def _listen_for_bell(self) -> None:
        while True:
            await self._layer.receive(responses.DOORBELL)
            self._bell.set()

    async def _listen_for_cancels(self) -> None:
        channel = await self._layer.new_channel()
        await self._layer.group_add(responses.WORKERS_GROUP, channel)
        try:
            while True:
                message = await self._layer.receive(channel)
                if message["response_id"] in self._running:
                    self._engine.cancel(message["response_id"])
        finally:
            with contextlib.suppress(Exception):  # the layer may be away, and forgets it by itself
                await self._layer.group_discard(responses.WORKERS_GROUP, channel)


async def _cancel(*tasks: asyncio.Task[Any]) -> None:
    """Cancel until all have ended: what they wait for may swallow one cancellation, not many."""
    for attempt in range(_CANCEL_ATTEMPTS):
        pending = [task for task in tasks if not task.done()]
        for task in pending:
            if attempt:
                logger.warning("Not cancelled yet: %r", task)
            task.cancel()
        if pending:
            await asyncio.wait(pending, timeout=POLL_SECONDS)
    ended = [task for task in tasks if task.done()]
    await asyncio.gather(*ended, return_exceptions=True)  # their errors have been told


def build_engine() -> Engine:
    """The engine that the settings ask for, its model not loaded yet."""
    settings = conf.get()
    engine_class = import_string(settings.engine)  # not earlier: torch takes seconds to import
    engine: Engine = engine_class(
        settings.model or None,
        device=settings.device,
        dtype=settings.dtype,
        max_running=settings.max_running,
        context_tokens=settings.context_tokens or None,
        cache_dir=settings.cache_dir,
    )
    return engine


def start_queue_worker(engine: Engine | None = None) -> tuple[QueueWorker, asyncio.Task[None]]:
    """Start a worker inside this process, on the running event loop: the embedded deployment.

    Returns the worker and the task that runs it; the task's exception is why it ended.
    """
    worker = QueueWorker(engine or build_engine(), get_channel_layer(), conf.get().max_running)
    return worker, asyncio.get_running_loop().create_task(worker.run())
