"""The responses that one chat socket shows."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any
from weakref import WeakValueDictionary

from channels.layers import BaseChannelLayer

from streaming.delivery.viewer import Viewer
from streaming.delivery.viewers import Viewers
from streaming.markup import RENDERER, HtmlRenderer, HtmlSender
from streaming.models import Response
from streaming.record.histories import prefix_of
from streaming.sockets.socket_state import SocketState
from streaming.sockets.socket_writer import SocketWriter
from streaming.waiting_list.interface import group_name


class ResponseViews:
    """The viewers of one socket, by response id, and their groups in the channel layer.

    `has_html`: events carry the HTML of their response's text, too.
    """

    def __init__(
        self, layer: BaseChannelLayer, channel: str, writer: SocketWriter, *, has_html: bool
    ) -> None:
        self.has_html = has_html
        self._layer = layer
        self._channel = channel
        self._writer = writer
        self._viewers: dict[str, Viewer] = {}
        self._html_senders: WeakValueDictionary[str, HtmlSender] = WeakValueDictionary()

    def __contains__(self, response_id: str) -> bool:
        return response_id in self._viewers

    async def feed(self, message: dict[str, Any]) -> None:
        """Pass a message of a response's group to its viewer."""
        if self._writer.state is not SocketState.CLOSING and (
            viewer := self._viewers.get(message["response_id"])
        ):
            await viewer.feed(message)

    async def view(self, response: Response) -> Viewer:
        """Return the response's viewer, subscribed to its events before any can be published."""
        response_id = str(response.pk)
        if viewer := self._viewers.get(response_id):
            return viewer
        sender = self._html_sender(response) if self.has_html else None
        viewer = Viewer(
            self._layer,
            response_id,
            send=sender.send if sender else self._writer.send,
            replay=sender.replay if sender else self._writer.send_with_backpressure,
            on_done=lambda: self._forget(response_id),
        )
        self._viewers[response_id] = viewer
        if not self._is_gone:  # a Redis layer refuses a channel that is closed
            await self._layer.group_add(group_name(response_id), self._channel)
        if self._is_gone:
            # The response was accepted after its socket had gone: nobody watches.
            await self._layer.group_discard(group_name(response_id), self._channel)
        else:
            Viewers.here(self._layer).add(viewer)
        return viewer

    async def unview(self, response_id: str) -> None:
        """Show a response no more."""
        if viewer := self._viewers.pop(response_id, None):
            Viewers.here(self._layer).discard(viewer)
            await self._layer.group_discard(group_name(response_id), self._channel)

    async def close(self) -> None:
        """Stop sending, and leave all groups."""
        for sender in list(self._html_senders.values()):
            sender.cancel()
        for viewer in self._viewers.values():
            Viewers.here(self._layer).discard(viewer)
        for response_id in list(self._viewers):
            # Each for itself: the layer may be away, and forgets its side all the same.
            with contextlib.suppress(Exception):
                await self._layer.group_discard(group_name(response_id), self._channel)

    @property
    def _is_gone(self) -> bool:
        return self._writer.state is SocketState.GONE

    def _html_sender(self, response: Response) -> HtmlSender:
        """Return the sender that adds HTML to a response's events, from the first one on."""
        RENDERER.warm()
        renderer = HtmlRenderer(prefix_of(response))
        response_id = str(response.pk)
        if former := self._html_senders.get(response_id):
            former.cancel()  # its end may still wait there
        sender = HtmlSender(renderer, self._writer.send, self._writer.send_with_backpressure)
        self._html_senders[response_id] = sender
        return sender

    def _forget(self, response_id: str) -> None:
        """Leave the group of a response that has ended, when its last event was sent."""
        asyncio.get_running_loop().create_task(self.unview(response_id))
