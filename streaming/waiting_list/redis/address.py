"""Where Redis is, and the connections made to it. It knows no URLs and no settings."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from redis import Redis
from redis.asyncio import BlockingConnectionPool, ConnectionPool
from redis.asyncio import connection as asyncio_connection
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel, SentinelConnectionPool
from redis.backoff import ExponentialBackoff, NoBackoff
from redis.retry import Retry as BlockingRetry

_PORT: Final = 6379

_PATIENCE: Final = {"socket_timeout": 5.0, "socket_connect_timeout": 5.0}
"""Stated because redis-py's own default has changed between versions, and none would leave a call
to a stalled server hanging for ever."""

_ALIVE: Final = {
    getattr(socket, name): seconds
    for name, seconds in (("TCP_KEEPIDLE", 15), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 3))
    if hasattr(socket, name)
}
"""A machine that is gone without a word is noticed after half a minute, also by who only hears."""


@dataclass(frozen=True)
class RedisAddress:
    """One server, or (with `sentinels`) the master of that name, wherever it is just now.

    `options` are those of redis-py's connections. No password is shown by `repr` or `where`.
    """

    options: Mapping[str, Any] = field(repr=False)
    is_tls: bool = False
    sentinels: tuple[tuple[str, int], ...] = ()
    master: str = ""
    sentinel_options: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def where(self) -> str:
        """The server in words, for people."""
        if self.sentinels:
            return f"the master {self.master!r} of the Sentinels {places(self.sentinels)}"
        path = self.options.get("path")
        return str(path) if path else places([(self.host, self.port)])

    @property
    def host(self) -> str:
        return str(self.options.get("host", "localhost"))

    @property
    def port(self) -> int:
        return int(self.options.get("port", _PORT))

    @property
    def number(self) -> int:
        """Of the database."""
        return int(self.options.get("db", 0))

    @property
    def secrets(self) -> tuple[str, ...]:
        """Every password in it."""
        found = (self.options.get("password"), self.sentinel_options.get("password"))
        return tuple(str(secret) for secret in found if secret)

    # --- connections ---

    def make_pool(self) -> BlockingConnectionPool:
        """A bounded pool for short commands, which outlasts a quick restart of the server."""
        options = {
            "max_connections": 16,
            "timeout": 10,
            "retry": Retry(ExponentialBackoff(cap=0.4, base=0.02), 5),
            **self._kept_alive(),
            **self.options,
        }
        if self.sentinels:
            return BlockingSentinelPool(  # type: ignore[no-untyped-call]
                self.master, self._sentinel(), **options
            )
        return BlockingConnectionPool(connection_class=self._connection_class(), **options)

    def make_listening_pool(self) -> ConnectionPool:
        """An unbounded pool for a connection that listens to channels, and some that publish."""
        options = {**self._kept_alive(), **self.options}
        if self.sentinels:
            return ClosingSentinelPool(  # type: ignore[no-untyped-call]
                self.master, self._sentinel(), **options
            )
        return ConnectionPool(connection_class=self._connection_class(), **options)

    def _sentinel(self) -> Sentinel:
        # One that is down is passed over at once: the others know the same.
        options = {
            "socket_timeout": 2.0,
            "socket_connect_timeout": 2.0,
            "retry": Retry(NoBackoff(), 0),
            **self.sentinel_options,
        }
        return Sentinel(self.sentinels, sentinel_kwargs=options)  # type: ignore[no-untyped-call]

    def _kept_alive(self) -> dict[str, Any]:
        if "path" in self.options:
            return dict(_PATIENCE)
        kept: dict[str, Any] = {**_PATIENCE, "socket_keepalive": True}
        kept["socket_keepalive_options"] = _ALIVE
        if self.sentinels and self.is_tls:
            kept["ssl"] = True
        return kept

    def _connection_class(self) -> type[asyncio_connection.AbstractConnection]:
        if "path" in self.options:
            return asyncio_connection.UnixDomainSocketConnection
        return asyncio_connection.SSLConnection if self.is_tls else asyncio_connection.Connection

    def blocking_client(self, place: tuple[str, int] | None = None, **changes: Any) -> Redis:
        """A client without asyncio, which tries once; `place` instead of the address's own."""
        options = {**_PATIENCE, **self.options, **changes}
        if place:
            options["host"], options["port"] = place
        if "path" in options:
            options["unix_socket_path"] = options.pop("path")
        if self.is_tls:
            options["ssl"] = True
        return Redis(retry=BlockingRetry(NoBackoff(), 0), single_connection_client=True, **options)


class ClosingSentinelPool(SentinelConnectionPool):
    """Closes the connections to the Sentinels, too, when all of its own are closed."""

    async def disconnect(self, inuse_connections: bool = True) -> None:
        await super().disconnect(inuse_connections)
        if inuse_connections:
            for sentinel in self.sentinel_manager.sentinels:
                await sentinel.aclose()

    async def leave_former_master(self) -> tuple[str, int]:
        """Close the connections that wait here for a master of the past, which may be alive and
        answer; the address of the present one. Raises ConnectionError if there is none."""
        master: tuple[str, int] = await self.get_master_address()  # type: ignore[no-untyped-call]
        waiting: list[Any] = list(self._available_connections)
        for connection in waiting:
            if connection.is_connected and (connection.host, connection.port) != master:
                await connection.disconnect()
        return master


class BlockingSentinelPool(ClosingSentinelPool, BlockingConnectionPool):
    """Connections to the present master, of which nobody gets more than there may be: who comes
    later waits."""


def places(pairs: Any) -> str:
    """Hosts and ports in words."""
    return ", ".join(
        f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in pairs
    )
