"""The consumer of the WebSocket at `/v1/responses`."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from channels.exceptions import StopConsumer

from streaming import conf
from streaming.api import auth
from streaming.api.errors import ApiError, of_fault
from streaming.monitoring import metrics
from streaming.sockets import close_codes
from streaming.sockets.guard import Credentials, Guard
from streaming.sockets.listening_consumer import ListeningConsumer
from streaming.sockets.response_views import ResponseViews
from streaming.sockets.responses.answering import Answering
from streaming.sockets.responses.response_writer import ResponseWriter
from streaming.sockets.responses.turns import Turns
from streaming.sockets.socket_count import CountedSocket
from streaming.sockets.socket_state import SocketState
from streaming.system.outages import log_fault

logger = logging.getLogger(__name__)

LIMIT_SECONDS = 3600.0
"""Seconds after which a socket is closed, as the specification wants it."""


class ResponsesConsumer(ListeningConsumer):
    """Serves `/v1/responses` as a WebSocket: `response.create` messages, one after the other.

    A response that is stored goes on when its socket closes, as long as one that nobody watches
    does, and is read by HTTP then. One that is not stored ends with its socket.
    """

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one connection, from the handshake to its end."""
        metrics.WEBSOCKETS.inc()
        try:
            await super().__call__(scope, receive, send)
        finally:
            metrics.WEBSOCKETS.dec()

    def set_up(self) -> None:
        """Make the parts that do not depend on who the client is."""
        self.writer = ResponseWriter(self.base_send)
        self.views = ResponseViews(
            self.channel_layer, self.channel_name, self.writer, has_html=False
        )
        self.answering = Answering(self.channel_layer, self.views, self.writer)
        self.turns = Turns(self.writer, self.answer, self.close_flood)
        self.counted = CountedSocket()
        self.limit: asyncio.TimerHandle | None = None

    async def tear_down(self) -> None:
        """Stop the parts, and delete what nobody can reach any more."""
        self.writer.leave()
        self.counted.leave()
        Guard.here().leave(self)
        self.turns.stop()
        if self.limit:
            self.limit.cancel()
        await self.views.close()
        await self.answering.close()

    # --- messages of the server and of the channel layer ---

    async def dispatch(self, message: dict[str, Any]) -> None:
        """Handle a message of the server or of the channel layer, without a visit to the
        database's thread (see `ChatConsumer.dispatch`)."""
        if message["type"] == "websocket.receive":
            if self.writer.state is SocketState.OPEN:
                await self.turns.put(message.get("text"), message.get("bytes"))
        elif message["type"] == "websocket.connect":
            await self.websocket_connect(message)
        elif message["type"] == "websocket.disconnect":
            self.writer.leave()
            raise StopConsumer
        else:
            await super().dispatch(message)

    async def on_layer_message(self, message: dict[str, Any]) -> None:
        """Take an event of a response from its group."""
        await self.views.feed(message)

    # --- the connection ---

    async def connect(self) -> None:
        """Accept the socket, or send why not and close it."""
        await self.accept()
        try:
            who = await auth.requester_of(self.scope)
        except ApiError as error:
            await self.refuse(error, close_codes.LOGIN_REQUIRED)
            return
        except Exception as error:
            log_fault(logger, error, "A client of the responses' socket could not be let in.")
            await self.refuse(of_fault(error), close_codes.UNAVAILABLE)
            return
        keys = (f"owner:{who.owner}", *([f"address:{who.address}"] if who.address else []))
        if not self.counted.enter(keys, conf.get().max_sockets):
            message = "Too many connections from you are open; close one first."
            await self.refuse(ApiError(429, "rate_limited", message), close_codes.TOO_MANY)
            return
        if who.user is not None:
            Guard.here().enter(self, Credentials.of(self.scope, who.user))
        self.writer.open()
        self.turns.start()
        loop = asyncio.get_running_loop()
        self.limit = loop.call_later(LIMIT_SECONDS, lambda: loop.create_task(self.end_late()))

    async def end_late(self) -> None:
        """Close the socket at the end of its time."""
        message = "A connection lasts 60 minutes; open a new one."
        error = ApiError(400, "websocket_connection_limit_reached", message)
        await self.refuse(error, close_codes.GOING_AWAY)

    async def recheck(self) -> None:
        """Close the socket if its key is not valid any more; the guard asks for it."""
        try:
            await auth.requester_of(self.scope)
        except ApiError as error:
            await self.refuse(error, close_codes.LOGIN_REQUIRED)

    async def refuse(self, error: ApiError, code: int) -> None:
        """Send an error and close the socket."""
        await self.writer.send_refusal(error)
        await self.close(code)

    async def close_flood(self) -> None:
        """Close the socket of a client that sends too much."""
        await self.close(close_codes.TOO_MANY)

    async def close(self, code: Any = None, reason: str | None = None) -> None:
        """Close the socket and answer no more."""
        self.turns.stop()
        await self.writer.close(code)

    async def answer(self, fields: dict[str, Any], lane: str | None) -> None:
        """Answer a `response.create`, up to its last event. Raises ApiError."""
        # Each time: a key may have been revoked, its account closed.
        await self.answering.answer(fields, lane, await auth.requester_of(self.scope))
