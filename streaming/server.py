"""Daphne with what we need of it: the embedded worker, and errors instead of dropped sockets."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from daphne.server import Server
from twisted.internet import defer, reactor

from streaming import conf
from streaming.worker import QueueWorker, start_queue_worker

logger = logging.getLogger(__name__)


def unsent(transport: Any) -> int:
    """Bytes that a Twisted transport holds because its peer does not read. It keeps them in two
    buffers and offers no public count."""
    return int(len(transport.dataBuffer) - transport.offset + transport._tempDataLen)


class ChatServer(Server):
    """A Daphne server whose `failure` says, after `run`, why it ended early, or is None.

    `on_worker_ready` is called when the embedded worker has loaded its model.
    """

    def __init__(
        self,
        *args: Any,
        embedded_worker: bool = True,
        on_worker_ready: Callable[[QueueWorker], None] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **{**kwargs, "ready_callable": self._prepare})
        self.failure: str | None = None
        self._embedded_worker = embedded_worker
        self._max_unsent = conf.get().max_unsent_bytes
        self._on_worker_ready = on_worker_ready
        self._tasks: list[asyncio.Task[None]] = []

    def _prepare(self) -> None:
        # An oversized frame is closed with 1009, which a client can read, not a cut connection.
        self.ws_factory.setProtocolOptions(failByDrop=False)
        if self._embedded_worker:
            # Not `reactor.callWhenRunning`: that is before the loop runs, and swallows errors.
            asyncio.get_event_loop().call_soon(self._start_worker_or_fail)

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
            self.fail(str(error))

    def _stop_worker(self, worker: QueueWorker, task: asyncio.Task[None]) -> asyncio.Future[Any]:
        async def stop() -> None:
            # Its readers' sockets end now too; what ran goes on when the server is back.
            await worker.stop()
            await asyncio.wait([task])

        return asyncio.ensure_future(stop())

    async def handle_reply(self, protocol: Any, message: dict[str, Any]) -> None:
        """Send, and cut a socket whose reader has let too much pile up.

        Nothing is lost by it: the client comes back and resumes. There is no close frame, since
        it would stand at the end of the same pile.
        """
        await super().handle_reply(protocol, message)
        if message["type"] == "websocket.send" and unsent(protocol.transport) > self._max_unsent:
            logger.warning("A slow client is cut off: %s", protocol)
            protocol.transport.abortConnection()

    def listen_error(self, failure: Any) -> None:
        self.fail(f"The server cannot listen: {failure.getErrorMessage()}")

    def fail(self, reason: str) -> None:
        """End the server, and remember why."""
        self.failure = self.failure or reason
        self.stop()
