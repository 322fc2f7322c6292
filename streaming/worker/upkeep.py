"""What a worker does for all: it keeps the waiting list tidy, the record in agreement with it,
and samples of the last hour."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from channels.layers import BaseChannelLayer

from streaming import conf
from streaming.lifecycle import ending, kept_places, reconciler, recovery
from streaming.lifecycle.titling import Titling
from streaming.lifecycle.unstored import Unstored
from streaming.record.errors import RecordError
from streaming.waiting_list import samples
from streaming.worker.list_ownership import ListOwnership

TITLE_SECONDS = 3.0
"""Seconds between two looks for a conversation that is to have a title."""


class Upkeep:
    """Each method is a duty, to be done again and again; most do nothing while it is not certain
    that the list is this process's.

    `worker_id` stands for elections; `on_returned` is called when something may be claimed.
    """

    def __init__(
        self,
        layer: BaseChannelLayer,
        worker_id: str,
        ownership: ListOwnership,
        on_returned: Callable[[], None],
    ) -> None:
        self._layer = layer
        self._worker_id = worker_id
        self._ownership = ownership
        self._on_returned = on_returned
        self._titling = Titling(layer)
        self._unstored = Unstored(layer)

    async def sweep(self) -> None:
        """Take back what dead workers held, and end what nobody wants any more."""
        if not self._ownership.is_certain:
            return
        settings = conf.get()
        timeout = settings.queue_timeout or None
        sweep = await self._layer.waiting_list.sweep(settings.disconnect_grace, timeout)
        for response_id in sweep.exhausted:
            await ending.fail_exhausted(self._layer, response_id)
        for response_id in sweep.overdue:
            await ending.fail_overdue(self._layer, response_id)
        kept = await kept_places.keep(self._layer, sweep.unwatched)
        abandoned = [each for each in sweep.abandoned if each not in kept]
        for response_id in abandoned:
            with contextlib.suppress(RecordError):
                await ending.cancel(self._layer, response_id)
        if sweep.returned or abandoned:
            self._on_returned()

    async def reconcile(self) -> None:
        """Put the record and the list in agreement, if it is this one's turn."""
        if not self._ownership.is_certain:
            return
        seconds = 1.5 * reconciler.INTERVAL_SECONDS
        if await self._layer.waiting_list.elect("reconcile", self._worker_id, seconds):
            await reconciler.reconcile(self._layer)
            await self._unstored.go_on()

    async def title(self) -> None:
        """Have the model make a title, where it is to, if it is this one's turn."""
        if conf.get().titles != "model" or not self._ownership.is_certain:
            return
        if await self._layer.waiting_list.elect("titles", self._worker_id, 5 * TITLE_SECONDS):
            await self._titling.go_on()

    async def sample(self) -> None:
        """Take a sample of the queue, if it is this one's turn."""
        await samples.take_in_turn(self._layer.waiting_list, self._worker_id)

    async def keep_slots(self) -> None:
        """Write into the record where those who wait stand, so that a restart finds it."""
        if self._ownership.is_certain:
            await recovery.keep_slots(self._layer.waiting_list)
