"""A worker inside the server's process: the embedded deployment."""

from __future__ import annotations

import asyncio

from channels.layers import get_channel_layer

from streaming import conf
from streaming.engine.base import Engine
from streaming.lifecycle.list_lock import LockHolder
from streaming.worker.engine_choice import build_engine
from streaming.worker.queue_worker import QueueWorker


def start_queue_worker(engine: Engine | None = None) -> tuple[QueueWorker, asyncio.Task[None]]:
    """Start a worker inside this process, on the running event loop: the embedded deployment.

    Return the worker and the task that runs it; the task's exception is why it ended. While another
    process has the waiting list of the database, it waits, and prompts are `unavailable`.
    """
    layer = get_channel_layer()
    lock = LockHolder.of(layer)
    worker = QueueWorker(engine or build_engine(), layer, conf.get().max_running, lock)
    return worker, asyncio.get_running_loop().create_task(worker.run())
