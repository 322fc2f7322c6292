"""Daphne's end of a WebSocket, held to bounds in what is answered before a consumer sees it."""

from __future__ import annotations

import asyncio
import time
from typing import Any
from urllib.parse import unquote

from autobahn.websocket.types import ConnectionDeny
from daphne.ws_protocol import WebSocketProtocol

from streaming import conf
from streaming.protocol.server_events import ErrorEvent
from streaming.system.token_bucket import TokenBucket

_UNREAD_FRAMES, _UNREAD_BYTES = 250, 2**18
"""Frames and bytes that may wait for their consumer; then the socket is not read for a while."""

_LOOK_SECONDS = 0.02

_FRAMES_PER_EVENT = 10
"""Frames that a client may send for each event that it may: pings, pongs and fragments cost less
than an event, and libraries cut long messages up."""

_FRAMES_AT_ONCE = 200
"""Frames of one socket after which it is the others' turn."""

_EARLY_BYTES = 2**16
"""Bytes that are kept of what a client sends before its handshake is answered."""

_MESSAGE_SECONDS, _MESSAGE_BYTES_PER_SECOND = 20, 8192
"""Seconds that a message which has begun may take to end, and bytes that earn it one more."""

CLOSE_TOO_SLOW = 1008
CLOSE_TOO_MANY = 4429


class ChatSocket(WebSocketProtocol):
    """A WebSocket held to bounds, whose handshake puts no traceback into Daphne's log."""

    factory: Any
    transport: Any
    maxMessagePayloadSize: int
    entrant: Any = None
    """The request that entered the turnstile for it, until it is greeted."""

    def __init__(self) -> None:
        super().__init__()
        self._asked = False
        self._deaf = False
        self._held: set[str] = set()
        self._message = bytearray()
        self._message_began = 0.0
        self._frames = TokenBucket(_FRAMES_PER_EVENT * conf.get().max_events_per_second)

    @classmethod
    def with_options(cls, factory: Any) -> type[ChatSocket]:
        """Return this class with the factory's options in it. Autobahn would copy them into each
        socket, and print them for a log that nobody reads, which is a sixth of a handshake."""
        names = (*cls.CONFIG_ATTRS_COMMON, *cls.CONFIG_ATTRS_SERVER)
        options = {name: getattr(factory, name) for name in names}
        options["perMessageCompressionAccept"] = staticmethod(factory.perMessageCompressionAccept)
        return type(cls.__name__, (cls,), {**options, "CONFIG_ATTRS": ()})

    def makeConnection(self, transport: Any) -> None:
        """Have the transport written to by the server's outbox."""
        self.factory.server_class.outbox.take(transport)
        super().makeConnection(transport)

    def connectionLost(self, reason: Any) -> None:
        """Count the connection no more."""
        self.factory.server_class.bounds.leave(self.transport.connection)
        self.is_greeted()
        super().connectionLost(reason)

    def is_greeted(self) -> None:
        """Let the next one in: its consumer has said something, or it has ended."""
        if self.entrant:
            self.entrant, entrant = None, self.entrant
            self.factory.server_class.turnstile.leave(entrant)

    # --- the handshake ---

    def processHandshake(self) -> None:
        """Read the handshake, once; then hold what comes before it is answered."""
        if not self._asked:
            super().processHandshake()
        elif len(self.data) > _EARLY_BYTES:
            self._hold("early")

    def onConnect(self, request: Any) -> Any:
        """Refuse a handshake over which Daphne would stumble, such as one that is not ASCII."""
        self._asked = True
        names_and_protocols = "".join([*request.headers, *request.protocols, request.path])
        root = unquote(request.headers.get("daphne-root-path", ""))
        if not names_and_protocols.isascii() or not unquote(request.path).startswith(root):
            raise ConnectionDeny(400, "Bad Request")  # type: ignore[no-untyped-call]
        return super().onConnect(request)

    def onOpen(self) -> None:
        """Read what was held until the handshake was answered."""
        self._let_go("early")
        super().onOpen()

    def check_timeouts(self) -> None:
        """End a handshake or a message that takes too long; called about every two seconds."""
        patience = self.server.websocket_connect_timeout
        if self.state == self.STATE_CONNECTING and self.duration() > patience:
            self._give_up()
        elif self.state == self.STATE_OPEN and self.inside_message and self._is_slow():
            self._fail_connection(CLOSE_TOO_SLOW, "The message took too long.")
        else:
            super().check_timeouts()

    def _give_up(self) -> None:
        """Refuse a handshake that was not accepted in time. Daphne would say 403, as if it were the
        client's fault."""
        self.handshake_deferred.errback(ConnectionDeny(503, "Service Unavailable"))  # type: ignore[no-untyped-call]
        del self.handshake_deferred
        self.server.protocol_disconnected(self)

    def onClose(self, wasClean: bool, code: int | None, reason: str | None) -> None:
        """Tell the consumer, if the socket had one."""
        if self in self.factory.server_class.connections:  # not if it was refused before
            super().onClose(wasClean, code, reason)

    # --- what comes ---

    def consumeData(self) -> None:
        """Process the frames that have come, until it is the others' turn."""
        if self.state not in (self.STATE_OPEN, self.STATE_CLOSING):
            super().consumeData()
            return
        for _ in range(2 * _FRAMES_AT_ONCE):  # the head of one, and its payload
            if not self.processData() or self.state == self.STATE_CLOSED:
                return
        self._hold("turn")
        asyncio.get_running_loop().call_soon(self._continue_frames)

    def _continue_frames(self) -> None:
        self._let_go("turn")
        if self.data and self.state != self.STATE_CLOSED:
            self.consumeData()

    def processData(self) -> bool:
        """Process the head of a frame, or its payload. Return whether there may be more."""
        if self._deaf:
            self.data = b""
            return False
        return bool(super().processData())

    def onFrameBegin(self) -> None:
        """Count a frame; close the socket of a client that sends too many."""
        super().onFrameBegin()
        if not self._frames.take():
            self._refuse_flood()

    def _refuse_flood(self) -> None:
        """Say why, and read nothing any more."""
        self._deaf = True
        self._hold("flood")
        if self.state == self.STATE_OPEN:
            message = "Too many frames at once; slow down."
            event = ErrorEvent(code="rate_limited", message=message)
            self.sendMessage(event.model_dump_json().encode())
            self.sendClose(CLOSE_TOO_MANY)
            self.transport.loseWriteConnection()

    def onMessageBegin(self, isBinary: bool) -> None:
        """Begin to collect a message."""
        super().onMessageBegin(isBinary)
        self._message.clear()
        self._message_began = time.monotonic()

    def onMessageFrameData(self, payload: bytes) -> None:
        """Collect a piece of a message."""
        # Autobahn keeps each piece for itself, which for small ones is forty times as much.
        if not self.failedByMe:
            self._message += payload

    def onMessageFrameEnd(self) -> None:
        """Do nothing: the pieces of a frame are collected already."""

    def onMessageEnd(self) -> None:
        """Hand on the message."""
        if not self.failedByMe:
            self.onMessage(bytes(self._message), self.message_is_binary)
        self._message = bytearray()

    def _is_slow(self) -> bool:
        allowed = _MESSAGE_SECONDS + len(self._message) / _MESSAGE_BYTES_PER_SECOND
        return time.monotonic() - self._message_began > allowed

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        """Hand a message to the consumer; read nothing more while that has much to do."""
        super().onMessage(payload, isBinary)
        if "unread" not in self._held and self._is_behind(len(payload)):
            self._hold("unread")
            self._resume_reading()

    def _is_behind(self, size: int) -> bool:
        """Whether the consumer has much to do, behind a further message of so many bytes."""
        waiting = self.application_queue._queue
        if len(waiting) < 2 or size * _UNREAD_FRAMES < _UNREAD_BYTES:
            return len(waiting) >= _UNREAD_FRAMES
        sizes = (len(each.get("text") or each.get("bytes") or "") for each in waiting)
        return sum(sizes) > _UNREAD_BYTES

    def _resume_reading(self) -> None:
        if self.application_queue.qsize() <= 1:
            self._let_go("unread")
        elif self.server.is_open(self):
            asyncio.get_running_loop().call_later(_LOOK_SECONDS, self._resume_reading)

    def _hold(self, reason: str) -> None:
        """Read nothing more, until no reason is left."""
        self._held.add(reason)
        self.transport.pauseProducing()

    def _let_go(self, reason: str) -> None:
        if reason in self._held:
            self._held.remove(reason)
            if not self._held and self.transport.connected:
                self.transport.resumeProducing()

    def onPing(self, payload: bytes) -> None:
        """Answer a ping, unless too much lies unread already."""
        self.server.slow_readers.cut_if_slow(self)
        super().onPing(payload)

    # --- what goes ---

    def sendData(self, data: bytes, sync: bool = False, chopsize: int | None = None) -> None:
        """Write bytes, by the outbox."""
        if sync or chopsize or self.send_queue:
            super().sendData(data, sync, chopsize)
        else:
            self.transport.write(data)  # without the words of a debugging log that nobody reads

    def sendMessage(self, payload: bytes, *args: Any, **kwargs: Any) -> None:
        """Send a message, however long."""
        # The bound on a client's messages is none on ours, for Autobahn it is one bound for both.
        bound, self.maxMessagePayloadSize = self.maxMessagePayloadSize, 0
        try:
            super().sendMessage(payload, *args, **kwargs)
        finally:
            self.maxMessagePayloadSize = bound
