"""The worker inside a server: started with it, stopped before it; its failure ends both."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from twisted.internet import defer, reactor

from streaming.system.watchdog import EngineHangs
from streaming.worker.embedded import start_queue_worker
from streaming.worker.queue_worker import QueueWorker

logger = logging.getLogger(__name__)


class EmbeddedWorker:
    """Runs a worker on the server's event loop, until the reactor shuts down.

    `on_ready` is called when it has loaded its model, `on_failure` with the reason when it cannot
    start or has ended early.
    """

    def __init__(
        self,
        on_ready: Callable[[QueueWorker], None] | None,
        on_failure: Callable[[str], None],
    ) -> None:
        self.hangs = False
        """Whether it has left a thread that only the end of the process ends."""
        self._on_ready = on_ready
        self._on_failure = on_failure
        self._announcing: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start the worker on the running event loop. A failure is logged and told."""
        try:
            self._start()
        except Exception as error:
            logger.exception("The worker cannot start.")
            self._on_failure(f"The worker cannot start: {error}")

    def _start(self) -> None:
        worker, task = start_queue_worker()
        self._announcing = asyncio.get_running_loop().create_task(self._announce(worker))
        task.add_done_callback(self._ended)
        reactor.addSystemEventTrigger(
            "before",
            "shutdown",  # type: ignore[arg-type]  # as Daphne itself does; the stub is wrong
            lambda: defer.Deferred.fromFuture(self._stop(worker, task)),
        )

    async def _announce(self, worker: QueueWorker) -> None:
        await worker.ready.wait()
        if self._on_ready:
            self._on_ready(worker)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if self._announcing:
            self._announcing.cancel()
        if not task.cancelled() and (error := task.exception()):
            self.hangs = isinstance(error, EngineHangs)
            self._on_failure(str(error))

    def _stop(self, worker: QueueWorker, task: asyncio.Task[None]) -> asyncio.Future[Any]:
        async def stop() -> None:
            # Its readers' sockets end now too; what ran goes on when the server is back.
            await worker.stop()
            await asyncio.wait([task])

        return asyncio.ensure_future(stop())
