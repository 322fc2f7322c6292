"""All viewers of a process, and the poll of the waiting list that they share.

One call per process and interval asks for all watched responses together. It also shows the
waiting list that each of them still has a reader.
"""

from __future__ import annotations

import asyncio
import logging
import time
from weakref import WeakKeyDictionary

from channels.layers import BaseChannelLayer

from streaming import conf
from streaming.delivery.queue_position import QueuePosition
from streaming.delivery.queue_status import QueueStatus
from streaming.delivery.viewer import Viewer
from streaming.system.outages import log_fault
from streaming.waiting_list.interface import Place, State

logger = logging.getLogger(__name__)

POLL_SECONDS = 0.5
"""Least time between two position events of a response."""

_SLICE_SECONDS = 0.001
"""Viewers are handled for so long before other tasks of the event loop get a turn."""

_IDS_PER_CALL = 1000
"""Maximum responses that one call asks for."""


class Viewers:
    """The viewers of one event loop. The waiting list is polled while there are any."""

    _of_loop: WeakKeyDictionary[asyncio.AbstractEventLoop, Viewers] = WeakKeyDictionary()

    def __init__(self, layer: BaseChannelLayer) -> None:
        self.queue_status = QueueStatus(layer)
        self._layer = layer
        self._viewers: set[Viewer] = set()
        self._task: asyncio.Task[None] | None = None

    @classmethod
    def here(cls, layer: BaseChannelLayer) -> Viewers:
        """Return the running loop's viewers of a layer."""
        loop = asyncio.get_running_loop()
        viewers = cls._of_loop.get(loop)
        if viewers is None or viewers._layer is not layer:
            viewers = cls._of_loop[loop] = cls(layer)
        return viewers

    def __len__(self) -> int:
        return len(self._viewers)

    def add(self, viewer: Viewer) -> None:
        """Poll for one more viewer."""
        self._viewers.add(viewer)
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._poll_loop())

    def discard(self, viewer: Viewer) -> None:
        """Poll no more for a viewer, whose reader has gone."""
        self._viewers.discard(viewer)
        viewer.leave()

    async def position_of(self, response_id: str, place: Place) -> QueuePosition:
        """Return a response's place in the terms of the position events."""
        workers = len(await self._layer.waiting_list.workers())
        eta = await self.queue_status.eta(response_id) if place.state is State.WAITING else None
        service = await self.queue_status.service()
        return QueuePosition.at(place.position, place.size, workers, service, eta)

    async def _poll_loop(self) -> None:
        """Poll until no viewer is left."""
        interval = min(POLL_SECONDS, conf.get().disconnect_grace / 3)
        while self._viewers:
            try:
                await self._poll()
            except Exception as error:
                log_fault(logger, error, "The waiting list could not be polled; trying again.")
            await asyncio.sleep(interval)

    async def _poll(self) -> None:
        ids = sorted({viewer.response_id for viewer in self._viewers})
        for start in range(0, len(ids), _IDS_PER_CALL):
            asked = set(ids[start : start + _IDS_PER_CALL])
            viewers = [viewer for viewer in self._viewers if viewer.response_id in asked]
            for viewer in viewers:
                viewer.mark()
            watch = await self._layer.waiting_list.watch(sorted(asked))
            service = await self.queue_status.service()
            slice_ends = time.monotonic() + _SLICE_SECONDS
            for viewer in viewers:
                if watched := watch.responses.get(viewer.response_id):
                    waits = watched.state is State.WAITING
                    eta = await self.queue_status.eta(viewer.response_id) if waits else None
                    position = QueuePosition.at(
                        watched.position, watch.size, watch.workers, service, eta
                    )
                    try:
                        await viewer.observe(watched, position)
                    except Exception as error:  # one reader's fault is not the others'
                        message = "A position could not be sent to a viewer of %s."
                        log_fault(logger, error, message, viewer.response_id)
                if time.monotonic() >= slice_ends:
                    await asyncio.sleep(0)
                    slice_ends = time.monotonic() + _SLICE_SECONDS
