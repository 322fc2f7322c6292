"""The two channel layers. Each declares the extension "waiting_list" and owns its list.

Each also corrects the layer that it extends where a chat service needs it; every override says
what is corrected.
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
from django.utils.module_loading import import_string

from streaming.waiting_list.interface import DONE_LOG_SECONDS, WaitingList
from streaming.waiting_list.memory.cache_affinity import RESERVED_SECONDS
from streaming.waiting_list.memory.waiting_list import MemoryWaitingList
from streaming.waiting_list.redis.loop_layer import LoopLayer
from streaming.waiting_list.redis.scripts import SiteId
from streaming.waiting_list.redis.url import AddressError, address_of
from streaming.waiting_list.redis.waiting_list import RedisWaitingList

CLEAN_SECONDS = 5.0
"""Minimum seconds between two removals of expired messages in memory."""


class MemoryChannelLayer(InMemoryChannelLayer):
    """The in-memory layer of one process, on one event loop.

    A channel that is full misses messages and stays in its groups: whoever reads a response
    notices the gap by the events' numbers, and reads the log. A channel that is received from stays
    in its groups, too, however long ago it joined: `group_expiry` is for channels that were left
    without `group_discard`.
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
        reserved_seconds: float = RESERVED_SECONDS,
    ) -> None:
        super().__init__(expiry=expiry, group_expiry=group_expiry, capacity=capacity)
        # The parent keeps the patterns as they come and fails on the first look-up.
        self.channel_capacity = self.compile_capacities(channel_capacity or {})
        self._receivers: Counter[str] = Counter()
        self._heard: dict[str, float] = {}  # last `receive` since the last cleaning, Unix time
        self._clean_at = 0.0
        self.waiting_list: WaitingList = MemoryWaitingList(
            self.deliver,
            clock=clock,
            done_log_seconds=done_log_seconds,
            reserved_seconds=reserved_seconds,
        )

    def deliver(self, group: str, message: dict[str, Any]) -> None:
        """Send to every channel of the group at once, in the order of the calls.

        Without an `await`, so that two calls cannot overtake each other. The message is not copied:
        its values must not change.
        """
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
        """Return the next message.

        Here a queue stays while another receiver waits on it; the parent drops it.
        """
        self._clean_expired()
        queue = self.channels.get(channel)
        if queue is None:
            self.require_valid_channel_name(channel)
            queue = self.channels[channel] = asyncio.Queue(self.get_capacity(channel))
        self._receivers[channel] += 1
        self._heard[channel] = time.time()
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
        """Drop all messages and groups. Accepted responses are kept."""
        for channel, queue in list(self.channels.items()):
            while not queue.empty():
                queue.get_nowait()
            if not self._receivers[channel]:
                del self.channels[channel]
        self.groups.clear()

    def _clean_expired(self) -> None:
        """Drop expired messages, and memberships of channels that were not received from for long.

        A channel's memberships end `group_expiry` seconds after it was last received from. At most
        every CLEAN_SECONDS; the parent walks over all channels at every call, and takes a channel
        out of all its groups when one message on it has expired.
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
        heard = {**self._heard, **dict.fromkeys(self._receivers, now)}
        self._heard.clear()
        for group, members in list(self.groups.items()):
            for channel, since in list(members.items()):
                members[channel] = max(since, heard.get(channel, since))
                if members[channel] <= now - self.group_expiry:
                    del members[channel]
            if not members:
                del self.groups[group]


class RedisChannelLayer(RedisPubSubChannelLayer):
    """The Redis pub/sub layer on exactly one host, with the waiting list beside it.

    The host has one of channels_redis's forms, or is a URL of `redis.url.FORMS`. `site` (a
    coroutine function, or its dotted path) returns the id of the database whose responses wait
    here: another database's list under this prefix is then not touched. Messages are JSON, because
    the waiting list's scripts publish some themselves.
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
        reserved_seconds: float = RESERVED_SECONDS,
        site: SiteId | str | None = None,
        **kwargs: Any,
    ) -> None:
        found = decode_hosts(hosts)
        if len(found) != 1:
            raise ValueError(
                f"RedisChannelLayer needs exactly one host, not {len(found)}: the waiting list "
                "is changed by scripts that must see all of it."
            )
        if symmetric_encryption_keys or serializer_format != "json":
            raise ValueError(
                "RedisChannelLayer sends plain JSON: its scripts publish events themselves. "
                "Use a rediss:// address to encrypt the way to the server."
            )
        try:
            self.address = address_of(found[0])
        except AddressError as error:
            raise ValueError(f"RedisChannelLayer has no use for its host: {error}.") from None
        super().__init__(hosts=found, prefix=prefix, serializer_format="json", **kwargs)
        self.prefix = prefix
        self.site = _imported(site) if isinstance(site, str) else site
        self.waiting_list: RedisWaitingList = RedisWaitingList(
            lambda: self._get_layer().client(),
            prefix,
            site=self.site,
            done_log_seconds=done_log_seconds,
            reserved_seconds=reserved_seconds,
        )

    def mind_no_site(self) -> None:
        """No longer check in this process whose list it is."""
        self.site = None
        self.waiting_list.scripts.mind_no_site()

    def _get_layer(self) -> LoopLayer:
        loop = asyncio.get_running_loop()
        layer: LoopLayer | None = self._layers.get(loop)
        if layer is None:
            layer = self._layers[loop] = LoopLayer(
                *self._args, **self._kwargs, channel_layer=self, address=self.address
            )
            _wrap_close(self, loop)  # flushes it when the loop closes
        return layer


def _imported(path: str) -> SiteId:
    """Return a function that imports the one at this dotted path when it is called.

    Django's models, which that one needs, cannot be imported yet when a layer is made.
    """

    async def call() -> str:
        site_id: str = await import_string(path)()
        return site_id

    return call
