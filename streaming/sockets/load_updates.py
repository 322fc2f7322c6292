"""Tells open sockets that the queue is not as it was when they were told last.

One read of the waiting list serves all sockets of a process. What is sent is bounded for each
socket and for all of them together, so that ten thousand idle pages cost next to nothing.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from typing import NamedTuple, Protocol
from weakref import WeakKeyDictionary

from channels.layers import BaseChannelLayer

from streaming.delivery.viewers import Viewers
from streaming.protocol.response_events import Service
from streaming.protocol.server_events import QueueLoad, SessionLoad
from streaming.system.outages import log_fault

logger = logging.getLogger(__name__)

POLL_SECONDS = 2.0

LEAST_SECONDS = 10.0
"""Least time between two updates of a socket."""

MOST_PER_POLL = 400
"""Maximum sockets that are told in one poll, those first that were told longest ago: with 10,000
open ones each hears at most every 50 s."""

_BATCH = 100
"""Sockets that are told before other tasks of the event loop get a turn."""

Outline = tuple[object, ...]


class LoadReceiver(Protocol):
    """A socket that takes a `chatstream:load`."""

    async def send_load(self, text: str) -> None:
        """Send the event, written as JSON."""


class Told(NamedTuple):
    """What a socket knows: the outline of the load, since when, and of which layer's queue."""

    outline: Outline
    at: float
    layer: BaseChannelLayer


def outline(service: Service, load: QueueLoad) -> Outline:
    """Return what people notice of a load: two that differ in less have the same outline."""
    numbers = (load.eta_seconds, load.eta_low_seconds, load.eta_high_seconds)
    is_full = load.running >= load.capacity
    return (service, _coarse(load.waiting), is_full, *(_coarse_seconds(each) for each in numbers))


def _coarse(count: int) -> int:
    """Return a count with two digits that matter."""
    return count if count < 20 else round(count, 1 - int(math.log10(count)))


def _coarse_seconds(seconds: float | None) -> int | None:
    """Return seconds as the number of a step: each is a fifth longer than the one before."""
    return None if seconds is None else round(5 * math.log(max(1.0, seconds / 2)))


class LoadUpdates:
    """Polls for the sockets of an event loop, as long as there are any."""

    _of_loop: WeakKeyDictionary[asyncio.AbstractEventLoop, LoadUpdates] = WeakKeyDictionary()

    def __init__(self) -> None:
        self._told: dict[LoadReceiver, Told] = {}  # who was told longest ago comes first
        self._task: asyncio.Task[None] | None = None
        self._fault: type[Exception] | None = None

    @classmethod
    def here(cls) -> LoadUpdates:
        """Return the updates of the running loop."""
        loop = asyncio.get_running_loop()
        if (updates := cls._of_loop.get(loop)) is None:
            updates = cls._of_loop[loop] = cls()
        return updates

    def __len__(self) -> int:
        return len(self._told)

    def enter(
        self,
        socket: LoadReceiver,
        layer: BaseChannelLayer,
        service: Service,
        load: QueueLoad | None,
    ) -> None:
        """Update a socket from now on, which was told `load` by its greeting just now."""
        self._told.pop(socket, None)  # greeted once more: it goes to the end
        known = outline(service, load) if load else ()
        self._told[socket] = Told(known, time.monotonic(), layer)
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._poll_loop())

    def leave(self, socket: LoadReceiver) -> None:
        """Update a socket no more; without any, stop polling."""
        self._told.pop(socket, None)
        if not self._told and self._task:
            self._task.cancel()
            self._task = None

    async def _poll_loop(self) -> None:
        while True:
            await asyncio.sleep(POLL_SECONDS)
            try:
                await self._poll()
            except Exception as error:
                if type(error) is not self._fault:  # once, however long it lasts
                    log_fault(logger, error, "The load of the queue could not be read.")
                self._fault = type(error)
            else:
                self._fault = None

    async def _poll(self) -> None:
        for layer in {told.layer for told in self._told.values()}:
            status = Viewers.here(layer).queue_status
            service, load = await status.service(), await status.load()
            now_outline = outline(service, load)
            behind = self._behind(layer, now_outline)
            text = SessionLoad(service=service, load=load).model_dump_json() if behind else ""
            for number, socket in enumerate(behind, 1):
                if socket not in self._told:
                    continue  # it has left meanwhile
                del self._told[socket]
                self._told[socket] = Told(now_outline, time.monotonic(), layer)
                await socket.send_load(text)
                if not number % _BATCH:
                    await asyncio.sleep(0)

    def _behind(self, layer: BaseChannelLayer, present: Outline) -> list[LoadReceiver]:
        """Return the sockets that are to be told, the longest-waiting first."""
        latest = time.monotonic() - LEAST_SECONDS
        found: list[LoadReceiver] = []
        for socket, told in self._told.items():
            if told.at > latest or len(found) == MOST_PER_POLL:
                break
            if told.layer is layer and told.outline != present:
                found.append(socket)
        return found
