"""Daphne with what it lacks: the embedded worker, bounds, errors instead of dropped sockets."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable
from typing import Any

from daphne.http_protocol import WebRequest
from daphne.server import Server
from twisted.internet import defer
from twisted.logger import globalLogPublisher

from streaming import conf
from streaming.alerts import watch as alert_watch
from streaming.delivery import subscription
from streaming.deployment.chat_socket import ChatSocket
from streaming.deployment.connections import Connections, most_connections
from streaming.deployment.embedded_worker import EmbeddedWorker
from streaming.deployment.garbage import GarbageCollection
from streaming.deployment.http_channel import ChatChannel
from streaming.deployment.http_request import ChatRequest
from streaming.deployment.large_bodies import LargeBodies
from streaming.deployment.outbox import Outbox
from streaming.deployment.slow_readers import SlowReaders
from streaming.deployment.throttled_warnings import ThrottledWarnings
from streaming.deployment.turnstile import Turnstile
from streaming.deployment.uploads import MOST_UPLOADS
from streaming.markup import RENDERER
from streaming.system.file_limit import raise_file_limit
from streaming.system.watchdog import LoopWatch
from streaming.worker.queue_worker import QueueWorker

logger = logging.getLogger(__name__)

_CONNECT_SECONDS = 60.0
"""Most seconds that an application may take to accept a WebSocket."""

_BACKLOG = 4096
"""Maximum connections that wait to be accepted, if the system allows as many (`somaxconn`)."""

_CLOSE_SECONDS = 10.0
"""Seconds after its client has left until what a request or a socket began is cancelled."""

_END_SECONDS = 5.0
"""Most seconds that an ending server waits for its requests to notice it."""


class ChatServer(Server):
    """A Daphne server whose `failure` says, after `run`, why it ended early, or is None.

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
        self._hang_seconds = hang_seconds
        settings = conf.get()
        self._file_limit = raise_file_limit()
        self.warnings = ThrottledWarnings()
        self.bounds = Connections(
            most_connections(settings.max_connections, self._file_limit),
            settings.max_connections_per_address,
            head=settings.request_timeout,
            idle=settings.keep_alive,
            trusted=settings.trusted_proxies,
            warnings=self.warnings,
        )
        self.turnstile = Turnstile()
        self.request_turnstile = Turnstile()
        self.large_bodies = LargeBodies()
        self.uploads = LargeBodies(MOST_UPLOADS)
        self.outbox = Outbox()
        self.slow_readers = SlowReaders(settings.max_unsent_bytes, self.is_open)
        self._worker = EmbeddedWorker(on_worker_ready, self.fail) if embedded_worker else None
        self._garbage = GarbageCollection()

    @property
    def hangs(self) -> bool:
        """Whether the worker has left a thread that only the end of the process ends."""
        return self._worker is not None and self._worker.hangs

    def _prepare(self) -> None:
        RENDERER.warm()
        self._garbage.start()
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
        asyncio.get_event_loop().call_soon(self._watch_alerts)
        if self._worker:
            # Not `reactor.callWhenRunning`: that is before the loop runs, and swallows errors.
            asyncio.get_event_loop().call_soon(self._worker.start)

    def _watch_alerts(self) -> None:
        self._alerts = alert_watch.start()

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
        if self._garbage.look(self.bounds.left, len(self.bounds)):
            self.bounds.left = 0
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
            self.warnings.warn(
                "%s requests and sockets had not ended %d s after their clients left, and were "
                "cancelled.%s",
                (f"{len(late):,}", _CLOSE_SECONDS),
            )

    def _hear_twisted(self, event: Any) -> None:
        """Warn when Twisted closes connections because no file can be opened for them, which it
        says in a log that nobody reads."""
        words = event.get("log_format") or ""
        if words.startswith("EMFILE encountered") or "not accept new connection" in words:
            self.warnings.warn(
                "No further file can be opened (%s): new connections are closed; %d are open, the "
                "limit is %d files.%s Raise the limit (LimitNOFILE, ulimit -n), or lower "
                "CHATSTREAM_MAX_CONNECTIONS.",
                (event.get("acceptError", "EMFILE"), len(self.bounds), self._file_limit),
            )

    async def handle_reply(self, protocol: Any, message: dict[str, Any]) -> None:
        """Send, and cut a socket whose reader has let too much pile up.

        A message with `backpressure` is one of many that are all there already, as in a replay: the
        reader is given time to read before the next one may be sent. So it is with every part of an
        HTTP response.
        """
        if message["type"] in ("websocket.send", "websocket.close"):
            protocol.is_greeted()
        if message["type"] != "websocket.send":
            await super().handle_reply(protocol, message)
            if message.get("more_body"):
                await self.slow_readers.let_download(protocol)
        elif protocol.state not in (protocol.STATE_CLOSING, protocol.STATE_CLOSED):
            # First, so that one message alone, however long, cuts nobody.
            self.slow_readers.cut_if_slow(protocol)
            await super().handle_reply(protocol, message)
            if message.get("backpressure"):
                await self.slow_readers.let_replay(protocol)

    def is_open(self, protocol: Any) -> bool:
        """Return whether a connection is known and has not been disconnected."""
        details = self.connections.get(protocol)
        return details is not None and "disconnected" not in details

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
        """Return the connections that have an application: those whose turn has come."""
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
    """Handle an error that no task was left to hear.

    The static files' reader stumbles, when its client has left, over its own thread that has ended
    by then: nothing is lost, and each would be a traceback in the log.
    """
    error = context.get("exception")
    if isinstance(error, RuntimeError) and "after shutdown" in str(error):
        logger.debug("A file's reader has left: %s.", error)
    else:
        loop.default_exception_handler(context)


def _with_backlog(endpoint: str) -> str:
    """Return a Twisted endpoint's description that does not leave its backlog at 50."""
    plain = endpoint.startswith(("tcp:", "unix:")) and ":backlog=" not in endpoint
    return f"{endpoint}:backlog={_BACKLOG}" if plain else endpoint
