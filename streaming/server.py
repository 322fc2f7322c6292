"""Daphne with what it lacks: the embedded worker, bounds, errors instead of dropped sockets."""

from __future__ import annotations

import asyncio
import gc
import logging
import sys
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

from autobahn.websocket.types import ConnectionDeny
from daphne.http_protocol import WebRequest
from daphne.server import Server
from daphne.ws_protocol import WebSocketProtocol
from django.conf import settings
from twisted.internet import defer, reactor

from streaming import conf, subscription
from streaming.markup import RENDERER
from streaming.watchdog import EngineHangs, LoopWatch
from streaming.worker import QueueWorker, start_queue_worker

logger = logging.getLogger(__name__)

_UNREAD_FRAMES = 1000
"""So many frames may wait for their consumer; then the socket is not read for a while."""

_PATIENCE_SECONDS = 5.0
"""How long a replay waits for a reader who reads nothing at all."""

_DOWNLOAD_PATIENCE_SECONDS = 60.0
"""The same for the body of an HTTP response, which cannot be resumed."""

_LOOK_SECONDS = 0.02

_END_SECONDS = 5.0
"""How long an ending server waits for its requests to notice it."""

_DROPPED_BYTES = 64 * 2**20
"""So much of a body is read beyond what anybody wants of it, so that its sender is still there to
be told that it is too large; then the connection is cut."""


def unsent(transport: Any) -> int:
    """Bytes that a Twisted transport holds because its peer does not read. It keeps them in two
    buffers and offers no public count."""
    return int(len(transport.dataBuffer) - transport.offset + transport._tempDataLen)


class Outbox:
    """Writes to sockets what they were sent in one round of the event loop, all in the next.

    Twisted has the loop tell when it may write, and tell no more, for each message: two calls of
    the system beside the one that writes. It still does so for what could not be written.
    """

    def __init__(self) -> None:
        self._due: set[Any] = set()

    def take(self, transport: Any) -> None:
        """From now on, `transport` is written to here."""
        transport.startWriting = lambda: self._add(transport)

    def _add(self, transport: Any) -> None:
        if not self._due:
            asyncio.get_running_loop().call_soon(self._write)
        self._due.add(transport)

    def _write(self) -> None:
        due, self._due = self._due, set()
        for transport in due:
            # A connection that has to end is left to Twisted, too: it meets the reason again.
            if transport.connected and (transport.doWrite() or unsent(transport)):
                type(transport).startWriting(transport)


class ChatRequest(WebRequest):
    """A request of whose body no more is kept than Django would accept, and one byte."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        bound = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
        self._room = sys.maxsize if bound is None else bound + 1
        self._dropped = 0

    def handleContentChunk(self, data: bytes) -> None:
        kept = data[: self._room]
        self._room -= len(kept)
        self._dropped += len(data) - len(kept)
        super().handleContentChunk(kept)
        if self._dropped > _DROPPED_BYTES:
            self.transport.abortConnection()


class ChatSocket(WebSocketProtocol):
    """Daphne's end of a WebSocket, held to the bounds of `ChatServer` in what Daphne answers by
    itself, and without the tracebacks that a client's handshake can put into Daphne's log."""

    maxMessagePayloadSize: int

    def makeConnection(self, transport: Any) -> None:
        self.factory.server_class.outbox.take(transport)
        super().makeConnection(transport)

    def sendData(self, data: bytes, sync: bool = False, chopsize: int | None = None) -> None:
        if sync or chopsize or self.send_queue:
            super().sendData(data, sync, chopsize)
        else:
            self.transport.write(data)  # without the words of a debugging log that nobody reads

    def onConnect(self, request: Any) -> Any:
        names_and_protocols = "".join([*request.headers, *request.protocols, request.path])
        root = unquote(request.headers.get("daphne-root-path", ""))
        if not names_and_protocols.isascii() or not unquote(request.path).startswith(root):
            raise ConnectionDeny(400, "Bad Request")  # type: ignore[no-untyped-call]
        return super().onConnect(request)

    def onClose(self, wasClean: bool, code: int | None, reason: str | None) -> None:
        if self in self.factory.server_class.connections:  # not if it was refused before
            super().onClose(wasClean, code, reason)

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        super().onMessage(payload, isBinary)
        if self.application_queue.qsize() == _UNREAD_FRAMES:
            self.transport.pauseProducing()
            self._read_on()

    def _read_on(self) -> None:
        if self.application_queue.qsize() <= _UNREAD_FRAMES / 2:
            self.transport.resumeProducing()
        elif self.server.is_open(self):
            asyncio.get_running_loop().call_later(_LOOK_SECONDS, self._read_on)

    def sendMessage(self, payload: bytes, *args: Any, **kwargs: Any) -> None:
        # The bound on a client's messages is none on ours, for Autobahn it is one bound for both.
        bound, self.maxMessagePayloadSize = self.maxMessagePayloadSize, 0
        try:
            super().sendMessage(payload, *args, **kwargs)
        finally:
            self.maxMessagePayloadSize = bound

    def onPing(self, payload: bytes) -> None:
        self.server.cut_if_slow(self)
        super().onPing(payload)


class ChatServer(Server):
    """A Daphne server whose `failure` says, after `run`, why it ended early, or is None. `hangs`:
    a thread is left that only the end of the process ends.

    `on_worker_ready` is called when the embedded worker has loaded its model. An event loop that
    stands still for `hang_seconds` ends the process, see LoopWatch; 0: never.
    """

    connections: dict[Any, dict[str, Any]]

    def __init__(
        self,
        *args: Any,
        embedded_worker: bool = True,
        on_worker_ready: Callable[[QueueWorker], None] | None = None,
        hang_seconds: float = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **{**kwargs, "ready_callable": self._prepare})
        self.failure: str | None = None
        self.hangs = False
        self._hang_seconds = hang_seconds
        self.outbox = Outbox()
        self._embedded_worker = embedded_worker
        self._max_unsent = conf.get().max_unsent_bytes
        self._ample = self._max_unsent // 4  # a replay goes on below it
        self._on_worker_ready = on_worker_ready
        self._tasks: list[asyncio.Task[None]] = []

    def _prepare(self) -> None:
        RENDERER.warm()
        # What was loaded until now stays: no collection need walk over it and hold up the loop.
        gc.collect()
        gc.freeze()
        self.ws_factory.protocol = ChatSocket
        self.http_factory.buildProtocol = self._build_http(self.http_factory.buildProtocol)
        # An oversized frame is closed with 1009, which a client can read, not a cut connection.
        self.ws_factory.setProtocolOptions(failByDrop=False)
        if self._hang_seconds:
            LoopWatch(asyncio.get_event_loop(), self._hang_seconds).start()
        if self._embedded_worker:
            # Not `reactor.callWhenRunning`: that is before the loop runs, and swallows errors.
            asyncio.get_event_loop().call_soon(self._start_worker_or_fail)

    def _build_http(self, build: Callable[[Any], Any]) -> Callable[[Any], Any]:
        def build_ours(address: Any) -> Any:
            protocol = build(address)
            protocol.requestFactory = ChatRequest
            return protocol

        return build_ours

    def _start_worker_or_fail(self) -> None:
        try:
            self._start_worker()
        except Exception as error:
            logger.exception("The worker cannot start.")
            self.fail(f"The worker cannot start: {error}")

    def _start_worker(self) -> None:
        worker, task = start_queue_worker()
        self._tasks = [task, asyncio.get_running_loop().create_task(self._announce(worker))]
        task.add_done_callback(self._worker_ended)
        reactor.addSystemEventTrigger(
            "before",
            "shutdown",  # type: ignore[arg-type]  # as Daphne itself does; the stub is wrong
            lambda: defer.Deferred.fromFuture(self._stop_worker(worker, task)),
        )

    async def _announce(self, worker: QueueWorker) -> None:
        await worker.ready.wait()
        if self._on_worker_ready:
            self._on_worker_ready(worker)

    def _worker_ended(self, task: asyncio.Task[None]) -> None:
        self._tasks[1].cancel()
        if not task.cancelled() and (error := task.exception()):
            self.hangs = isinstance(error, EngineHangs)
            self.fail(str(error))

    def _stop_worker(self, worker: QueueWorker, task: asyncio.Task[None]) -> asyncio.Future[Any]:
        async def stop() -> None:
            # Its readers' sockets end now too; what ran goes on when the server is back.
            await worker.stop()
            await asyncio.wait([task])

        return asyncio.ensure_future(stop())

    async def handle_reply(self, protocol: Any, message: dict[str, Any]) -> None:
        """Send, and cut a socket whose reader has let too much pile up.

        A `patient` message is one of many that are all there already, as in a replay: before the
        next one may be sent, the reader is given the time to read. So it is with every part of
        an HTTP response.
        """
        if message["type"] != "websocket.send":
            await super().handle_reply(protocol, message)
            if message.get("more_body"):
                await self._let_read(protocol, _DOWNLOAD_PATIENCE_SECONDS)
        elif protocol.state not in (protocol.STATE_CLOSING, protocol.STATE_CLOSED):
            # First, so that one message alone, however long, cuts nobody.
            self.cut_if_slow(protocol)
            await super().handle_reply(protocol, message)
            if message.get("patient"):
                await self._let_read(protocol, _PATIENCE_SECONDS)

    def is_open(self, protocol: Any) -> bool:
        details = self.connections.get(protocol)
        return details is not None and "disconnected" not in details

    def cut_if_slow(self, protocol: Any) -> None:
        """Nothing is lost by it: the client comes back and resumes. There is no close frame,
        since it would stand at the end of the same pile."""
        if self.is_open(protocol) and unsent(protocol.transport) > self._max_unsent:
            self._cut(protocol)

    def _cut(self, protocol: Any) -> None:
        logger.warning("A slow client is cut off: %s", protocol)
        protocol.transport.abortConnection()

    async def _let_read(self, protocol: Any, patience: float) -> None:
        least, deadline = sys.maxsize, 0.0
        while self.is_open(protocol) and (left := unsent(protocol.transport)) > self._ample:
            now = time.monotonic()
            if left < least:
                least, deadline = left, now + patience
            elif now > deadline:
                self._cut(protocol)
                return
            await asyncio.sleep(_LOOK_SECONDS)

    def kill_all_applications(self) -> Any:
        """End all requests, cancel all consumers. Daphne stumbles over a connection without one,
        such as a request whose headers are not complete, and then cancels none."""
        self.connections = {
            protocol: details
            for protocol, details in self.connections.items()
            if "application_instance" in details
        }
        return defer.Deferred.fromFuture(asyncio.ensure_future(self._end_applications()))

    async def _end_applications(self) -> None:
        # Django does not end a request that is cancelled, only one whose client has left.
        requests = []
        for protocol, details in self.connections.items():
            if isinstance(protocol, WebRequest) and not details["application_instance"].done():
                protocol.send_disconnect()
                requests.append(details["application_instance"])
        if requests:
            await asyncio.wait(requests, timeout=_END_SECONDS)
        await subscription.all_ended(_END_SECONDS)
        await super().kill_all_applications().asFuture(asyncio.get_running_loop())

    def protocol_disconnected(self, protocol: Any) -> None:
        if protocol in self.connections:
            super().protocol_disconnected(protocol)

    def listen_error(self, failure: Any) -> None:
        self.fail(f"The server cannot listen: {failure.getErrorMessage()}")

    def fail(self, reason: str) -> None:
        """End the server, and remember why."""
        self.failure = self.failure or reason
        self.stop()
