"""The two channel layers. Each declares the extension "waiting_list" and owns its list.

They also mend what stands in the way of a chat service in the layers they extend; each
override says what.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from copy import deepcopy
from typing import Any

from channels.layers import InMemoryChannelLayer
from channels_redis.pubsub import RedisPubSubChannelLayer, RedisPubSubLoopLayer
from channels_redis.utils import _wrap_close, decode_hosts
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff

from streaming.waiting_list.base import DONE_LOG_SECONDS, WaitingList
from streaming.waiting_list.memory import MemoryWaitingList
from streaming.waiting_list.preference import LEFT_SECONDS
from streaming.waiting_list.redis import RedisWaitingList

CLEAN_SECONDS = 5.0


class MemoryChannelLayer(InMemoryChannelLayer):
    """The in-memory layer of one process, on one event loop.

    A channel that is full misses messages and stays in its groups: who reads a response
    notices the gap by the events' numbers and reads the log.
    """

    extensions = [*InMemoryChannelLayer.extensions, "waiting_list"]

    def __init__(
        self,
        expiry: float = 60,
        group_expiry: float = 86400,
        capacity: int = 1000,
        channel_capacity: dict[Any, int] | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        done_log_seconds: float = DONE_LOG_SECONDS,
        left_seconds: float = LEFT_SECONDS,
    ) -> None:
        super().__init__(expiry=expiry, group_expiry=group_expiry, capacity=capacity)
        # The parent keeps the patterns as they come and fails on the first look-up.
        self.channel_capacity = self.compile_capacities(channel_capacity or {})
        self._receivers: Counter[str] = Counter()
        self._clean_at = 0.0
        self.waiting_list: WaitingList = MemoryWaitingList(
            self.deliver,
            clock=clock,
            done_log_seconds=done_log_seconds,
            left_seconds=left_seconds,
        )

    def deliver(self, group: str, message: dict[str, Any]) -> None:
        """`group_send` without an await, so that two calls cannot overtake each other, and of a
        message whose values cannot change: it is not copied."""
        self._put(group, lambda: message)

    async def group_send(self, group: str, message: dict[str, Any]) -> None:
        """Send to every channel of the group, in the order of the calls."""
        assert isinstance(message, dict), "Message is not a dict"
        self.require_valid_group_name(group)
        self._clean_expired()
        self._put(group, lambda: deepcopy(message))

    def _put(self, group: str, copy: Callable[[], dict[str, Any]]) -> None:
        for channel in self.groups.get(group, ()):
            queue = self.channels.get(channel)
            if queue is None:
                queue = self.channels[channel] = asyncio.Queue(self.get_capacity(channel))
            if not queue.full():
                queue.put_nowait((time.time() + self.expiry, copy()))

    async def receive(self, channel: str) -> dict[str, Any]:
        """The next message. The parent drops a queue that another receiver still waits on."""
        self._clean_expired()
        queue = self.channels.get(channel)
        if queue is None:
            self.require_valid_channel_name(channel)
            queue = self.channels[channel] = asyncio.Queue(self.get_capacity(channel))
        self._receivers[channel] += 1
        try:
            _, message = await queue.get()
        finally:
            self._receivers[channel] -= 1
            if not self._receivers[channel]:
                del self._receivers[channel]
                if queue.empty() and self.channels.get(channel) is queue:
                    del self.channels[channel]
        return dict(message)

    async def flush(self) -> None:
        """Forget messages and groups. Accepted prompts are no messages: they stay."""
        for channel, queue in list(self.channels.items()):
            while not queue.empty():
                queue.get_nowait()
            if not self._receivers[channel]:
                del self.channels[channel]
        self.groups.clear()

    def _clean_expired(self) -> None:
        """Drop expired messages; the channels stay in their groups.

        The parent walks over all channels at every call, and takes a channel out of all its
        groups when one message on it has expired.
        """
        now = time.time()
        if abs(now - self._clean_at) < CLEAN_SECONDS:
            return
        self._clean_at = now
        for channel, queue in list(self.channels.items()):
            while not queue.empty() and queue._queue[0][0] < now:
                queue.get_nowait()
            if queue.empty() and not self._receivers[channel]:
                del self.channels[channel]
        for group, members in list(self.groups.items()):
            for channel, since in list(members.items()):
                if since < now - self.group_expiry:
                    del members[channel]
            if not members:
                del self.groups[group]


class RedisChannelLayer(RedisPubSubChannelLayer):
    """The Redis pub/sub layer on exactly one host, with the waiting list beside it.

    Messages are JSON, for the waiting list's scripts publish some themselves.
    """

    extensions = [*RedisPubSubLoopLayer.extensions, "waiting_list"]

    def __init__(
        self,
        hosts: list[Any] | None = None,
        prefix: str = "asgi",
        *,
        serializer_format: str = "json",
        symmetric_encryption_keys: Any = None,
        done_log_seconds: float = DONE_LOG_SECONDS,
        left_seconds: float = LEFT_SECONDS,
        **kwargs: Any,
    ) -> None:
        found = decode_hosts(hosts)
        if len(found) != 1:
            raise ValueError(
                f"RedisChannelLayer needs exactly one host, not {len(found)}: the waiting list "
                "is changed by scripts that must see all of it."
            )
        if "master_name" in found[0]:
            raise ValueError("RedisChannelLayer connects to one server, not through a sentinel.")
        if symmetric_encryption_keys or serializer_format != "json":
            raise ValueError(
                "RedisChannelLayer sends plain JSON: its scripts publish events themselves. "
                "Use a rediss:// address to encrypt the way to the server."
            )
        super().__init__(hosts=found, prefix=prefix, serializer_format="json", **kwargs)
        self.prefix = prefix
        self.waiting_list: WaitingList = RedisWaitingList(
            lambda: self._get_layer().client(),
            prefix,
            done_log_seconds=done_log_seconds,
            left_seconds=left_seconds,
        )

    def _get_layer(self) -> LoopLayer:
        loop = asyncio.get_running_loop()
        layer: LoopLayer | None = self._layers.get(loop)
        if layer is None:
            layer = self._layers[loop] = LoopLayer(*self._args, **self._kwargs, channel_layer=self)
            _wrap_close(self, loop)  # flushes it when the loop closes
        return layer


class LoopLayer(RedisPubSubLoopLayer):
    """One event loop's part of the layer: its subscriptions and the waiting list's client."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._client: Redis | None = None

    def client(self) -> Redis:
        """The waiting list's own client, apart from the publishing and subscribing one."""
        if self._client is None:
            self._client = Redis(connection_pool=make_pool(self._shards[0].host))
        return self._client

    async def flush(self) -> None:
        """Close all connections; they open again when used. No key is touched."""
        await super().flush()
        if self._client is not None:
            client, self._client = self._client, None
            await client.aclose(close_connection_pool=True)


def make_pool(host: dict[str, Any]) -> BlockingConnectionPool:
    """A bounded pool for short commands, which outlasts a quick restart of the server.

    The time limit is stated because redis-py's own default has changed between versions, and
    none would leave a call to a stalled server hanging for ever.
    """
    options = {
        "max_connections": 16,
        "timeout": 10,
        "socket_timeout": 5,
        "socket_connect_timeout": 5,
        "socket_keepalive": True,
        "retry": Retry(ExponentialBackoff(cap=0.4, base=0.02), 5),
        **host,
    }
    if "address" in options:
        return BlockingConnectionPool.from_url(options.pop("address"), **options)
    return BlockingConnectionPool(**options)
