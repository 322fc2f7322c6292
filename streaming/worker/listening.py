"""What a worker hears from the channel layer: the doorbell, and messages to all workers."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from channels.layers import BaseChannelLayer

from streaming.lifecycle.doorbell import DOORBELL
from streaming.waiting_list.interface import WORKERS_GROUP
from streaming.worker.running_set import RunningSet


class Listening:
    """One worker's ears. A message only makes it quicker: what was lost is seen by a later look.

    `on_bell`: something may be claimed. `on_orders`: the next heartbeat brings new orders.
    """

    def __init__(
        self,
        worker_id: str,
        layer: BaseChannelLayer,
        running_set: RunningSet,
        *,
        on_bell: Callable[[], None],
        on_orders: Callable[[], None],
    ) -> None:
        self._worker_id = worker_id
        self._layer = layer
        self._running_set = running_set
        self._on_bell = on_bell
        self._on_orders = on_orders

    async def hear_bell(self) -> None:
        """Hear the doorbell, which any worker may hear, until the layer fails."""
        while True:
            await self._layer.receive(DOORBELL)
            self._on_bell()

    async def hear_group(self) -> None:
        """Hear what is said to all workers, until the layer fails."""
        channel = await self._layer.new_channel()
        await self._layer.group_add(WORKERS_GROUP, channel)
        self._on_orders()  # what was ordered before we listened is asked for
        try:
            while True:
                message = await self._layer.receive(channel)
                if message["type"] == "worker.orders":
                    if message["worker_id"] == self._worker_id:
                        self._on_orders()
                elif message["type"] == "worker.claim":
                    if message["worker_id"] == self._worker_id:
                        self._on_bell()
                elif running := self._running_set.get(message["response_id"]):
                    self._running_set.cancel(running)
        finally:
            with contextlib.suppress(Exception):  # the layer may be away, and forgets it by itself
                await self._layer.group_discard(WORKERS_GROUP, channel)
