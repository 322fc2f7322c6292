"""A worker's presence in the waiting list: that it lives, how much it takes, what it is ordered."""

from __future__ import annotations

import asyncio
import logging
import os
import platform
from collections.abc import Callable
from typing import Any

from streaming.engine.base import Engine
from streaming.system.outages import AWAY
from streaming.waiting_list.interface import Orders, WaitingList, WorkerBeat
from streaming.worker.status import StatusTracker
from streaming.worker.tasks import POLL_SECONDS

logger = logging.getLogger(__name__)


class Presence:
    """Sends one worker's heartbeats, whose answers are an operator's orders.

    `capacity`: responses it runs at most as started; None: as many as its engine finds right.
    `on_orders` is called when the orders have changed.
    """

    def __init__(
        self,
        worker_id: str,
        engine: Engine,
        waiting_list: WaitingList,
        status: StatusTracker,
        *,
        capacity: int | None,
        lease_seconds: float,
        on_orders: Callable[[], None],
    ) -> None:
        self._worker_id = worker_id
        self._engine = engine
        self._list = waiting_list
        self._status = status
        self._started_capacity = capacity
        self._lease_seconds = lease_seconds
        self._on_orders = on_orders
        self._orders = Orders()
        self._limit: int | None = None
        self._beating = asyncio.Lock()

    @property
    def capacity(self) -> int:
        """Return how many responses it runs at most: as started, or as ordered, which may be up to
        all the rows of its engine. Without a number of its own it is 0 until the model is loaded.
        The limit of all workers, if there is one, takes the place of the number it started with.
        """
        ordered = self._limit if self._orders.capacity is None else self._orders.capacity
        own, most = self._started_capacity or 0, self._started_capacity or 0
        if self._status.is_loaded:
            info = self._engine.info
            own, most = own or info.capacity or info.max_running, info.max_running
        return own if ordered is None else min(ordered, most)

    def set_limit(self, limit: int | None) -> bool:
        """Heed a limit of all workers (None: there is none any more); return whether it is another
        than before."""
        is_new, self._limit = limit != self._limit, limit
        return is_new

    async def beat(self) -> None:
        """Send a heartbeat, and obey the orders that come back, until the list has heard of that,
        too."""
        async with self._beating:
            while (orders := await self._list.heartbeat(self._heartbeat())) != self._orders:
                self._orders = orders
                self._status.set_drain(orders.drain)
                logger.info(
                    "Worker %s is ordered to run up to %s%s.",
                    self._worker_id,
                    "as many as it was started with" if orders.capacity is None else self.capacity,
                    " and to claim nothing" if orders.drain else "",
                )
                self._on_orders()

    async def beat_at_last(self) -> None:
        """Send a heartbeat when the layer is there, which it may not be yet when a worker starts.

        Return without one if the worker is ended meanwhile.
        """
        while not self._status.ending.is_set():
            try:
                return await self.beat()
            except AWAY as error:
                logger.warning("The waiting list cannot be reached; trying again. (%s)", error)
                await asyncio.sleep(POLL_SECONDS)

    def _heartbeat(self) -> WorkerBeat:
        details: dict[str, Any] = {"pid": os.getpid(), "host": platform.node()}
        cached_prefixes = 0
        if self._status.is_loaded:
            cached_prefixes = self._engine.cached_prefix_capacity
            info, stats = self._engine.info, self._engine.stats()
            details |= {
                "model": info.name,
                "device": info.device,
                "dtype": info.dtype,
                "context_tokens": info.context_tokens,
                "rows": info.max_running,
                "sampling": dict(info.sampling),
                "thinks": info.thinks,
                "takes_system": info.takes_system,
                "completes_text": info.completes_text,
                "takes_images": info.takes_images,
                "takes_tools": info.takes_tools,
                "parameters": info.parameters,
                "steps": stats.steps,
                "generated_tokens": stats.generated_tokens,
                "tokens_per_second": round(stats.tokens_per_second, 1),
                "kv_bytes": stats.kv_bytes,
                "kv_bytes_used": stats.kv_bytes_used,
            }
        state = self._status.status.reported
        return WorkerBeat(
            self._worker_id, self.capacity, state, self._lease_seconds, details,
            cached_prefix_capacity=cached_prefixes,
        )  # fmt: skip
