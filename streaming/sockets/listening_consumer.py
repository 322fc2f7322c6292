"""A WebSocket consumer that listens to the channel layer in a task of its own."""

from __future__ import annotations

import asyncio
from typing import Any

from channels.exceptions import StopConsumer
from channels.generic.websocket import AsyncWebsocketConsumer
from channels.layers import get_channel_layer

from streaming.delivery.listening import listen


class ListeningConsumer(AsyncWebsocketConsumer):
    """Passes the layer's messages to `on_layer_message`, the socket's to `dispatch`, side by side.

    Channels waits for both together, which takes a task and two further rounds of the event loop
    for each message. For the event of a token, that is as much as all the rest of its delivery.
    """

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one connection until its client leaves or the server cancels this task."""
        self.scope, self.base_send = scope, send
        self.channel_layer = get_channel_layer(self.channel_layer_alias)
        self.channel_name = await self.channel_layer.new_channel()
        self.set_up()
        listening = asyncio.create_task(
            listen(self.channel_layer, self.channel_name, self.on_layer_message)
        )
        try:
            while True:
                await self.dispatch(await receive())
                await asyncio.sleep(0)  # lets others run between the frames of a flood
        except StopConsumer:
            pass
        finally:
            try:
                listening.cancel()
                await asyncio.wait([listening])  # the layer forgets the channel
            finally:
                # Not in `disconnect`: a server that ends cancels us without calling it.
                await self.tear_down()

    def set_up(self) -> None:
        """Prepare for the connection: `scope`, `base_send`, `channel_layer` and `channel_name` are
        there, no message has come."""

    async def tear_down(self) -> None:
        """Clean up when the connection is over, however it ended."""

    async def on_layer_message(self, message: dict[str, Any]) -> None:
        """Take one message of the layer, and return at once."""
        raise NotImplementedError
