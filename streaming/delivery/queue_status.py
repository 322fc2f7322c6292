"""The state of the queue as a whole, for all readers of a process: ETAs, load, workers, closed.

Each value is read from the waiting list at most every `FRESH_SECONDS`, however many ask.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace

from channels.layers import BaseChannelLayer

from streaming.protocol.response_events import Service
from streaming.protocol.server_events import QueueLoad
from streaming.waiting_list.forecast import Estimate, estimates
from streaming.waiting_list.interface import Load, WorkerState

FRESH_SECONDS = 0.5
"""Least time between two forecasts, each of which walks through all that waits."""

NEWCOMER_SECONDS = 0.05
"""The same where an ETA is asked for that the last forecast does not have."""

LOAD_FRESH_SECONDS = 1.0
"""Least time between two loads for newcomers, each of which may walk through all that waits."""

_AT_ONCE = Estimate(0.0, 0.0, 0.0)


class QueueStatus:
    """What one layer's waiting list says of its workers and of waiting times."""

    def __init__(self, layer: BaseChannelLayer) -> None:
        self._layer = layer
        self._etas: dict[str, Estimate] = {}
        self._etas_at = float("-inf")
        self._forecasting = asyncio.Lock()
        self._service: Service = "ready"
        self._service_at = float("-inf")
        self._next_place: float | None = None
        self._next_place_at = float("-inf")
        self._load: QueueLoad | None = None
        self._first_load: asyncio.Task[QueueLoad] | None = None
        self._load_at = float("-inf")
        self._closed: str | None = None
        self._closed_at = float("-inf")

    async def eta(self, response_id: str) -> Estimate | None:
        """Return the seconds until a waiting response starts, to a tenth. None if they cannot be
        computed: without a worker, before the first answer has ended, or for one that has just
        come."""
        async with self._forecasting:
            age = time.monotonic() - self._etas_at
            if age >= (FRESH_SECONDS if response_id in self._etas else NEWCOMER_SECONDS):
                self._etas = estimates(await self._layer.waiting_list.load())
                self._etas_at = time.monotonic()
        return _rounded(self._etas.get(response_id))

    async def service(self) -> Service:
        """Return what the workers do, all together."""
        if time.monotonic() - self._service_at >= FRESH_SECONDS:
            self._service_at = time.monotonic()
            self._service = await self._read_service()
        return self._service

    async def load(self) -> QueueLoad:
        """Return what somebody with nothing in the queue would meet who asked now."""
        if self._load is not None and time.monotonic() - self._load_at < LOAD_FRESH_SECONDS:
            return self._load
        self._load_at = time.monotonic()
        if self._load is not None:
            self._load = await self._read_load()
            return self._load
        # A crowd comes back after a restart: one of them reads for all.
        if self._first_load is None or self._first_load.done():
            self._first_load = asyncio.create_task(self._read_load())
            self._first_load.add_done_callback(lambda task: task.cancelled() or task.exception())
        self._load = await asyncio.shield(self._first_load)
        return self._load

    async def _read_load(self) -> QueueLoad:
        return load_as_met(await self._layer.waiting_list.load(), await self.service())

    async def closed(self) -> str | None:
        """Return the operator's message while no new prompt is accepted, else None."""
        if time.monotonic() - self._closed_at >= FRESH_SECONDS:
            self._closed_at = time.monotonic()
            self._closed = await self._layer.waiting_list.closed()
        return self._closed

    async def next_place(self) -> float | None:
        """Return the seconds until a place becomes free, None if they cannot be computed."""
        if time.monotonic() - self._next_place_at >= FRESH_SECONDS:
            self._next_place_at = time.monotonic()
            load = await self._layer.waiting_list.load()
            first = estimates(replace(load, waiting=[("", 1)])).get("")
            self._next_place = first.seconds if first else None
        return self._next_place

    async def _read_service(self) -> Service:
        workers = await self._layer.waiting_list.workers()
        serving = [worker for worker in workers if worker.state is not WorkerState.DRAINING]
        if not serving:
            return "draining" if workers else "away"
        if not any((await self._layer.waiting_list.load()).capacities.values()):
            return "paused"
        if all(worker.state is not WorkerState.READY for worker in serving):
            return "loading"
        return "ready"


def load_as_met(load: Load, service: Service) -> QueueLoad:
    """Return the queue as it is for somebody who has nothing in it and asks now.

    The ETA is None where no worker takes a prompt right now, and where it cannot be computed.
    """
    estimate = None
    if service == "ready":
        ahead = load.waiting[: load.before_newcomer]
        if len(ahead) < _free_places(load):
            estimate = _AT_ONCE
        else:
            estimate = _rounded(estimates(replace(load, waiting=[*ahead, ("", 1)])).get(""))
    seconds, low, high = estimate or (None, None, None)
    return QueueLoad(
        waiting=len(load.waiting),
        running=len(load.running),
        capacity=sum(load.capacities.values()),
        eta_seconds=seconds,
        eta_low_seconds=low,
        eta_high_seconds=high,
    )


def _free_places(load: Load) -> int:
    """Return how many places of workers that claim are free."""
    busy = [running.worker_id for running in load.running]
    return sum(max(0, places - busy.count(name)) for name, places in load.capacities.items())


def _rounded(estimate: Estimate | None) -> Estimate | None:
    """Return an estimate to a tenth of a second."""
    if estimate is None:
        return None
    return Estimate(*(None if each is None else round(each, 1) for each in estimate))  # type: ignore[arg-type]
