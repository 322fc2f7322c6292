"""The WebSocket consumer for people and programs; that for operators is in `queue_consumer`.

A consumer keeps nothing that must survive it: the record and the waiting list do.
"""

from __future__ import annotations

import contextlib
import logging
from typing import Any
from urllib.parse import parse_qs

from channels.exceptions import StopConsumer

from streaming import conf
from streaming.lifecycle import recovery
from streaming.monitoring import logs, metrics
from streaming.protocol.base import PROTOCOL_VERSION
from streaming.protocol.client_events import SessionPing, SessionResume
from streaming.protocol.errors import ProtocolError
from streaming.protocol.events import ClientEvent
from streaming.protocol.parsing import other_version
from streaming.protocol.server_events import SessionPong
from streaming.sockets import close_codes
from streaming.sockets.client_identity import ClientIdentity
from streaming.sockets.greeting import greeting
from streaming.sockets.guard import Guard
from streaming.sockets.inbox import AWAY_MESSAGE, Inbox
from streaming.sockets.listening_consumer import ListeningConsumer
from streaming.sockets.load_updates import LoadUpdates
from streaming.sockets.notices import Notices
from streaming.sockets.response_requests import ResponseRequests
from streaming.sockets.response_views import ResponseViews
from streaming.sockets.socket_count import CountedSocket
from streaming.sockets.socket_state import SocketState
from streaming.sockets.socket_writer import SocketWriter
from streaming.sockets.version_hint import VersionHint
from streaming.system.outages import AWAY, log_fault

logger = logging.getLogger(__name__)


class ChatConsumer(ListeningConsumer):
    """Serves `/ws/chat/`; the events are in `streaming.protocol.events`.

    With `?markup=html&version=2` the events of a response carry the HTML of its text, too.
    """

    identity: ClientIdentity
    requests: ResponseRequests

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one connection, from the handshake to its end."""
        metrics.WEBSOCKETS.inc()
        try:
            await super().__call__(scope, receive, send)
        finally:
            metrics.WEBSOCKETS.dec()

    def set_up(self) -> None:
        """Make the parts that do not depend on who the client is."""
        query = parse_qs(self.scope.get("query_string", b"").decode("latin-1"))
        has_html = query.get("markup") == ["html"]
        # Pages of version 1 ask for HTML and say no version; programs may leave it out.
        self.version = query.get("version", ["1" if has_html else str(PROTOCOL_VERSION)])[-1]
        self.writer = SocketWriter(self.base_send)
        self.version_hint = None if "version" in query else VersionHint(self.writer)
        self.inbox = Inbox(self.writer, self.handle, self.close)
        self.views = ResponseViews(
            self.channel_layer, self.channel_name, self.writer, has_html=has_html
        )
        self.counted = CountedSocket()

    async def tear_down(self) -> None:
        """Stop the parts, and take the socket out of the registers of this process."""
        self.writer.leave()
        self.counted.leave()
        Guard.here().leave(self)
        Notices.here().leave(self.writer)
        LoadUpdates.here().leave(self.writer)
        self.inbox.stop()
        if self.version_hint:
            self.version_hint.cancel()
        await self.views.close()

    # --- messages of the server and of the channel layer ---

    async def dispatch(self, message: dict[str, Any]) -> None:
        """Handle a message of the server or of the channel layer.

        Channels' own `dispatch` and `websocket_disconnect` visit the database's thread. Frequent
        messages bypass them, so that neither a flood of frames on one socket nor a crowd of
        clients that come or leave holds up the others.
        """
        if message["type"] == "websocket.receive":
            await self.receive(message.get("text"), message.get("bytes"))
        elif message["type"] == "websocket.connect":
            await self.websocket_connect(message)
        elif message["type"] == "websocket.disconnect":
            await self.disconnect(message["code"])
            raise StopConsumer
        else:
            await super().dispatch(message)

    async def on_layer_message(self, message: dict[str, Any]) -> None:
        """Take an event of a response from its group."""
        await self.views.feed(message)

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        """Take a frame of the client; ignore it when the socket is closing."""
        if self.version_hint:
            self.version_hint.cancel()
        if self.writer.state is SocketState.OPEN:
            await self.inbox.put(text_data, bytes_data)

    async def disconnect(self, code: int) -> None:
        """Send no more; the channel is closed next."""
        self.writer.leave()

    # --- the connection ---

    async def connect(self) -> None:
        """Accept the socket and greet its client, or send why not and close it."""
        if self.version != str(PROTOCOL_VERSION):  # before anything that costs more
            await self.accept()
            refusal = other_version(self.version[:20])
            await self.refuse(refusal, close_codes.OF_ERRORS[refusal.code])
            return
        with contextlib.suppress(*AWAY):  # the greeting fails for the same reason, and says so
            # Responses that waited before a restart come before those of new clients.
            await recovery.ensure(self.channel_layer)
        await self.accept()
        try:
            self.identity = await ClientIdentity.of(self.scope)
        except ProtocolError as error:
            await self.refuse(error, close_codes.LOGIN_REQUIRED)
            return
        except Exception as error:
            await self.refuse_for_outage(error)
            return
        if not self.count(self.identity.owner):
            message = "Too many connections from you are open; close one first."
            await self.refuse(ProtocolError("rate_limited", message), close_codes.TOO_MANY)
            return
        try:
            await self.greet()
        except Exception as error:
            await self.refuse_for_outage(error)
            return
        self.requests = ResponseRequests(self.channel_layer, self.identity, self.views, self.writer)
        Guard.here().enter(self, self.identity.credentials)
        Notices.here().enter(self.writer, self.channel_layer)
        self.writer.open()
        self.inbox.start()
        if self.version_hint:
            self.version_hint.start()

    async def greet(self) -> None:
        """Send `chatstream:session`."""
        event = await greeting(self.channel_layer, self.identity.session_token)
        self.writer.notice, self.writer.announcement = event.notice, event.announcement
        await self.writer.send_event(event)
        LoadUpdates.here().enter(self.writer, self.channel_layer, event.service, event.load)

    def count(self, owner: str) -> bool:
        """Count the socket as an owner's; return False if that one has too many."""
        return self.counted.enter(self.identity.counted_as(owner), conf.get().max_sockets)

    async def refuse(self, error: ProtocolError, code: int) -> None:
        """Send an error and close the socket."""
        await self.writer.send_error(error)
        await self.close(code)

    async def refuse_for_outage(self, error: Exception) -> None:
        """Close the socket of a client that could not be greeted."""
        log_fault(logger, error, "A client could not be greeted.")
        await self.refuse(ProtocolError("unavailable", AWAY_MESSAGE), close_codes.UNAVAILABLE)

    async def recheck(self) -> None:
        """Close the socket if its client is somebody else by now; the guard asks for it, for a
        client that only reads."""
        try:
            await self.identity.check()
        except ProtocolError as error:
            await self.refuse(error, close_codes.OF_ERRORS[error.code])

    async def close(self, code: Any = None, reason: str | None = None) -> None:
        """Close the socket and handle no more of its frames."""
        self.inbox.stop()
        await self.writer.close(code)

    # --- what clients ask for ---

    async def handle(self, event: ClientEvent) -> None:
        """Do what an event asks for. Raises ProtocolError."""
        await self.identity.check()
        with logs.about(getattr(event, "response_id", None)):
            match event:
                case SessionResume():
                    await self.resume_session(event.session_token)
                case SessionPing():  # in a frame that is too long for the inbox to see it
                    await self.writer.send_event(SessionPong(event_id=event.event_id))
                case _:
                    await self.requests.handle(event)

    async def resume_session(self, session_token: str) -> None:
        """Let the client be the visitor of a session token. Raises ProtocolError."""
        owner = await self.identity.owner_of(session_token)
        if not self.count(owner):
            message = "Too many connections of this visitor are open; close one first."
            raise ProtocolError("rate_limited", message)
        self.identity.become(owner)
        Guard.here().enter(self, self.identity.credentials)
        await self.greet()
