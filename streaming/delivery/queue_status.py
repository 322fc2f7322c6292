"""The state of the queue as a whole, for all readers of a process: ETAs, workers, closed or not.

Each value is read from the waiting list at most every `FRESH_SECONDS`, however many ask.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace

from channels.layers import BaseChannelLayer

from streaming.protocol.server_events import Service
from streaming.waiting_list.forecast import forecast
from streaming.waiting_list.interface import WorkerState

FRESH_SECONDS = 0.5
"""Least time between two forecasts, each of which walks through all that waits."""

NEWCOMER_SECONDS = 0.05
"""The same where an ETA is asked for that the last forecast does not have."""


class QueueStatus:
    """What one layer's waiting list says of its workers and of waiting times."""

    def __init__(self, layer: BaseChannelLayer) -> None:
        self._layer = layer
        self._etas: dict[str, float] = {}
        self._etas_at = float("-inf")
        self._forecasting = asyncio.Lock()
        self._service: Service = "ready"
        self._service_at = float("-inf")
        self._next_place: float | None = None
        self._next_place_at = float("-inf")
        self._closed: str | None = None
        self._closed_at = float("-inf")

    async def eta(self, response_id: str) -> float | None:
        """Return the seconds until a waiting response starts. None if they cannot be computed:
        without a worker, before the first answer has ended, or for one that has just come."""
        async with self._forecasting:
            age = time.monotonic() - self._etas_at
            if age >= (FRESH_SECONDS if response_id in self._etas else NEWCOMER_SECONDS):
                self._etas = forecast(await self._layer.waiting_list.load())
                self._etas_at = time.monotonic()
        seconds = self._etas.get(response_id)
        return None if seconds is None else round(seconds, 1)

    async def service(self) -> Service:
        """Return what the workers do, all together."""
        if time.monotonic() - self._service_at >= FRESH_SECONDS:
            self._service_at = time.monotonic()
            self._service = await self._read_service()
        return self._service

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
            self._next_place = forecast(replace(load, waiting=[("", 1)])).get("")
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
