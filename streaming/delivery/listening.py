"""Hearing the channel layer in a task of one's own."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from channels.exceptions import StopConsumer
from channels.generic.websocket import AsyncWebsocketConsumer
from channels.layers import BaseChannelLayer, get_channel_layer

from streaming.system.outages import log_fault

logger = logging.getLogger(__name__)

_RETRY_SECONDS = 1.0


async def listen(
    layer: BaseChannelLayer, channel: str, hear: Callable[[dict[str, Any]], Awaitable[None]]
) -> None:
    """Hand on what comes on a channel, until cancelled. Faults are outlived: who misses an event of
    a response looks into its log."""
    while True:
        try:
            await hear(await layer.receive(channel))
        except Exception as error:
            log_fault(logger, error, "A message of the channel layer could not be taken.")
            await asyncio.sleep(_RETRY_SECONDS)


class ListeningConsumer(AsyncWebsocketConsumer):
    """What the layer sends goes to `hear`, what the socket sends to `dispatch`, side by side.

    Channels waits for both together, which makes a task and two further rounds of the event loop
    of each message: for the event of a token that is as much as all the rest of its way.
    """

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.scope, self.base_send = scope, send
        self.channel_layer = get_channel_layer(self.channel_layer_alias)
        self.channel_name = await self.channel_layer.new_channel()
        listening = asyncio.create_task(listen(self.channel_layer, self.channel_name, self.hear))
        try:
            while True:
                await self.dispatch(await receive())
                await asyncio.sleep(0)  # a flood of frames is no reason to let others wait
        except StopConsumer:
            pass
        finally:
            listening.cancel()
            await asyncio.wait([listening])  # the layer forgets the channel

    async def hear(self, message: dict[str, Any]) -> None:
        """Take one message of the layer, and return at once."""
        raise NotImplementedError
