"""The WebSocket consumer for operators: the live queue."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import asdict
from typing import Any

from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncJsonWebsocketConsumer
from django.contrib.auth import get_user_model

from streaming.consumers import CLOSE_FORBIDDEN

logger = logging.getLogger(__name__)


class QueueConsumer(AsyncJsonWebsocketConsumer):
    """Serves `/ws/queue/`: snapshots of the queue for staff, on change, at most one a second."""

    interval = 1.0
    recheck_every = 5
    """Looks at the queue between two looks at the rights: taken away, they end the view in 5 s."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.task: asyncio.Task[None] | None = None
        try:
            await super().__call__(scope, receive, send)
        finally:
            if self.task:
                self.task.cancel()

    async def connect(self) -> None:
        await self.accept()
        if not await self.may_view():
            await self.refuse()
            return
        self.task = asyncio.create_task(self.stream())

    async def stream(self) -> None:
        last: dict[str, Any] | None = None
        beat = 0
        while True:
            if beat % self.recheck_every == 0 and not await self.may_view():
                await self.refuse()
                return
            beat += 1
            try:
                snapshot = asdict(await self.channel_layer.waiting_list.snapshot())
            except Exception:
                logger.exception("The queue could not be read; trying again.")
            else:
                if snapshot != last:
                    last = snapshot
                    await self.send_json({"type": "queue.snapshot", **snapshot})
            await asyncio.sleep(self.interval)

    async def refuse(self) -> None:
        message = "You may not watch the queue."
        await self.send_json({"type": "error", "code": "forbidden", "message": message})
        await self.close(CLOSE_FORBIDDEN)

    @database_sync_to_async
    def may_view(self) -> bool:
        user = self.scope["user"]
        if not user.is_authenticated:
            return False
        # Afresh from the database, since rights may have been taken away meanwhile.
        current = get_user_model()._default_manager.filter(pk=user.pk).first()
        return bool(
            current
            and current.is_active
            and current.is_staff
            and current.has_perm("streaming.view_queue")
        )
