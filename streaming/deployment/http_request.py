"""A request over HTTP, held to bounds: how much of its body is kept, and when it is answered."""

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

from streaming import conf
from streaming.api import refused
from streaming.deployment import probes
from streaming.deployment.connection import Refusal
from streaming.deployment.large_bodies import LargeBodies
from streaming.deployment.outbox import unsent
from streaming.deployment.turnstile import Turnstile
from streaming.deployment.uploads import upload_bytes
from streaming.identity import owners

_DROPPED_BYTES = 64 * 2**20
"""Bytes of a body that are read beyond what anybody wants of it, so that its sender is still there
to be told that it is too large; then the connection is cut."""

_LARGE_BODY = 100_000
"""Bytes from which on Twisted keeps a body in a file."""

_PIECES, _PIECE_BYTES = 1000, 64
"""Pieces in which a body may come, and bytes that earn it one more."""

_ANSWER_SECONDS = 0.25
"""Seconds after which a request that is not answered waits for something, as for a model's answer:
another one may be let in."""

_STATUS = {
    Refusal.FULL: HTTPStatus.SERVICE_UNAVAILABLE,
    Refusal.ADDRESS: HTTPStatus.TOO_MANY_REQUESTS,
}


class ChatRequest(WebRequest):
    """A request. Of its body no more is kept than Django would accept, and one byte; of one that
    brings a file, as much as such a file may have."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        # Django takes forms apart, in a thread, and counts their fields first. Twisted would do it,
        # for nobody, on the event loop: over a second for 2.5 MB of empty fields.
        super().__init__(*args, **kwargs, parsePOSTFormSubmission=False)
        bound = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
        self._room = sys.maxsize if bound is None else bound + 1
        self._dropped = 0
        self._pieces = float(_PIECES)
        self._line: Turnstile = self.server.request_turnstile
        self._bodies: LargeBodies = self.server.large_bodies

    def gotLength(self, length: int | None) -> None:
        """Prepare for a body of `length` bytes (None: unknown); refuse too many large ones."""
        is_small = length is not None and length < _LARGE_BODY
        # All that is known of it by now: the rest is told when the body is there.
        if not is_small and (room := upload_bytes(self.channel._command, self.channel._path)):
            self._bodies = self.server.uploads
            self._room = room + 1
        if is_small or self._bodies.enter(self):
            super().gotLength(length)
        else:
            self.content = BytesIO()
            text = "Too many large requests are on their way. Try again in a moment."
            self.channel.refuse(HTTPStatus.SERVICE_UNAVAILABLE, text, retry_after=5)

    def handleContentChunk(self, data: bytes) -> None:
        """Keep a piece of the body, as far as it may be kept; cut a body that is far too long, or
        comes in too many pieces."""
        self.channel.connection.received += len(data)
        kept = data[: self._room]
        self._room -= len(kept)
        self._dropped += len(data) - len(kept)
        super().handleContentChunk(kept)
        self._pieces -= 1 - len(data) / _PIECE_BYTES
        if self._dropped > _DROPPED_BYTES or self._pieces < 0:
            self.transport.abortConnection()

    def process(self) -> None:
        """Answer a probe at once, refuse what is beyond the bounds, and have all others stand in
        line."""
        channel = self.channel
        if self.path == b"/healthz" and self.method in (b"GET", b"HEAD"):
            # Without a thread, and without a place in any line: a crowd is no illness. Soon, not
            # now: of many that are sent at once, each would be answered inside the one before it.
            asyncio.get_running_loop().call_soon(self._say_healthy)
        elif unsent(channel.transport) > conf.get().max_unsent_bytes:
            self.server.slow_readers.cut(self)  # it asks and asks, and reads no answer
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
        """Return why the client that a trusted proxy names may not be served, if so."""
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
        """Have it answered, since it is its turn: soon, not inside of the one before it. A task
        inherits the context in which it is made."""
        asyncio.get_running_loop().call_soon(self._answer, context=Context())

    def _answer(self) -> None:
        transport, channel = self.transport, self.channel
        if channel is None or not transport.connected:
            self._line.leave(self)
            return
        super().process()
        if self._bodies.leave(self):  # Daphne has handed it on
            self.content.close()
        if self.transport is None:
            transport.protocol.entrant = self
            # What HTTP had of it would be kept as long as the socket.
            transport.unregisterProducer()
            channel.requests.clear()
        elif self._line is self.server.request_turnstile:
            asyncio.get_running_loop().call_later(_ANSWER_SECONDS, self._line.leave, self)
        else:
            self._line.leave(self)

    def handle_reply(self, message: dict[str, Any]) -> None:
        """Send a part of the answer; the next in line may come in."""
        self._line.leave(self)
        super().handle_reply(message)

    def send_away(self) -> None:
        """Refuse it, since it has stood in line too long."""
        text = "Too many connect at once. Try again in a moment."
        self.channel.refuse(HTTPStatus.SERVICE_UNAVAILABLE, text, retry_after=5)

    def basic_error(self, status: int, status_text: bytes, body: str) -> None:
        """Answer with an error of Daphne's own, in the shape that its address has for errors."""
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
        """End it when its answer is complete."""
        self._line.leave(self)
        self._bodies.leave(self)
        super().finish()

    def connectionLost(self, reason: Any) -> None:
        """End it when its client has left."""
        self._line.leave(self)
        self._bodies.leave(self)
        super().connectionLost(reason)
