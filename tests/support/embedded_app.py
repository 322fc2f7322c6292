"""A team's own application with the embedded worker in it, for any server that knows lifespans."""

from __future__ import annotations

import asyncio
from typing import Any

from chatsite.asgi import application as site
from streaming.worker.embedded import start_queue_worker


async def application(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] != "lifespan":
        await site(scope, receive, send)
        return
    await receive()
    worker, task = start_queue_worker()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await worker.stop()
    await asyncio.wait([task])
    await send({"type": "lifespan.shutdown.complete"})
