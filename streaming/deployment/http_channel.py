"""Daphne's side of an HTTP connection, held to bounds: who may come, how slowly, with how much."""

from __future__ import annotations

import asyncio
import json
import sys
from contextvars import Context
from http import HTTPStatus
from io import BytesIO
from typing import Any

from daphne.http_protocol import WebRequest
from django.conf import settings
from twisted.internet.protocol import connectionDone
from twisted.web.http import HTTPChannel

from streaming import conf
from streaming.api import refused
from streaming.deployment import probes
from streaming.deployment.connections import Connection, Phase, Refusal
from streaming.deployment.turnstile import Turnstile
from streaming.identity import owners

_DROPPED_BYTES = 64 * 2**20
"""So much of a body is read beyond what anybody wants of it, so that its sender is still there to
be told that it is too large; then the connection is cut."""

_LARGE_BODY = 100_000
"""From this size on Twisted keeps a body in a file."""

_PIECES, _PIECE_BYTES = 1000, 64
"""A body may come in so many pieces, and in one more for each so many bytes."""

_ANSWER_SECONDS = 0.25
"""A request that is not answered by then waits for something, as for a model's answer: another one
may be let in."""

_STATUS = {
    Refusal.FULL: HTTPStatus.SERVICE_UNAVAILABLE,
    Refusal.ADDRESS: HTTPStatus.TOO_MANY_REQUESTS,
}


def unsent(transport: Any) -> int:
    """Bytes that a Twisted transport holds because its peer does not read. It keeps them in two
    buffers and offers no public count."""
    return int(len(transport.dataBuffer) - transport.offset + transport._tempDataLen)


class ChatChannel(HTTPChannel):
    """One connection, from its beginning to its end or until it becomes a WebSocket."""

    factory: Any
    transport: Any
    connection: Connection
    _networkProducer: Any
    timeOut = None  # the deadlines are `Connections`'

    def __init__(self) -> None:
        super().__init__()
        self._deaf = False
        self._begun = False  # whether something of a request has come
        self._unsent = 0

    def connectionMade(self) -> None:
        super().connectionMade()
        peer = getattr(self.transport.getPeer(), "host", "")
        bounds = self.factory.server.bounds
        self.connection = bounds.enter(peer, self._end, self.transport.abortConnection)
        self.transport.connection = self.connection  # outlives this object in a WebSocket

    def connectionLost(self, reason: Any = connectionDone) -> None:
        self.factory.server.bounds.leave(self.connection)
        super().connectionLost(reason)

    def _turn(self, phase: Phase) -> None:
        self.factory.server.bounds.turn(self.connection, phase)

    # --- what comes ---

    def dataReceived(self, data: bytes) -> None:
        if self._deaf:
            return
        self._begun = True
        if self.connection.phase is Phase.IDLE:
            self._turn(Phase.HEAD)
        super().dataReceived(data)

    def lineReceived(self, line: bytes) -> None:
        if not self._deaf:
            super().lineReceived(line)

    def rawDataReceived(self, data: bytes) -> None:
        if not self._deaf:
            super().rawDataReceived(data)

    def allHeadersReceived(self) -> None:
        super().allHeadersReceived()
        if self.length != 0 and not self._deaf:
            self._turn(Phase.BODY)

    def allContentReceived(self) -> None:
        if not self._deaf:
            self._turn(Phase.SERVED)
            super().allContentReceived()

    def requestDone(self, request: Any) -> None:
        self.factory.server.bounds.unname(self.connection)
        self._begun = bool(self._dataBuffer)
        self._turn(Phase.HEAD if self._begun else Phase.IDLE)
        super().requestDone(request)

    # --- the end ---

    def _end(self, phase: Phase) -> None:
        """Its time is over."""
        if phase is Phase.IDLE:
            left = unsent(self.transport)
            if left and left != self._unsent:  # it still reads its last answer
                self._unsent = left
                self._turn(Phase.IDLE)
            else:
                self.loseConnection()
        elif self._begun:
            self.refuse(HTTPStatus.REQUEST_TIMEOUT, f"It took too long to send {phase.value}.")
        else:
            self.loseConnection()

    def refuse(self, status: HTTPStatus, text: str, retry_after: int | None = None) -> None:
        """Answer so, and end. What still comes is not looked at, but read for a while: closed over
        unread data, a connection is reset, and its other end never reads the answer."""
        self._deaf = True
        request: Any = self.requests[-1] if self.requests else None
        # While the body comes the request does not know its own target.
        uri = getattr(self, "_path", b"") or getattr(request, "uri", b"")
        fields = request.requestHeaders.getRawHeaders(b"origin") if request else None
        headers, body = refused.answer_of(uri, (fields or [b""])[0], status.value, text)
        head = [
            f"HTTP/1.1 {status.value} {status.phrase}",
            *(f"{name}: {value}" for name, value in headers.items()),
            f"Content-Length: {len(body)}",
            "Connection: close",
            *([f"Retry-After: {retry_after}"] if retry_after else []),
        ]
        self.transport.write("\r\n".join([*head, "", ""]).encode() + body)
        self._networkProducer.resumeProducing()
        self.transport.loseWriteConnection()
        self._turn(Phase.CLOSING)


class ChatRequest(WebRequest):
    """A request of whose body no more is kept than Django would accept, and one byte."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        # Django takes forms apart, in a thread, and counts their fields first. Twisted would do it,
        # for nobody, on the event loop: over a second for 2.5 MB of empty fields.
        super().__init__(*args, **kwargs, parsePOSTFormSubmission=False)
        bound = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
        self._room = sys.maxsize if bound is None else bound + 1
        self._dropped = 0
        self._pieces = float(_PIECES)
        self._line: Turnstile = self.server.request_turnstile

    def gotLength(self, length: int | None) -> None:
        is_small = length is not None and length < _LARGE_BODY
        if is_small or self.server.large_bodies.enter(self):
            super().gotLength(length)
        else:
            self.content = BytesIO()
            text = "Too many large requests are on their way. Try again in a moment."
            self.channel.refuse(HTTPStatus.SERVICE_UNAVAILABLE, text, retry_after=5)

    def handleContentChunk(self, data: bytes) -> None:
        self.channel.connection.received += len(data)
        kept = data[: self._room]
        self._room -= len(kept)
        self._dropped += len(data) - len(kept)
        super().handleContentChunk(kept)
        self._pieces -= 1 - len(data) / _PIECE_BYTES
        if self._dropped > _DROPPED_BYTES or self._pieces < 0:
            self.transport.abortConnection()

    def process(self) -> None:
        channel = self.channel
        if self.path == b"/healthz" and self.method in (b"GET", b"HEAD"):
            # Without a thread, and without a place in any line: a crowd is no illness. Soon, not
            # now: of many that are sent at once, each would be answered inside the one before it.
            asyncio.get_running_loop().call_soon(self._say_healthy)
        elif unsent(channel.transport) > conf.get().max_unsent_bytes:
            self.server.cut(self)  # it asks and asks, and reads no answer
        elif refusal := channel.connection.refusal or self._refusal_of_address():
            channel.refuse(_STATUS[refusal], refusal.value, retry_after=5)
        else:
            upgrade = (self.requestHeaders.getRawHeaders(b"upgrade") or [b""])[0]
            if upgrade.lower() == b"websocket":
                self._line = self.server.turnstile
            self._line.enter(self)

    def _say_healthy(self) -> None:
        if self.channel and self.channel.connection.refusal:
            self.channel.persistent = False
        body = json.dumps(probes.HEALTHY).encode()
        headers = [
            (b"Content-Type", b"application/json"),
            (b"Content-Length", str(len(body)).encode()),
            (b"Cache-Control", b"no-store"),
        ]
        self.handle_reply({"type": "http.response.start", "status": 200, "headers": headers})
        self.handle_reply({"type": "http.response.body", "body": body})

    def _refusal_of_address(self) -> Refusal | None:
        """Why the client that a trusted proxy names may not be served, if so."""
        connection = self.channel.connection
        if not connection.by_proxy:
            return None
        forwarded = self.requestHeaders.getRawHeaders(b"x-forwarded-for") or []
        headers = [(b"x-forwarded-for", value) for value in forwarded]
        peer = getattr(self.client, "host", "")
        trusted = conf.get().trusted_proxies
        address = owners.client_address({"client": [peer], "headers": headers}, trusted)
        named: Refusal | None = self.server.bounds.name(connection, address)
        return named

    def let_in(self) -> None:
        """Be answered: it is its turn. Not inside of the one before it: a task inherits the context
        in which it is made."""
        asyncio.get_running_loop().call_soon(self._answer, context=Context())

    def _answer(self) -> None:
        transport, channel = self.transport, self.channel
        if channel is None or not transport.connected:
            self._line.leave(self)
            return
        super().process()
        if self.server.large_bodies.leave(self):  # Daphne has handed it on
            self.content.close()
        if self.transport is None:
            transport.protocol.comer = self
            # What HTTP had of it would be kept as long as the socket.
            transport.unregisterProducer()
            channel.requests.clear()
        elif self._line is self.server.request_turnstile:
            asyncio.get_running_loop().call_later(_ANSWER_SECONDS, self._line.leave, self)
        else:
            self._line.leave(self)

    def handle_reply(self, message: dict[str, Any]) -> None:
        self._line.leave(self)
        super().handle_reply(message)

    def send_away(self) -> None:
        text = "Too many connect at once. Try again in a moment."
        self.channel.refuse(HTTPStatus.SERVICE_UNAVAILABLE, text, retry_after=5)

    def basic_error(self, status: int, status_text: bytes, body: str) -> None:
        # Or hundreds of them, sent at once, would be answered each inside the one before it.
        self.channel.persistent = False
        self.responseHeaders.setRawHeaders(b"connection", [b"close"])
        fields = self.requestHeaders.getRawHeaders(b"origin") or [b""]
        sentence = f"{body.removesuffix('.')}."
        headers, said = refused.answer_of(self.uri, fields[0], status, sentence)
        names = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
        self.handle_reply({"type": "http.response.start", "status": status, "headers": names})
        self.handle_reply({"type": "http.response.body", "body": said})

    def finish(self) -> None:
        self._line.leave(self)
        self.server.large_bodies.leave(self)
        super().finish()

    def connectionLost(self, reason: Any) -> None:
        self._line.leave(self)
        self.server.large_bodies.leave(self)
        super().connectionLost(reason)


class LargeBodies:
    """The requests whose bodies are being kept in files, `most` at once."""

    def __init__(self, most: int = 64) -> None:
        self._most = most
        self._requests: set[ChatRequest] = set()

    def enter(self, request: ChatRequest) -> bool:
        if len(self._requests) >= self._most:
            return False
        self._requests.add(request)
        return True

    def leave(self, request: ChatRequest) -> bool:
        """Whether it was one of them."""
        if request in self._requests:
            self._requests.remove(request)
            return True
        return False
