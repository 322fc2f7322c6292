"""`manage.py runworker generation`: a worker as a process of its own, beside Redis.

Channels' own command with our worker class; any other channel is served as Channels does.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from collections.abc import Iterator
from typing import Any

from channels.management.commands.runworker import Command as ChannelsCommand
from channels.worker import Worker
from django.core.management import CommandError

from streaming import conf
from streaming.deployment import worker_metrics
from streaming.deployment.migrating import wait_until_migrated
from streaming.deployment.starting import has_redis, wait_for_redis
from streaming.engine.base import EngineError
from streaming.lifecycle.doorbell import DOORBELL
from streaming.system import watchdog
from streaming.system.file_limit import raise_file_limit
from streaming.waiting_list.redis.reasons import RedisRefused
from streaming.worker.engine_choice import build_engine
from streaming.worker.queue_worker import QueueWorker


class GenerationWorker(Worker):
    """Serves the channel `generation` from the waiting list instead of draining it."""

    def run(self) -> None:
        """Serve the channel until the worker ends."""
        if self.channels != [DOORBELL]:
            super().run()
            return
        asyncio.run(self.serve())

    async def serve(self) -> None:
        """Run a worker until a signal ends it. The first one lets running responses finish."""
        settings = conf.get()
        worker = QueueWorker(build_engine(), self.channel_layer, settings.max_running)
        loop = asyncio.get_running_loop()
        stops: set[asyncio.Task[None]] = set()

        def stop() -> None:
            # A second signal does not wait for the running responses.
            drain = 0 if stops else settings.drain_seconds
            stops.add(loop.create_task(worker.stop(drain)))

        if settings.hang_seconds:
            watchdog.LoopWatch(loop, settings.hang_seconds).start()
        for signum in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(signum, stop)
        with contextlib.ExitStack() as stack:
            if settings.worker_metrics_port:
                stack.enter_context(self.metrics_served(settings))
            try:
                await worker.run()
            except watchdog.EngineHangs as error:
                watchdog.leave(f"The worker ended: {error}")

    @contextlib.contextmanager
    def metrics_served(self, settings: conf.ChatStreamSettings) -> Iterator[None]:
        """Serve `/metrics` meanwhile. Raises CommandError if nobody can listen there."""
        host, port = settings.worker_metrics_host, settings.worker_metrics_port
        with contextlib.ExitStack() as stack:
            try:
                stack.enter_context(worker_metrics.served(host, port))
            except OSError as error:
                raise CommandError(
                    f"The metrics cannot be served on {host}:{port}: {error}."
                ) from None
            yield


class Command(ChannelsCommand):
    """Runs a worker in a process of its own."""

    help = "Run a generation worker, as `runworker generation`."
    worker_class = GenerationWorker

    def handle(self, *args: Any, **options: Any) -> None:
        """Wait for database and Redis, then run. A failure exits with 1 and the reason."""
        if DOORBELL in options["channels"]:
            if options["channels"] != [DOORBELL]:
                raise CommandError(f"The channel {DOORBELL!r} wants a worker of its own.")
            if not has_redis():
                raise CommandError(
                    "A worker process needs REDIS_URL: without it the waiting list lives inside "
                    "the server process, and `serve` runs the worker there."
                )
            raise_file_limit()
            wait_until_migrated()
            try:
                wait_for_redis()
            except RedisRefused as refused:
                raise CommandError(str(refused)) from None
        try:
            super().handle(*args, **options)
        except EngineError as error:
            raise CommandError(str(error)) from None
        except RuntimeError as error:
            sys.exit(f"The worker ended: {error}")
