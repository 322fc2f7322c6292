"""The frames that one client sends: within their rate, read, and handled one after another."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from streaming import conf
from streaming.protocol.errors import ProtocolError
from streaming.protocol.events import ClientEvent
from streaming.protocol.parsing import parse_client_event, parse_ping, peek_event_id
from streaming.protocol.server_events import SessionPong
from streaming.sockets import close_codes
from streaming.sockets.socket_writer import SocketWriter
from streaming.system.outages import AWAY, log_fault
from streaming.system.token_bucket import TokenBucket

logger = logging.getLogger(__name__)

AWAY_MESSAGE = "The service cannot be reached right now. Try again in a moment."
_FAULT_MESSAGE = "Something went wrong here. Try again."

_MAX_FRAMES = 100
"""Maximum frames that wait to be handled."""

_LARGE_FRAME = 65_536
"""A frame of so many characters counts as two, one of twice as many as three."""

_MAX_REFUSED = 100
"""Refused frames after which the socket is closed; one is forgotten every second."""


class Inbox:
    """Takes the frames of one client and passes their events to `handle`.

    `handle` runs in a task of the inbox, so that a slow database does not hold up the tokens of
    other answers on the same socket. `close` closes the socket.
    """

    def __init__(
        self,
        writer: SocketWriter,
        handle: Callable[[ClientEvent], Awaitable[None]],
        close: Callable[[int], Awaitable[None]],
    ) -> None:
        self._writer = writer
        self._handle = handle
        self._close = close
        self._frames: asyncio.Queue[str] = asyncio.Queue(_MAX_FRAMES)
        self._rate = TokenBucket(conf.get().max_events_per_second)
        self._refusals = TokenBucket(1, burst=_MAX_REFUSED)
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to handle frames."""
        self._task = asyncio.create_task(self._handle_loop())

    def stop(self) -> None:
        """Handle no more frames. What is being handled is cancelled."""
        if self._task:
            self._task.cancel()

    async def put(self, text: str | None, data: bytes | None) -> None:
        """Take a frame, text or binary: answer a ping, refuse what is too much or not text."""
        size = len(text or data or "")
        if not self._rate.take(1 + size / _LARGE_FRAME) or self._frames.full():
            error = ProtocolError("rate_limited", "Too many events at once; slow down.")
            event_id = peek_event_id(text) if text and size < _LARGE_FRAME else None
            await self._writer.send_error(error, event_id=event_id)
            if not self._refusals.take():
                await self._close(close_codes.TOO_MANY)
        elif text is None:
            error = ProtocolError("invalid_event", "Send text frames with JSON, not binary ones.")
            await self._writer.send_error(error)
        elif ping := parse_ping(text):
            # Not behind other frames, whose database may be slow: the connection itself is well.
            await self._writer.send_event(SessionPong(event_id=ping.event_id))
        else:
            self._frames.put_nowait(text)

    async def _handle_loop(self) -> None:
        while True:
            text = await self._frames.get()
            try:
                event = parse_client_event(text)
            except ProtocolError as error:
                await self._writer.send_error(error, event_id=peek_event_id(text))
                if await self._is_closed_by(error):
                    return
                continue
            try:
                await self._handle(event)
            except ProtocolError as error:
                await self._writer.send_error(error, cause=event)
                if await self._is_closed_by(error):
                    return
            except Exception as error:
                log_fault(logger, error, "The client event %s could not be handled.", event.type)
                message = AWAY_MESSAGE if isinstance(error, AWAY) else _FAULT_MESSAGE
                await self._writer.send_error(ProtocolError("internal_error", message), cause=event)

    async def _is_closed_by(self, error: ProtocolError) -> bool:
        """Close the socket after an error after which no event of it can be served; return whether
        it is one."""
        if (code := close_codes.OF_ERRORS.get(error.code)) is None:
            return False
        self._task = None  # `close` stops the inbox, and this task has to call it
        await self._close(code)
        return True
