"""`manage.py checkworker`: whether this host's worker is alive, for whoever supervises it.

It asks the channel layer, so that it sees what everybody else sees: a worker that hangs, or
cannot reach the layer, does not beat, and is not alive.
"""

from __future__ import annotations

import argparse
import contextlib
import platform
from typing import Any

from asgiref.sync import async_to_sync
from channels.layers import get_channel_layer
from django.core.management import BaseCommand, CommandError

from streaming.deployment.starting import has_redis
from streaming.system.outages import LAYER_AWAY
from streaming.waiting_list.channel_layers import RedisChannelLayer
from streaming.waiting_list.interface import WorkerRow, WorkerState
from streaming.waiting_list.redis import checks
from streaming.waiting_list.redis.reasons import RedisAway, RedisRefused


class Command(BaseCommand):
    """Looks up this host's workers in the waiting list."""

    help = "Exit with 0 if a worker process of this host is alive, else with 1 and a reason."
    requires_system_checks: list[str] = []  # it runs often

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument("--pid", type=int, help="this process, not any of the host")
        parser.add_argument(
            "--ready", action="store_true", help="loading its model, or draining, is not enough"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Write a line for each live worker. Raises CommandError without one."""
        if not has_redis():
            raise CommandError(
                "Without REDIS_URL the worker lives in the server process: ask it for /readyz."
            )
        layer = get_channel_layer()
        if isinstance(layer, RedisChannelLayer):
            # A worker lives, whoever's the list is, and wherever the database is.
            layer.mind_no_site()
            with contextlib.suppress(RedisAway):
                try:
                    checks.check(layer.address, layer.prefix)
                except RedisRefused as refused:
                    raise CommandError(str(refused)) from None
        try:
            workers = async_to_sync(_workers)()
        except LAYER_AWAY as error:
            raise CommandError(f"The channel layer does not answer: {error}") from None
        host = platform.node()
        ours = [worker for worker in workers if worker.details.get("host") == host]
        if options["pid"] is not None:
            ours = [worker for worker in ours if worker.details.get("pid") == options["pid"]]
        if not ours:
            which = "worker" if options["pid"] is None else f"worker {options['pid']}"
            raise CommandError(f"No {which} of {host} is alive.")
        if options["ready"] and all(worker.state is not WorkerState.READY for worker in ours):
            states = ", ".join(sorted({worker.state for worker in ours}))
            raise CommandError(f"No worker of {host} is ready: {states}.")
        for worker in ours:
            self.stdout.write(
                f"{worker.worker_id} is {worker.state}, {worker.running} of {worker.capacity} "
                f"running, heard of {worker.age:.1f} s ago."
            )


async def _workers() -> list[WorkerRow]:
    layer = get_channel_layer()
    try:
        found: list[WorkerRow] = await layer.waiting_list.workers()
        return found
    finally:
        await layer.flush()
