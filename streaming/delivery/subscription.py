"""One response's events for one HTTP request.

A request that asks for a response mostly owns it: when the request is over, for whatever reason,
and the response is not, the response is cancelled. One that goes on in the background is not, nor
one that somebody only comes to read.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextvars import Context
from typing import Any
from uuid import UUID

from channels.layers import BaseChannelLayer

from streaming.delivery.listening import listen
from streaming.delivery.queue_position import QueuePosition
from streaming.delivery.viewer import Viewer
from streaming.delivery.viewers import Viewers
from streaming.lifecycle import accepting, ending, forgetting
from streaming.models import Response
from streaming.protocol.response_events import TERMINAL_TYPES
from streaming.record.errors import RecordError
from streaming.record.tasks import Requester, Task
from streaming.system.outages import log_fault
from streaming.waiting_list.interface import Place, State, WaitingListError, group_name

logger = logging.getLogger(__name__)

_UNREAD_EVENTS = 50
"""Maximum events that wait for a slow reader. Later ones are in the log, which is read then."""

_LAST_WORD_SECONDS = 10.0
"""So long a response that is to be deleted may take to end when it was cancelled."""

_leaving: set[asyncio.Task[None]] = set()


async def all_ended(seconds: float) -> None:
    """Wait until the responses of requests that are over are cancelled, at most so many seconds."""
    if _leaving:
        await asyncio.wait(_leaving, timeout=seconds)


class Subscription:
    """A response from its acceptance to its end, as an iterator of events; the `Reader` that it is
    accepted for.

    What it does runs in tasks of its own, in an empty context: Django ends the database thread of
    a request together with the request, and waits for it while nothing else can run.
    """

    def __init__(self, layer: BaseChannelLayer, *, owns: bool = True) -> None:
        self._layer = layer
        self._owns = owns
        self._after = 0
        self._state = State.WAITING
        self._is_read = True
        self._over = asyncio.Event()
        self._response: Response | None = None
        self._accepting: asyncio.Task[QueuePosition] | None = None
        self._first_position: QueuePosition | None = None
        self._reader: asyncio.Task[None] | None = None
        self._viewer: Viewer | None = None
        self._channel = ""
        self._done = False
        self._events: asyncio.Queue[dict[str, Any]] = asyncio.Queue(_UNREAD_EVENTS)
        self._position: dict[str, Any] | None = None
        self._news = asyncio.Event()

    async def begin(
        self,
        task: Task,
        *,
        params: Mapping[str, Any],
        requester: Requester,
        response_id: UUID,
    ) -> QueuePosition:
        """Accept the response and return its place; call it in the request's task.

        Raises WaitingListError if there is no place.
        """
        return await self._enter(self._accept(task, params, requester, response_id))

    async def resume(self, response_id: UUID, owner: str, after: int = 0) -> QueuePosition:
        """Read a response that was accepted before, from event `after` + 1 on, and return its
        place; call it in the request's task.

        Raises NotFound, NotOwner, and WaitingListError as `accepting.resume`.
        """
        self._after = after
        return await self._enter(self._resume(response_id, owner))

    async def _enter(self, work: Coroutine[Any, Any, QueuePosition]) -> QueuePosition:
        request = asyncio.current_task()
        assert request is not None
        self._accepting = asyncio.create_task(work, context=Context())
        request.add_done_callback(self._leave)
        # A client that vanishes now must not leave half an acceptance behind.
        return await asyncio.shield(self._accepting)

    @property
    def state(self) -> State:
        """Return the state in the list that the response had when it was accepted or resumed."""
        return self._state

    @property
    def response(self) -> Response:
        """Return the row as it was accepted."""
        assert self._response is not None
        return self._response

    async def events(
        self, quiet: float, first: dict[str, Any] | None = None
    ) -> AsyncIterator[dict[str, Any] | None]:
        """Yield the response's events up to the last one, and its `chatstream:queue_position`;
        `first` was taken before by `next_event`.

        None is yielded whenever there was nothing for `quiet` seconds. Of the positions that come
        while the reader is busy only the last one is kept; nothing else is left out.
        """
        event = first
        while event is None or event["type"] not in TERMINAL_TYPES:
            if event is not None:
                yield event
            try:
                async with asyncio.timeout(quiet):
                    event = await self.next_event()
            except TimeoutError:
                event = None
                yield None
        yield event

    async def next_event(self) -> dict[str, Any]:
        """Return the next event. If the wait for it is cancelled, it is not lost."""
        while True:
            if not self._events.empty():
                self._position = None  # of the past
                return self._events.get_nowait()
            if self._position is not None:
                position, self._position = self._position, None
                return position
            self._news.clear()
            await self._news.wait()

    # --- the beginning ---

    async def _accept(
        self, task: Task, params: Mapping[str, Any], requester: Requester, response_id: UUID
    ) -> QueuePosition:
        try:
            await accepting.accept(
                self._layer,
                task,
                params=params,
                requester=requester,
                reader=self,
                response_id=response_id,
            )
        except WaitingListError:
            self._response = None
            raise
        assert self._first_position is not None
        return self._first_position

    async def _resume(self, response_id: UUID, owner: str) -> QueuePosition:
        self._response = await accepting.resume(self._layer, response_id, owner, self)
        assert self._first_position is not None
        return self._first_position

    async def expect(self, row: Response) -> bool:
        """Remember the row; what is published before `placed` is in the log, which the viewer reads
        first."""
        self._response = row
        return True

    async def placed(self, row: Response, place: Place) -> None:
        """Subscribe to the response's events, and begin to read them."""
        response_id = str(row.pk)
        self._state = place.state
        self._channel = await self._layer.new_channel()
        await self._layer.group_add(group_name(response_id), self._channel)
        self._viewer = Viewer(
            self._layer, response_id, send=self._take, on_done=self._note_done, replay=self._take
        )
        self._first_position = await Viewers.here(self._layer).position_of(response_id, place)
        Viewers.here(self._layer).add(self._viewer)
        self._reader = asyncio.create_task(self._read(self._viewer, self._first_position))

    # --- what comes ---

    async def _read(self, viewer: Viewer, position: QueuePosition) -> None:
        await viewer.open(position, self._after)
        await listen(self._layer, self._channel, viewer.feed)

    async def _take(self, text: str) -> None:
        event = json.loads(text)
        if event["type"] == "chatstream:queue_position":
            # One task sends all viewers their positions: it must not wait for this reader.
            self._position = event
        elif self._is_read:
            await self._events.put(event)
        self._news.set()

    def _note_done(self) -> None:
        self._done = True
        self._over.set()

    # --- the end ---

    def _leave(self, request: asyncio.Task[Any]) -> None:
        leaving = asyncio.get_running_loop().create_task(self._end(), context=Context())
        _leaving.add(leaving)
        leaving.add_done_callback(_leaving.discard)

    async def _end(self) -> None:
        assert self._accepting is not None
        await asyncio.wait([self._accepting])
        self._accepting.exception()  # the client got it, if it was still there
        if self._response is None:
            return
        response_id = str(self._response.pk)
        if self._owns and not self._done:
            await self._cancel(response_id)
        if self._owns and not self._response.stored:
            await self._forget(response_id)
        if self._viewer:
            Viewers.here(self._layer).discard(self._viewer)
        if self._reader:
            self._reader.cancel()
            await asyncio.wait([self._reader])
        if self._channel:
            with contextlib.suppress(Exception):  # the layer may be away, and forgets all the same
                await self._layer.group_discard(group_name(response_id), self._channel)

    async def _forget(self, response_id: str) -> None:
        """Delete what is not to be stored; what cannot be now is deleted later."""
        self._is_read = False
        while not self._events.empty():
            self._events.get_nowait()
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LAST_WORD_SECONDS):
                    await self._over.wait()
            await forgetting.forget_response(self._layer, response_id)
        except Exception as error:
            log_fault(logger, error, "The response %s is not deleted yet.", response_id)

    async def _cancel(self, response_id: str) -> None:
        try:
            await ending.cancel(self._layer, response_id)
        except RecordError:
            pass  # it has just ended by itself
        except Exception as error:
            # Nobody watches it any more: that ends it after the grace.
            message = "The response %s of a client that left runs on."
            log_fault(logger, error, message, response_id)
