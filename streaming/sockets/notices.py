"""Tells open sockets that an operator closed the queue or opened it again: one look at the waiting
list for all the sockets of a process, every few seconds."""

from __future__ import annotations

import asyncio
import logging
from typing import Protocol
from weakref import WeakKeyDictionary

from channels.layers import BaseChannelLayer

from streaming.system.outages import log_fault

logger = logging.getLogger(__name__)

LOOK_SECONDS = 2.0

_AT_ONCE = 100
"""So many sockets are told before whatever else the process does has its turn."""


class Told(Protocol):
    """A socket; `notice` is the operator's words that it has, None while the queue is open."""

    notice: str | None

    async def tell_notice(self, notice: str | None) -> None: ...


class Notices:
    """Tells all the sockets of an event loop when an operator closes or opens the queue."""

    _of_loop: WeakKeyDictionary[asyncio.AbstractEventLoop, Notices] = WeakKeyDictionary()

    def __init__(self) -> None:
        self._sockets: dict[Told, BaseChannelLayer] = {}
        self._task: asyncio.Task[None] | None = None
        self._fault: type[Exception] | None = None

    @classmethod
    def here(cls) -> Notices:
        """Those of the running loop."""
        loop = asyncio.get_running_loop()
        if (notices := cls._of_loop.get(loop)) is None:
            notices = cls._of_loop[loop] = cls()
        return notices

    def enter(self, socket: Told, layer: BaseChannelLayer) -> None:
        """A socket has been greeted."""
        self._sockets[socket] = layer
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._look_on())

    def leave(self, socket: Told) -> None:
        self._sockets.pop(socket, None)
        if not self._sockets and self._task:
            self._task.cancel()
            self._task = None

    async def _look_on(self) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                await self._look()
            except Exception as error:
                if type(error) is not self._fault:  # once, however long it lasts
                    log_fault(logger, error, "Whether the queue is closed could not be read.")
                self._fault = type(error)
            else:
                self._fault = None

    async def _look(self) -> None:
        for layer in set(self._sockets.values()):
            notice = await layer.waiting_list.closed()
            behind = [
                socket
                for socket, its_layer in self._sockets.items()
                if its_layer is layer and socket.notice != notice
            ]
            for number, socket in enumerate(behind, 1):
                await socket.tell_notice(notice)
                if not number % _AT_ONCE:
                    await asyncio.sleep(0)
