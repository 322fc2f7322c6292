"""What a worker does for all: it keeps the waiting list tidy, the record in agreement with it,
and a memory of the last hour."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from channels.layers import BaseChannelLayer

from streaming import conf
from streaming.lifecycle import ending, reconciler
from streaming.record.errors import RecordError
from streaming.waiting_list import samples


class Upkeep:
    """`holder` stands for elections; `on_returned` hears that something may be claimed."""

    def __init__(
        self, layer: BaseChannelLayer, holder: str, on_returned: Callable[[], None]
    ) -> None:
        self._layer = layer
        self._holder = holder
        self._on_returned = on_returned

    async def sweep(self) -> None:
        """Take back what dead workers held, and end what nobody wants any more."""
        settings = conf.get()
        timeout = settings.queue_timeout or None
        sweep = await self._layer.waiting_list.sweep(settings.disconnect_grace, timeout)
        for response_id in sweep.exhausted:
            await ending.fail_exhausted(self._layer, response_id)
        for response_id in sweep.overdue:
            await ending.fail_overdue(self._layer, response_id)
        for response_id in sweep.abandoned:
            with contextlib.suppress(RecordError):
                await ending.cancel(self._layer, response_id)
        if sweep.returned or sweep.abandoned:
            self._on_returned()

    async def reconcile(self) -> None:
        """Put the record and the list in agreement, if it is this one's turn."""
        seconds = 1.5 * reconciler.INTERVAL_SECONDS
        if await self._layer.waiting_list.elect("reconcile", self._holder, seconds):
            await reconciler.reconcile(self._layer)

    async def sample(self) -> None:
        """Take a sample of the queue, if it is this one's turn."""
        await samples.take_in_turn(self._layer.waiting_list, self._holder)
