"""The Redis layer's part for one event loop: its subscriptions and the waiting list's client."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

from channels_redis.pubsub import RedisPubSubLoopLayer, RedisSingleShardConnection
from redis.asyncio import Redis

from streaming.system.outages import LAYER_AWAY
from streaming.waiting_list.redis.address import ClosingSentinelPool, RedisAddress

FOLLOW_SECONDS = 0.5
"""Seconds between two questions to the Sentinels who the master is."""


class LoopLayer(RedisPubSubLoopLayer):
    """The layer's subscriptions and client on one event loop.

    The name of every Redis channel begins with the prefix; the parent gives it to groups' only.
    """

    def __init__(self, *args: Any, address: RedisAddress, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._address = address
        self._shards = [Shard(address, self)]
        self._client: Redis | None = None
        self._following: asyncio.Task[None] | None = None

    def client(self) -> Redis:
        """Return the waiting list's client, whose connections neither publish nor subscribe."""
        if self._client is None:
            pool = self._address.make_pool()
            self._client = Redis(connection_pool=pool)
            if isinstance(pool, ClosingSentinelPool):
                self._following = asyncio.ensure_future(follow_master(pool))
        return self._client

    def _own(self, channel: str) -> str:
        """Return a channel's name in Redis."""
        if channel.startswith(self.prefix):  # given out by `new_channel`
            return channel
        return f"{self.prefix}__channel__{channel}"

    async def send(self, channel: str, message: dict[str, Any]) -> None:
        """Send a message to one channel."""
        await super().send(self._own(channel), message)

    async def receive(self, channel: str) -> dict[str, Any]:
        """Wait for the next message on a channel and return it."""
        message: dict[str, Any] = await super().receive(self._own(channel))
        return message

    async def group_add(self, group: str, channel: str) -> None:
        """Add a channel to a group."""
        await super().group_add(group, self._own(channel))

    async def group_discard(self, group: str, channel: str) -> None:
        """Remove a channel from a group."""
        await super().group_discard(group, self._own(channel))

    async def flush(self) -> None:
        """Close all connections; they open again when they are used. No key is deleted."""
        await super().flush()
        await end(self._following)
        self._following = None
        if self._client is not None:
            client, self._client = self._client, None
            await client.aclose(close_connection_pool=True)


class Shard(RedisSingleShardConnection):
    """The connections to one address that publish and subscribe."""

    def __init__(self, address: RedisAddress, channel_layer: LoopLayer) -> None:
        super().__init__(None, channel_layer)
        self._address = address
        self._redis: Redis | None = None
        self._following: asyncio.Task[None] | None = None

    def _ensure_redis(self) -> None:
        if self._redis is None:
            pool = self._address.make_listening_pool()
            self._redis = Redis(connection_pool=pool)
            self._pubsub = self._redis.pubsub()
            if isinstance(pool, ClosingSentinelPool):
                self._following = asyncio.ensure_future(follow_master(pool, self._leave))

    async def _leave(self, master: tuple[str, int]) -> None:
        listening = self._pubsub.connection
        if listening is not None and (listening.host, listening.port) != master:
            await listening.disconnect()  # whoever reads from it connects it again

    async def flush(self) -> None:
        """Close the connections; they open again when they are used."""
        await end(self._following)
        self._following = None
        await super().flush()


async def follow_master(
    pool: ClosingSentinelPool, leave: Callable[[tuple[str, int]], Awaitable[None]] | None = None
) -> None:
    """Ask the Sentinels every FOLLOW_SECONDS for the master, and leave a former one.

    `leave` is called with the present master's host and port. A master that hangs breaks no
    connection, and one that was replaced goes on answering for some seconds.
    """
    while True:
        await asyncio.sleep(FOLLOW_SECONDS)
        with contextlib.suppress(*LAYER_AWAY):  # no Sentinel, or no master just now
            master = await pool.leave_former_master()
            if leave:
                await leave(master)


async def end(task: asyncio.Task[None] | None) -> None:
    """Cancel a task and wait until it has ended; None is no task."""
    if task is not None:
        task.cancel()
        await asyncio.wait([task])
