"""Daphne's side of an HTTP connection, held to bounds: who may come, and how slowly."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from twisted.internet.protocol import connectionDone
from twisted.web.http import HTTPChannel

from streaming.api import refused
from streaming.deployment.connection import Connection, ConnectionPhase
from streaming.deployment.outbox import unsent


class ChatChannel(HTTPChannel):
    """One connection, until its end or until it becomes a WebSocket.

    Once it has been refused it is deaf: what still comes is dropped.
    """

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
        """Count the connection from now on."""
        super().connectionMade()
        peer = getattr(self.transport.getPeer(), "host", "")
        bounds = self.factory.server.bounds
        self.connection = bounds.enter(peer, self._end, self.transport.abortConnection)
        self.transport.connection = self.connection  # outlives this object in a WebSocket

    def connectionLost(self, reason: Any = connectionDone) -> None:
        """Count the connection no more."""
        self.factory.server.bounds.leave(self.connection)
        super().connectionLost(reason)

    def _turn(self, phase: ConnectionPhase) -> None:
        self.factory.server.bounds.turn(self.connection, phase)

    # --- what comes ---

    def dataReceived(self, data: bytes) -> None:
        """Take what came; the head of a request has begun with it."""
        if self._deaf:
            return
        self._begun = True
        if self.connection.phase is ConnectionPhase.IDLE:
            self._turn(ConnectionPhase.HEAD)
        super().dataReceived(data)

    def lineReceived(self, line: bytes) -> None:
        """Take a line of a head."""
        if not self._deaf:
            super().lineReceived(line)

    def rawDataReceived(self, data: bytes) -> None:
        """Take a part of a body."""
        if not self._deaf:
            super().rawDataReceived(data)

    def allHeadersReceived(self) -> None:
        """Wait for the body, if there is one."""
        super().allHeadersReceived()
        if self.length != 0 and not self._deaf:
            self._turn(ConnectionPhase.BODY)

    def allContentReceived(self) -> None:
        """Have the request served, without a deadline."""
        if not self._deaf:
            self._turn(ConnectionPhase.SERVED)
            super().allContentReceived()

    def requestDone(self, request: Any) -> None:
        """Wait for a further request when one has been answered."""
        self.factory.server.bounds.unname(self.connection)
        self._begun = bool(self._dataBuffer)
        self._turn(ConnectionPhase.HEAD if self._begun else ConnectionPhase.IDLE)
        super().requestDone(request)

    # --- the end ---

    def _end(self, phase: ConnectionPhase) -> None:
        """End it because `phase` took too long."""
        if phase is ConnectionPhase.IDLE:
            left = unsent(self.transport)
            if left and left != self._unsent:  # it still reads its last answer
                self._unsent = left
                self._turn(ConnectionPhase.IDLE)
            else:
                self.loseConnection()
        elif self._begun:
            self.refuse(HTTPStatus.REQUEST_TIMEOUT, f"It took too long to send {phase.value}.")
        else:
            self.loseConnection()

    def refuse(self, status: HTTPStatus, text: str, retry_after: int | None = None) -> None:
        """Answer with `status` and `text`, and end. `retry_after`: seconds.

        What still comes is read for a while and dropped: a connection that is closed over unread
        data is reset, and its other end never reads the answer.
        """
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
        self._turn(ConnectionPhase.CLOSING)
