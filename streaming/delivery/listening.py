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
    layer: BaseChannelLayer, channel: str, handle: Callable[[dict[str, Any]], Awaitable[None]]
) -> None:
    """Pass each message of a channel to `handle`, until cancelled.

    Faults are logged and do not end it: a viewer that misses an event reads it from the log.
    """
    while True:
        try:
            await handle(await layer.receive(channel))
        except Exception as error:
            log_fault(logger, error, "A message of the channel layer could not be taken.")
            await asyncio.sleep(_RETRY_SECONDS)
