"""Tells open sockets what operators say: why the queue is closed, that it is open again, and what
all users are told.

One poll of the waiting list and of the database serves all sockets of a process.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Protocol
from weakref import WeakKeyDictionary

from channels.layers import BaseChannelLayer

from streaming.protocol.server_events import Announcement
from streaming.sockets.announcements import CurrentAnnouncement
from streaming.system.outages import log_fault

logger = logging.getLogger(__name__)

POLL_SECONDS = 2.0

_BATCH = 100
"""Sockets that are sent the notice before other tasks of the event loop get a turn."""


class NoticeReceiver(Protocol):
    """A socket. `notice` and `announcement` are what its client was sent last: None while the queue
    is open, and while there is nothing that all are told."""

    notice: str | None
    announcement: Announcement | None

    async def send_update(self, notice: str | None, announcement: Announcement | None) -> None:
        """Send both as they are now."""


class Notices:
    """Polls for the sockets of an event loop, as long as there are any."""

    _of_loop: WeakKeyDictionary[asyncio.AbstractEventLoop, Notices] = WeakKeyDictionary()

    def __init__(self) -> None:
        self._sockets: dict[NoticeReceiver, BaseChannelLayer] = {}
        self._task: asyncio.Task[None] | None = None
        self._fault: type[Exception] | None = None

    @classmethod
    def here(cls) -> Notices:
        """Return the notices of the running loop."""
        loop = asyncio.get_running_loop()
        if (notices := cls._of_loop.get(loop)) is None:
            notices = cls._of_loop[loop] = cls()
        return notices

    def enter(self, socket: NoticeReceiver, layer: BaseChannelLayer) -> None:
        """Send notices to a socket, which has been greeted."""
        self._sockets[socket] = layer
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._poll_loop())

    def leave(self, socket: NoticeReceiver) -> None:
        """Send a socket no more notices; without any socket, stop polling."""
        self._sockets.pop(socket, None)
        if not self._sockets and self._task:
            self._task.cancel()
            self._task = None

    async def _poll_loop(self) -> None:
        while True:
            await asyncio.sleep(POLL_SECONDS)
            try:
                await self._poll()
            except Exception as error:
                if type(error) is not self._fault:  # once, however long it lasts
                    log_fault(logger, error, "Whether the queue is closed could not be read.")
                self._fault = type(error)
            else:
                self._fault = None

    async def _poll(self) -> None:
        for layer in set(self._sockets.values()):
            now = (await layer.waiting_list.closed(), await CurrentAnnouncement.here(layer).get())
            behind = [
                socket
                for socket, its_layer in self._sockets.items()
                if its_layer is layer and (socket.notice, socket.announcement) != now
            ]
            for number, socket in enumerate(behind, 1):
                await socket.send_update(*now)
                if not number % _BATCH:
                    await asyncio.sleep(0)
