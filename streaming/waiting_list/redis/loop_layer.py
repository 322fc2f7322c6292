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
"""How often the Sentinels are asked who the master is."""


class LoopLayer(RedisPubSubLoopLayer):
    """Every channel of Redis that it uses begins with the prefix, as every group's does. The parent
    takes the name of a channel as it comes."""

    def __init__(self, *args: Any, address: RedisAddress, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._address = address
        self._shards = [Shard(address, self)]
        self._client: Redis | None = None
        self._following: asyncio.Task[None] | None = None

    def client(self) -> Redis:
        """The waiting list's own client, apart from the publishing and subscribing one."""
        if self._client is None:
            pool = self._address.make_pool()
            self._client = Redis(connection_pool=pool)
            if isinstance(pool, ClosingSentinelPool):
                self._following = asyncio.ensure_future(follow_master(pool))
        return self._client

    def _own(self, channel: str) -> str:
        """A channel's name in Redis."""
        if channel.startswith(self.prefix):  # given out by `new_channel`
            return channel
        return f"{self.prefix}__channel__{channel}"

    async def send(self, channel: str, message: dict[str, Any]) -> None:
        await super().send(self._own(channel), message)

    async def receive(self, channel: str) -> dict[str, Any]:
        message: dict[str, Any] = await super().receive(self._own(channel))
        return message

    async def group_add(self, group: str, channel: str) -> None:
        await super().group_add(group, self._own(channel))

    async def group_discard(self, group: str, channel: str) -> None:
        await super().group_discard(group, self._own(channel))

    async def flush(self) -> None:
        """Close all connections; they open again when used. No key is touched."""
        await super().flush()
        await end(self._following)
        self._following = None
        if self._client is not None:
            client, self._client = self._client, None
            await client.aclose(close_connection_pool=True)


class Shard(RedisSingleShardConnection):
    """The connections that publish and subscribe, to one address."""

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
        await end(self._following)
        self._following = None
        await super().flush()


async def follow_master(
    pool: ClosingSentinelPool, leave: Callable[[tuple[str, int]], Awaitable[None]] | None = None
) -> None:
    """Ask the Sentinels from time to time, and leave a master of the past: one that hangs breaks no
    connection, and one that was replaced goes on answering for seconds, for nothing."""
    while True:
        await asyncio.sleep(FOLLOW_SECONDS)
        with contextlib.suppress(*LAYER_AWAY):  # no Sentinel, or no master just now
            master = await pool.leave_former_master()
            if leave:
                await leave(master)


async def end(task: asyncio.Task[None] | None) -> None:
    if task is not None:
        task.cancel()
        await asyncio.wait([task])
