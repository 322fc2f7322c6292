"""The reader of a response that is accepted, or shown again, on one chat socket."""

from __future__ import annotations

import contextlib
from types import TracebackType

from channels.layers import BaseChannelLayer

from streaming import conf
from streaming.delivery.queue_position import QueuePosition
from streaming.delivery.viewer import Viewer
from streaming.delivery.viewers import Viewers
from streaming.lifecycle.accepting import ENDED
from streaming.lifecycle.resource import resource
from streaming.models import Response
from streaming.protocol.response_events import ResponseCreated, ResponseQueued
from streaming.sockets.response_views import ResponseViews
from streaming.sockets.socket_writer import SocketWriter
from streaming.waiting_list.interface import Place, State


class SocketReader:
    """Shows a response on a socket: its place while it waits, its events from `after` on.

    `is_asked`: the client sent `response.create`. Then `response.created` is sent, and
    `response.queued` even if the response waits no more; nothing if the socket shows it already.

    An asynchronous context manager: after an exception within it the socket shows the response no
    more, so that the client can ask for it again.
    """

    def __init__(
        self,
        layer: BaseChannelLayer,
        views: ResponseViews,
        writer: SocketWriter,
        *,
        is_asked: bool = False,
        after: int = 0,
    ) -> None:
        self._layer = layer
        self._views = views
        self._writer = writer
        self._is_asked = is_asked
        self._after = after
        self._viewer: Viewer | None = None
        self._expected: str | None = None  # the id of the response to show

    async def __aenter__(self) -> SocketReader:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if isinstance(error, Exception) and self._expected:
            with contextlib.suppress(Exception):
                await self._views.unview(self._expected)

    async def expect(self, row: Response) -> bool:
        """Subscribe to the events; return False if the socket shows what was asked for already."""
        if self._is_asked and str(row.pk) in self._views:
            return False
        self._expected = str(row.pk)
        self._viewer = await self._views.view(row)
        return True

    async def placed(self, row: Response, place: Place) -> None:
        """Send `response.created` and `response.queued` where they are due, then the events of the
        response."""
        assert self._viewer is not None  # `expect` comes first
        position: QueuePosition | None = None
        if self._is_asked or place is not ENDED:
            position = await Viewers.here(self._layer).position_of(str(row.pk), place)
        # Sent for an ended response, too: if the first `response.queued` was lost, the client
        # learns the conversation's id from this one.
        if position and (self._is_asked or place.state in (State.WAITING, State.HELD)):
            await self._tell(row, position)
        # The HTML of a part depends on all that stands before it.
        after = 0 if self._views.has_html else self._after
        await self._viewer.open(None if place is ENDED else position, after)

    async def _tell(self, row: Response, position: QueuePosition) -> None:
        """Send how the response stands. What it says comes by its events, so its output is left
        out here."""
        told = resource(row).model_copy(update={"output": []})
        if self._is_asked:
            await self._writer.send_event(ResponseCreated(response_id=row.pk, response=told))
        await self._writer.send_event(
            ResponseQueued(
                response_id=row.pk,
                response=told,
                conversation_id=row.conversation_id,
                kept_seconds=None if row.in_session else conf.get().disconnect_grace,
                **position._asdict(),
            )
        )
