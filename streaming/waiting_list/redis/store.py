"""How the waiting list in Redis reaches its server: scripts, keys, and the arguments they take."""

from __future__ import annotations

from collections.abc import Callable
from uuid import uuid4

from redis.asyncio import Redis

from streaming.waiting_list.interface import DONE_LOG_SECONDS
from streaming.waiting_list.memory.cache_affinity import RESERVED_SECONDS
from streaming.waiting_list.redis.scripts import Scripts, SiteId


class RedisStore:
    """The list's client and scripts. The four roles extend it; `RedisWaitingList` composes them.

    `client` returns the running event loop's client; `prefix` is the channel layer's. `site`
    returns the id of the database whose responses wait here; None: whose they are is not checked.
    `done_log_seconds` is how long the events of an ended response stay readable,
    `reserved_seconds` how long a response is reserved for the worker with its prefix.
    """

    def __init__(
        self,
        client: Callable[[], Redis],
        prefix: str,
        *,
        site: SiteId | None = None,
        done_log_seconds: float = DONE_LOG_SECONDS,
        reserved_seconds: float = RESERVED_SECONDS,
    ) -> None:
        self.scripts = Scripts(client, prefix, site)
        self._client = client
        self._base = f"{prefix}:waiting:"
        self._run = self.scripts.run
        self._done_log_ms = milliseconds(done_log_seconds)
        self._reserved_ms = milliseconds(reserved_seconds)


def milliseconds(seconds: float) -> int:
    """Return a time as scripts take it."""
    return round(seconds * 1000)


def nonce() -> str:
    """Return a new id of a call, by which a script notices that the call is repeated."""
    return uuid4().hex


def optional(number: int | None = None) -> int | str:
    """Return a number as scripts take it: '' for None."""
    return "" if number is None else number


def text(value: bytes | str) -> str:
    """Return what Redis answered as text, whether or not its client decodes answers."""
    return value.decode() if isinstance(value, bytes) else value
