"""Listens to a channel of the channel layer."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from channels.layers import BaseChannelLayer

from streaming.system.outages import log_fault

logger = logging.getLogger(__name__)

_RETRY_SECONDS = 1.0


async def listen(
    layer: BaseChannelLayer, channel: str, hear: Callable[[dict[str, Any]], Awaitable[None]]
) -> None:
    """Pass each message of a channel to `hear`, until cancelled. After a fault it goes on: a viewer
    that misses an event reads it from the response's log."""
    while True:
        try:
            await hear(await layer.receive(channel))
        except Exception as error:
            log_fault(logger, error, "A message of the channel layer could not be taken.")
            await asyncio.sleep(_RETRY_SECONDS)
