"""The present forecast of a process, and what its workers do, shared by all its sockets."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace

from channels.layers import BaseChannelLayer

from streaming.protocol.server_events import Service
from streaming.waiting_list.base import WorkerState
from streaming.waiting_list.forecast import forecast

FRESH_SECONDS = 0.5
"""A forecast walks over all that waits, so it is made at most this often,"""

NEWCOMER_SECONDS = 0.05
"""but for a response that is not in the present one, at most this often."""


class Outlook:
    """Seconds until each waiting response gets a place, as far as anybody can tell."""

    def __init__(self, layer: BaseChannelLayer) -> None:
        self._layer = layer
        self._etas: dict[str, float] = {}
        self._made_at = float("-inf")
        self._making = asyncio.Lock()
        self._service: Service = "ready"
        self._service_at = float("-inf")
        self._next_place: float | None = None
        self._next_place_at = float("-inf")
        self._closed: str | None = None
        self._closed_at = float("-inf")

    async def eta(self, response_id: str) -> float | None:
        """None without an honest answer: no worker, no finished answer yet, or too new."""
        async with self._making:
            age = time.monotonic() - self._made_at
            if age >= (FRESH_SECONDS if response_id in self._etas else NEWCOMER_SECONDS):
                self._etas = forecast(await self._layer.waiting_list.load())
                self._made_at = time.monotonic()
        seconds = self._etas.get(response_id)
        return None if seconds is None else round(seconds, 1)

    async def service(self) -> Service:
        """What the workers do, all together."""
        if time.monotonic() - self._service_at >= FRESH_SECONDS:
            self._service_at = time.monotonic()
            self._service = await self._look()
        return self._service

    async def closed(self) -> str | None:
        """The operator's message while no new prompt is taken."""
        if time.monotonic() - self._closed_at >= FRESH_SECONDS:
            self._closed_at = time.monotonic()
            self._closed = await self._layer.waiting_list.closed()
        return self._closed

    async def _look(self) -> Service:
        workers = await self._layer.waiting_list.workers()
        serving = [worker for worker in workers if worker.state is not WorkerState.DRAINING]
        if not serving:
            return "draining" if workers else "away"
        if not any((await self._layer.waiting_list.load()).capacities.values()):
            return "paused"
        if all(worker.state is not WorkerState.READY for worker in serving):
            return "loading"
        return "ready"

    async def next_place(self) -> float | None:
        """Seconds until a place becomes free; None if nobody can tell."""
        if time.monotonic() - self._next_place_at >= FRESH_SECONDS:
            self._next_place_at = time.monotonic()
            load = await self._layer.waiting_list.load()
            self._next_place = forecast(replace(load, waiting=[("", 1)])).get("")
        return self._next_place
