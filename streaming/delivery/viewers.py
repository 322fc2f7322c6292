"""The responses that this process's sockets watch: numbered events in order, live positions.

Events arrive by the response's group. Delivery by a channel layer is at most once, so each
viewer counts: a gap is repaired from the log at once, a lost last event at the next look.
One look per process and interval asks for all watched responses together; it tells the
waiting list, too, that somebody is still there.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple
from uuid import UUID
from weakref import WeakKeyDictionary

from channels.layers import BaseChannelLayer

from streaming import conf
from streaming.delivery.queue_status import Outlook
from streaming.lifecycle import doorbell, ending, recovery
from streaming.protocol.server_events import ResponseQueuePosition, Service
from streaming.system.outages import log_fault
from streaming.waiting_list.base import Place, State, Watched

logger = logging.getLogger(__name__)

LOOK_SECONDS = 0.5
"""Positions are pushed at most this often."""

_MINOR_NEWS_SECONDS = 2.0

_SECONDS_PER_PLACE = 0.005
"""Somebody at position 400 is told a new one every 2 s at most, at 100 every half second."""

_FAR_NEWS_SECONDS = 5.0

_SLICE_SECONDS = 0.001
"""How long viewers are told their news before whatever else the process does has its turn."""

_IDS_PER_LOOK = 1000

Send = Callable[[str], Awaitable[None]]


class Told(NamedTuple):
    """A place in the queue as a client was told it; the fields of the position events."""

    position: int | None
    size: int
    workers: int
    eta_seconds: float | None = None
    service: Service = "ready"


class Viewer:
    """One socket's view of one response. Silent until `open`; what came before is caught up.

    `send` returns at once; `replay` may wait until the reader has read what it was sent before.
    """

    def __init__(
        self,
        layer: BaseChannelLayer,
        response_id: str,
        send: Send,
        on_done: Callable[[], None],
        replay: Send | None = None,
    ) -> None:
        self.response_id = response_id
        self._layer = layer
        self._send = send
        self._replay = replay or send
        self._on_done = on_done
        self._lock = asyncio.Lock()
        self._missed = False  # an event came while the log was replayed
        self._repair: asyncio.Task[None] | None = None
        self._open = False
        self._done = False
        self._sequence = 0
        self._mark = 0  # the sequence just before the last look
        self._stalled = False
        self._read_to = 0  # so far the log was read, whether or not it said anything
        self._place: Told | None = None
        self._told_at = time.monotonic()
        # From 3/4 to 5/4, so that a thousand who were told together soon are no more.
        self._stride = 0.75 + UUID(response_id).int % 1000 / 2000

    async def open(self, place: Told | None, after: int = 0) -> None:
        """Begin to send (again), from event `after` + 1; `place` was told already."""
        async with self._lock:
            self._sequence = self._mark = after
            self._place = place
            self._told_at = time.monotonic()
            self._open = True
        try:
            await self._catch_up()
            if self._sequence == after > 0:
                await self._look_beyond()
        except Exception as error:
            # An error now would contradict the place that was told.
            log_fault(logger, error, "The next look catches up with %s.", self.response_id)

    async def feed(self, message: dict[str, Any]) -> None:
        """Take one `response.event` message of the group."""
        number = message["sequence_number"]
        if not self._open or self._done or number <= self._sequence:
            return
        if self._lock.locked():
            # The log is being replayed at the reader's pace. It has this event, too.
            self._missed = True
            return
        if number == self._sequence + 1:
            async with self._lock:
                await self._pass_on(self._send, message["event"], number, message["last"])
        else:
            await self._catch_up()

    def leave(self) -> None:
        """The socket is gone."""
        if self._repair:
            self._repair.cancel()

    def mark(self) -> None:
        """A look is about to be taken."""
        self._stalled = self._sequence == self._mark
        self._mark = self._sequence

    async def observe(self, watched: Watched, place: Told) -> None:
        """Take what a look found, and return at once: many others are observed after us."""
        if not self._open or self._done or (self._repair and not self._repair.done()):
            return
        if watched.state is State.UNKNOWN:
            self._begin_repair(self._end_by_record)
        elif watched.last_sequence < self._mark:
            # It has lost what was sent from here: what it says from now on does not fit that.
            is_over = watched.state is State.DONE
            self._begin_repair(self._end_by_record if is_over else self._begin_anew)
        elif self._stalled and watched.last_sequence > max(self._sequence, self._read_to):
            self._begin_repair(lambda: self._catch_up_to(watched.last_sequence))
        elif watched.state in (State.WAITING, State.HELD) and not self._sequence:
            await self._tell_place(place)

    async def _look_beyond(self) -> None:
        """The reader has all that there is, or more: tell the end if it was, or what it is."""
        watch = await self._layer.waiting_list.watch([self.response_id])
        watched = watch.responses[self.response_id]
        if watched.state in (State.UNKNOWN, State.DONE):
            await self._end_by_record()
        elif watched.last_sequence < self._sequence:
            await self._begin_anew()

    def _begin_repair(self, repair: Callable[[], Awaitable[None]]) -> None:
        """Read the log or the record, and replay it at this reader's pace alone."""
        self._repair = asyncio.get_running_loop().create_task(self._log_faults(repair))

    async def _log_faults(self, repair: Callable[[], Awaitable[None]]) -> None:
        try:
            await repair()
        except Exception as error:
            message = "A viewer of %s could not catch up; trying again."
            log_fault(logger, error, message, self.response_id)

    async def _tell_place(self, place: Told) -> None:
        if not self._is_news(place):
            return
        self._place = place
        self._told_at = time.monotonic()
        event = ResponseQueuePosition(response_id=UUID(self.response_id), **place._asdict())
        await self._send(event.model_dump_json())

    def _is_news(self, place: Told) -> bool:
        """A new position at once, or soon if it is far off; a mere change of size, or an ETA that
        no longer counts down as told, now and then."""
        told = self._place
        if told is None or place.service != told.service:
            return True
        elapsed = time.monotonic() - self._told_at
        if place.position != told.position:
            if place.position is None or told.position is None:
                return True
            seconds = min(_FAR_NEWS_SECONDS, place.position * _SECONDS_PER_PLACE)
            return elapsed >= seconds * self._stride
        if elapsed < _MINOR_NEWS_SECONDS:
            return False
        if place.size != told.size or (place.eta_seconds is None) != (told.eta_seconds is None):
            return True
        if place.eta_seconds is None or told.eta_seconds is None:
            return False
        expected = max(0.0, told.eta_seconds - elapsed)
        return abs(place.eta_seconds - expected) > max(1.0, expected / 10)

    async def _catch_up(self) -> None:
        async with self._lock:
            self._missed = True
            while self._missed and not self._done:
                self._missed = False
                for text in await self._layer.waiting_list.read(self.response_id, self._sequence):
                    event = json.loads(text)
                    is_last = event["type"] == "response.done"
                    await self._pass_on(self._replay, text, event["sequence_number"], is_last)

    async def _catch_up_to(self, tail: int) -> None:
        """The log may have nothing to say: a restored response counts on from a former life."""
        await self._catch_up()
        self._read_to = tail

    async def _begin_anew(self) -> None:
        waiting_list, seen = self._layer.waiting_list, self._sequence
        if await recovery.begin_anew(waiting_list, self.response_id, seen):
            await doorbell.ring(self._layer)
            return
        # Nothing was lost, so nobody was told such a number: what comes from now on is news.
        async with self._lock:
            watch = await waiting_list.watch([self.response_id])
            tail = watch.responses[self.response_id].last_sequence
            if self._sequence == seen and tail < seen:
                self._sequence = self._mark = tail
        await self._catch_up()

    async def _end_by_record(self) -> None:
        """The list has forgotten the response: if it ended, its row knows how."""
        done = await ending.ended_event(self.response_id)
        async with self._lock:
            if done is not None and not self._done:
                number = self._sequence + 1
                numbered = {"sequence_number": number, **done.model_dump(mode="json")}
                await self._pass_on(self._replay, json.dumps(numbered), number, True)

    async def _pass_on(self, send: Send, event: str, number: int, last: bool) -> None:
        self._sequence = number
        await send(event)
        if last:
            self._done = True
            self._on_done()


class Viewers:
    """All viewers of one process's event loop, and the task that looks for them."""

    _of_loop: WeakKeyDictionary[asyncio.AbstractEventLoop, Viewers] = WeakKeyDictionary()

    def __init__(self, layer: BaseChannelLayer) -> None:
        self.outlook = Outlook(layer)
        self._layer = layer
        self._viewers: set[Viewer] = set()
        self._task: asyncio.Task[None] | None = None

    @classmethod
    def here(cls, layer: BaseChannelLayer) -> Viewers:
        """The running loop's viewers of a layer."""
        loop = asyncio.get_running_loop()
        viewers = cls._of_loop.get(loop)
        if viewers is None or viewers._layer is not layer:
            viewers = cls._of_loop[loop] = cls(layer)
        return viewers

    def __len__(self) -> int:
        return len(self._viewers)

    def add(self, viewer: Viewer) -> None:
        """Look for this viewer, too."""
        self._viewers.add(viewer)
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._look_on())

    def discard(self, viewer: Viewer) -> None:
        """Look for it no more."""
        self._viewers.discard(viewer)
        viewer.leave()

    async def tell(self, response_id: str, place: Place) -> Told:
        """A response's place in the words of the position events."""
        workers = len(await self._layer.waiting_list.workers())
        eta = await self.outlook.eta(response_id) if place.state is State.WAITING else None
        return Told(place.position, place.size, workers, eta, await self.outlook.service())

    async def _look_on(self) -> None:
        interval = min(LOOK_SECONDS, conf.get().disconnect_grace / 3)
        while self._viewers:
            try:
                await self._look()
            except Exception as error:
                log_fault(logger, error, "The waiting list could not be looked at; trying again.")
            await asyncio.sleep(interval)

    async def _look(self) -> None:
        ids = sorted({viewer.response_id for viewer in self._viewers})
        for start in range(0, len(ids), _IDS_PER_LOOK):
            asked = set(ids[start : start + _IDS_PER_LOOK])
            viewers = [viewer for viewer in self._viewers if viewer.response_id in asked]
            for viewer in viewers:
                viewer.mark()
            watch = await self._layer.waiting_list.watch(sorted(asked))
            service = await self.outlook.service()
            slice_ends = time.monotonic() + _SLICE_SECONDS
            for viewer in viewers:
                if watched := watch.responses.get(viewer.response_id):
                    waits = watched.state is State.WAITING
                    eta = await self.outlook.eta(viewer.response_id) if waits else None
                    place = Told(watched.position, watch.size, watch.workers, eta, service)
                    try:
                        await viewer.observe(watched, place)
                    except Exception as error:  # the others are to hear all the same
                        message = "A viewer of %s could not be told its place."
                        log_fault(logger, error, message, viewer.response_id)
                if time.monotonic() >= slice_ends:
                    await asyncio.sleep(0)
                    slice_ends = time.monotonic() + _SLICE_SECONDS
