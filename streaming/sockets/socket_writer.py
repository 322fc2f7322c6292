"""What one chat socket sends: events, errors, the closing frame; nothing once it is closed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from pydantic import BaseModel

from streaming.protocol.errors import ProtocolError
from streaming.protocol.events import ClientEvent
from streaming.protocol.server_events import Announcement, ErrorEvent, SessionUpdated
from streaming.sockets.socket_state import SocketState, followed_by


class SocketWriter:
    """Sends to one client, as long as the socket's `state` allows it.

    What is sent later is dropped: HTML that was rendered too late, a position. Servers other than
    ours raise an error for what follows a close frame.
    """

    def __init__(self, send: Callable[[dict[str, Any]], Awaitable[None]]) -> None:
        self.state = SocketState.CONNECTING
        self.notice: str | None = None
        """What the client was sent of a closed queue, None while the queue is open."""
        self.announcement: Announcement | None = None
        """What the client was sent of what all users are told."""
        self._send = send

    @property
    def is_writable(self) -> bool:
        """Return whether what is sent goes to the client."""
        return self.state is SocketState.OPEN or self.state is SocketState.CONNECTING

    async def send(self, text: str) -> None:
        """Send a frame, without waiting for the reader."""
        if self.is_writable:
            await self._send({"type": "websocket.send", "text": text})

    async def send_with_backpressure(self, text: str) -> None:
        """Send one of many frames, at the reader's pace. Servers other than ours do not wait."""
        if self.is_writable:
            await self._send({"type": "websocket.send", "text": text, "backpressure": True})

    async def send_event(self, event: BaseModel) -> None:
        """Send an event."""
        await self.send(event.model_dump_json())

    async def send_error(
        self, error: ProtocolError, *, cause: ClientEvent | None = None, event_id: str | None = None
    ) -> None:
        """Send an `error` event, with the ids of the event that is its `cause` or with an id."""
        if error.code == "queue_closed":
            self.notice = error.message  # so that the client is told when it is open again
        await self.send_event(
            ErrorEvent(
                code=error.code,
                message=error.message,
                param=error.param,
                event_id=cause.event_id if cause else event_id,
                response_id=getattr(cause, "response_id", None),
            )
        )

    async def send_update(self, notice: str | None, announcement: Announcement | None) -> None:
        """Send the operator's notice while the queue is closed, and what all users are told."""
        self.notice, self.announcement = notice, announcement
        await self.send_event(SessionUpdated(notice=notice, announcement=announcement))

    async def send_load(self, text: str) -> None:
        """Send a `chatstream:load`, which is the same for many sockets and written once."""
        await self.send(text)

    def open(self) -> None:
        """Note that the client is greeted."""
        self._enter(SocketState.OPEN)

    async def close(self, code: int) -> None:
        """Send the close frame, unless the socket is closing or its client gone."""
        if self.is_writable:
            self._enter(SocketState.CLOSING)
            await self._send({"type": "websocket.close", "code": code})

    def leave(self) -> None:
        """Note that the client is gone, if that is not known yet."""
        if self.state is not SocketState.GONE:
            self._enter(SocketState.GONE)

    def _enter(self, state: SocketState) -> None:
        self.state = followed_by(self.state, state)
