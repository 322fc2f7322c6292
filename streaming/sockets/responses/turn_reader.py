"""The reader of a response on the socket of `/v1/responses`, from its acceptance on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from channels.layers import BaseChannelLayer

from streaming.api.responses.shown import Shown
from streaming.delivery.viewer import Viewer
from streaming.delivery.viewers import Viewers
from streaming.lifecycle.resource import resource
from streaming.models import Response
from streaming.protocol.response_events import ResponseCreated, ResponseQueued
from streaming.sockets.response_views import ResponseViews
from streaming.sockets.responses.response_writer import ResponseWriter, Told
from streaming.waiting_list.interface import Place, State


class TurnReader:
    """Shows a response from `response.created` on."""

    def __init__(
        self,
        layer: BaseChannelLayer,
        views: ResponseViews,
        writer: ResponseWriter,
        *,
        lane: str | None,
        also: Mapping[str, Any],
    ) -> None:
        self._layer = layer
        self._views = views
        self._writer = writer
        self._lane = lane
        self._also = also
        self._viewer: Viewer | None = None
        self.told: Told | None = None
        """What is told of the response, once it is written."""

    async def expect(self, row: Response) -> bool:
        """Subscribe to the events."""
        self._viewer = await self._views.view(row)
        self.told = Told(Shown(row), self._lane, self._also)
        return True

    async def placed(self, row: Response, place: Place) -> None:
        """Send that the response is accepted, and its place if it waits; then its events."""
        assert self._viewer is not None  # `expect` comes first
        assert self.told is not None
        self._writer.begin(self.told)
        position = await Viewers.here(self._layer).position_of(str(row.pk), place)
        named = str((row.request or {}).get("model", ""))
        told = resource(row, model=named).model_copy(update={"output": []})
        await self._writer.send_event(ResponseCreated(response_id=row.pk, response=told))
        if place.state in (State.WAITING, State.HELD):
            queued = ResponseQueued(
                response_id=row.pk,
                response=told,
                conversation_id=row.conversation_id,
                **position._asdict(),
            )
            await self._writer.send_event(queued)
        await self._viewer.open(position)

    async def leave(self) -> None:
        """Show a response that was refused no more."""
        self._writer.end()
        if self._viewer:
            await self._views.unview(self._viewer.response_id)
