"""`manage.py takeprefix`: this database takes over a prefix in Redis that is another one's."""

from __future__ import annotations

import argparse
from typing import Any

from asgiref.sync import async_to_sync
from channels.layers import get_channel_layer
from django.core.management import BaseCommand, CommandError

from streaming.record.site import site_id
from streaming.system.outages import LAYER_AWAY
from streaming.waiting_list.channel_layers import RedisChannelLayer
from streaming.waiting_list.interface import WorkerRow
from streaming.waiting_list.redis import checks
from streaming.waiting_list.redis.prefix import claim_prefix
from streaming.waiting_list.redis.reasons import RedisAway, RedisRefused
from streaming.waiting_list.redis.scripts import OtherFormat


class Command(BaseCommand):
    """Writes this database's identity under the prefix in Redis."""

    help = (
        "Make this database the one whose waiting list stands under CHATSTREAM_PREFIX in Redis: "
        "after it was made anew, or restored from a backup without an identity. With --force, a "
        "list that another version of ChatStream kept in its own format is dropped, and restored "
        "from the database."
    )

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument(
            "--force",
            action="store_true",
            help="even if workers of the other one are alive, or if the list has another format",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Take the prefix, unless it is this database's. Raises CommandError with a reason."""
        layer = get_channel_layer()
        if not isinstance(layer, RedisChannelLayer):
            raise CommandError("Without REDIS_URL there is no prefix to take.")
        try:
            checks.check(layer.address, layer.prefix)
            try:
                claim_prefix(layer.address, layer.prefix, site_id())
            except RedisRefused:
                self.take(layer, force=options["force"])
            else:
                self.stdout.write(f"The prefix {layer.prefix!r} is this database's.")
        except (RedisRefused, RedisAway) as error:
            raise CommandError(str(error)) from None

    def take(self, layer: RedisChannelLayer, *, force: bool) -> None:
        """Take the prefix from another database, whose workers must have ended unless `force`."""
        try:
            workers = async_to_sync(_workers)(layer)
        except OtherFormat as error:
            if not force:
                raise CommandError(str(error)) from None
            workers = []
        except LAYER_AWAY as error:
            raise CommandError(f"The channel layer does not answer: {error}") from None
        if workers and not force:
            names = ", ".join(worker.worker_id for worker in workers)
            raise CommandError(
                f"Workers of the other database are alive: {names}. End them first, or its "
                "answers are lost; or say --force."
            )
        claim_prefix(layer.address, layer.prefix, site_id(), take=True)
        self.stdout.write(f"The prefix {layer.prefix!r} is now this database's.")


async def _workers(layer: RedisChannelLayer) -> list[WorkerRow]:
    layer.mind_no_site()
    try:
        return await layer.waiting_list.workers()
    finally:
        await layer.flush()
