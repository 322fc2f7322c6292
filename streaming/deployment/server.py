"""Daphne with what it lacks: the embedded worker, bounds, errors instead of dropped sockets."""

from __future__ import annotations

import asyncio
import gc
import logging
import math
import sys
import time
from collections.abc import Callable
from typing import Any

from daphne.http_protocol import WebRequest
from daphne.server import Server
from twisted.internet import defer, reactor
from twisted.logger import globalLogPublisher

from streaming import conf
from streaming.delivery import subscription
from streaming.deployment.chat_socket import ChatSocket
from streaming.deployment.connections import Connections, most_connections
from streaming.deployment.http_channel import ChatChannel, ChatRequest, LargeBodies, unsent
from streaming.deployment.turnstile import Turnstile
from streaming.markup import RENDERER
from streaming.system.file_limit import raise_file_limit
from streaming.system.watchdog import EngineHangs, LoopWatch
from streaming.worker.embedded import start_queue_worker
from streaming.worker.queue_worker import QueueWorker

logger = logging.getLogger(__name__)

_PATIENCE_SECONDS = 5.0
"""How long a replay waits for a reader who reads nothing at all."""

_DOWNLOAD_PATIENCE_SECONDS = 60.0
"""The same for the body of an HTTP response, which cannot be resumed."""

_LOOK_SECONDS = 0.02

_CONNECT_SECONDS = 60.0
"""How long an application may take to accept a WebSocket."""

_BACKLOG = 4096
"""So many connections may wait to be accepted, if the system allows as many (`somaxconn`)."""

_COLLECTIONS = 5000, 10, 50
"""Python walks over everything that was made since the start after so many new objects, multiplied.
By itself it would do so again and again while a crowd comes, half a second each time with some
thousand sockets there."""

_LEFT_BEHIND = 1000
"""After so many connections have ended, garbage in circles, it is told to: when no more end, or
when five times as many have."""

_CLOSE_SECONDS = 10.0
"""So long after its client has left, what a request or a socket began is cancelled."""

_END_SECONDS = 5.0
"""How long an ending server waits for its requests to notice it."""


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


class ChatServer(Server):
    """A Daphne server whose `failure` says, after `run`, why it ended early, or is None. `hangs`:
    a thread is left that only the end of the process ends.

    `on_worker_ready` is called when the embedded worker has loaded its model. An event loop that
    stands still for `hang_seconds` ends the process, see LoopWatch; 0: never.
    """

    connections: dict[Any, dict[str, Any]]
    endpoints: list[str]

    def __init__(
        self,
        *args: Any,
        embedded_worker: bool = True,
        on_worker_ready: Callable[[QueueWorker], None] | None = None,
        hang_seconds: float = 0,
        **kwargs: Any,
    ) -> None:
        ours = {
            "ready_callable": self._prepare,
            # A crowd's handshakes stand in line: none is cut off because its turn has not come.
            "websocket_handshake_timeout": 0,
            "websocket_connect_timeout": _CONNECT_SECONDS,
            # Daphne says so once a second of each one: a crowd that left would flood the log.
            "application_close_timeout": math.inf,
        }
        super().__init__(*args, **{**kwargs, **ours})
        self.endpoints = [_with_backlog(endpoint) for endpoint in self.endpoints]
        self.failure: str | None = None
        self.hangs = False
        self._hang_seconds = hang_seconds
        settings = conf.get()
        self._file_limit = raise_file_limit()
        self.bounds = Connections(
            most_connections(settings.max_connections, self._file_limit),
            settings.max_connections_per_address,
            head=settings.request_timeout,
            idle=settings.keep_alive,
            trusted=settings.trusted_proxies,
        )
        self.turnstile = Turnstile()
        self.request_turnstile = Turnstile()
        self.large_bodies = LargeBodies()
        self.outbox = Outbox()
        self._embedded_worker = embedded_worker
        self._max_unsent = settings.max_unsent_bytes
        self._ample = self._max_unsent // 4  # a replay goes on below it
        self._on_worker_ready = on_worker_ready
        self._tasks: list[asyncio.Task[None]] = []
        self._had_left = 0

    def _prepare(self) -> None:
        RENDERER.warm()
        # What was loaded until now stays: no collection need walk over it and hold up the loop.
        gc.freeze()
        gc.set_threshold(*_COLLECTIONS)
        gc.enable()
        self.http_factory.protocol = ChatChannel
        self.http_factory.timeOut = None
        self.http_factory.buildProtocol = self._build_http(self.http_factory.buildProtocol)
        asyncio.get_event_loop().set_exception_handler(_hear_loop)
        globalLogPublisher.addObserver(self._hear_twisted)  # type: ignore[arg-type]
        self._look()
        # An oversized frame is closed with 1009, which a client can read, not a cut connection.
        self.ws_factory.setProtocolOptions(failByDrop=False)
        if self._hang_seconds:
            LoopWatch(asyncio.get_event_loop(), self._hang_seconds).start()
        self.ws_factory.protocol = ChatSocket.with_options(self.ws_factory)
        if self._embedded_worker:
            # Not `reactor.callWhenRunning`: that is before the loop runs, and swallows errors.
            asyncio.get_event_loop().call_soon(self._start_worker_or_fail)

    def _build_http(self, build: Callable[[Any], Any]) -> Callable[[Any], Any]:
        def build_ours(address: Any) -> Any:
            protocol = build(address)
            protocol.requestFactory = ChatRequest
            return protocol

        return build_ours

    def _look(self) -> None:
        self.bounds.look()
        self.turnstile.look()
        self.request_turnstile.look()
        left, enough = self.bounds.left, max(_LEFT_BEHIND, len(self.bounds) // 4)
        if left > 5 * enough or (left > enough and left == self._had_left):
            self.bounds.left = left = 0
            gc.collect()
        self._had_left = left
        self.end_late()
        asyncio.get_event_loop().call_later(1, self._look)

    def end_late(self) -> None:
        """Cancel what has not ended long after its client left."""
        now, late = time.time(), []
        for details in self._served().values():
            left = details.get("disconnected")
            if left and now - left > _CLOSE_SECONDS and not details["application_instance"].done():
                late.append(details["application_instance"])
        for application in late:
            application.cancel()
        if late:
            self.bounds.complaint.utter(
                "%s requests and sockets had not ended %d s after their clients left, and were "
                "cancelled.%s",
                (f"{len(late):,}", _CLOSE_SECONDS),
            )

    def _hear_twisted(self, event: Any) -> None:
        """Twisted closes the connections that it has no file for, in a log that nobody reads."""
        words = event.get("log_format") or ""
        if words.startswith("EMFILE encountered") or "not accept new connection" in words:
            self.bounds.complaint.utter(
                "No further file can be opened (%s): new connections are closed; %d are open, the "
                "limit is %d files.%s Raise the limit (LimitNOFILE, ulimit -n), or lower "
                "CHATSTREAM_MAX_CONNECTIONS.",
                (event.get("acceptError", "EMFILE"), len(self.bounds), self._file_limit),
            )

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

        A message with `backpressure` is one of many that are all there already, as in a replay:
        before the next one may be sent, the reader is given the time to read. So it is with every
        part of an HTTP response.
        """
        if message["type"] in ("websocket.send", "websocket.close"):
            protocol.is_greeted()
        if message["type"] != "websocket.send":
            await super().handle_reply(protocol, message)
            if message.get("more_body"):
                await self._let_read(protocol, _DOWNLOAD_PATIENCE_SECONDS)
        elif protocol.state not in (protocol.STATE_CLOSING, protocol.STATE_CLOSED):
            # First, so that one message alone, however long, cuts nobody.
            self.cut_if_slow(protocol)
            await super().handle_reply(protocol, message)
            if message.get("backpressure"):
                await self._let_read(protocol, _PATIENCE_SECONDS)

    def is_open(self, protocol: Any) -> bool:
        """Return whether a connection is known and has not been disconnected."""
        details = self.connections.get(protocol)
        return details is not None and "disconnected" not in details

    def cut_if_slow(self, protocol: Any) -> None:
        """Nothing is lost by it: the client comes back and resumes. There is no close frame,
        since it would stand at the end of the same pile."""
        if self.is_open(protocol) and unsent(protocol.transport) > self._max_unsent:
            self.cut(protocol)

    def cut(self, protocol: Any) -> None:
        """Abort a connection at once, with what is unsent on it."""
        logger.warning("A slow client is cut off: %s", protocol)
        protocol.transport.abortConnection()

    async def _let_read(self, protocol: Any, patience: float) -> None:
        least, deadline = sys.maxsize, 0.0
        while self.is_open(protocol) and (left := unsent(protocol.transport)) > self._ample:
            now = time.monotonic()
            if left < least:
                least, deadline = left, now + patience
            elif now > deadline:
                self.cut(protocol)
                return
            await asyncio.sleep(_LOOK_SECONDS)

    def kill_all_applications(self) -> Any:
        """End all requests, cancel all consumers."""
        return defer.Deferred.fromFuture(asyncio.ensure_future(self._end_applications()))

    async def _end_applications(self) -> None:
        # Django does not end a request that is cancelled, only one whose client has left.
        requests = []
        for protocol, details in self._served().items():
            if isinstance(protocol, WebRequest) and not details["application_instance"].done():
                protocol.send_disconnect()
                requests.append(details["application_instance"])
        if requests:
            await asyncio.wait(requests, timeout=_END_SECONDS)
        await subscription.all_ended(_END_SECONDS)
        # Others may have come meanwhile. Daphne stumbles over one without an application, and then
        # cancels none.
        self.connections = self._served()
        await super().kill_all_applications().asFuture(asyncio.get_running_loop())

    def _served(self) -> dict[Any, dict[str, Any]]:
        """The connections that have an application: not a request whose head is not complete, or
        whose turn has not come."""
        return {
            protocol: details
            for protocol, details in self.connections.items()
            if "application_instance" in details
        }

    def protocol_disconnected(self, protocol: Any) -> None:
        """Note a disconnection; one that is not known any more is ignored."""
        if protocol in self.connections:
            super().protocol_disconnected(protocol)

    def listen_error(self, failure: Any) -> None:
        """End the server because it cannot listen, with Twisted's reason."""
        self.fail(f"The server cannot listen: {failure.getErrorMessage()}")

    def fail(self, reason: str) -> None:
        """End the server, and remember why."""
        self.failure = self.failure or reason
        self.stop()


def _hear_loop(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """What no task was left to hear. The static files' reader stumbles, when its client has left,
    over its own thread that has ended by then: nothing is lost, and it would be a traceback each.
    """
    error = context.get("exception")
    if isinstance(error, RuntimeError) and "after shutdown" in str(error):
        logger.debug("A file's reader has left: %s.", error)
    else:
        loop.default_exception_handler(context)


def _with_backlog(endpoint: str) -> str:
    """A Twisted endpoint's description that does not leave its backlog at 50."""
    plain = endpoint.startswith(("tcp:", "unix:")) and ":backlog=" not in endpoint
    return f"{endpoint}:backlog={_BACKLOG}" if plain else endpoint
