"""The address of Redis, and the connections made to it. Knows neither URLs nor settings."""

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
"""Stated because redis-py's defaults differ between versions; without a timeout a call to a stalled
server would hang for ever."""

_ALIVE: Final = {
    getattr(socket, name): seconds
    for name, seconds in (("TCP_KEEPIDLE", 15), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 3))
    if hasattr(socket, name)
}
"""Seconds, and a number of probes: a machine that has disappeared is noticed after half a minute,
also on a connection that only receives."""


@dataclass(frozen=True)
class RedisAddress:
    """One server, or with `sentinels` the present master of the name `master`.

    `options` are those of redis-py's connections. Neither `repr` nor `where` shows a password.
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
        """The server's host name."""
        return str(self.options.get("host", "localhost"))

    @property
    def port(self) -> int:
        """The server's port."""
        return int(self.options.get("port", _PORT))

    @property
    def number(self) -> int:
        """The number of the database within the server."""
        return int(self.options.get("db", 0))

    @property
    def secrets(self) -> tuple[str, ...]:
        """Every password in the address."""
        found = (self.options.get("password"), self.sentinel_options.get("password"))
        return tuple(str(secret) for secret in found if secret)

    # --- connections ---

    def make_pool(self) -> BlockingConnectionPool:
        """Return a bounded pool for short commands, whose retries outlast a quick restart."""
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
        """Return an unbounded pool for connections that subscribe and publish."""
        options = {**self._kept_alive(), **self.options}
        if self.sentinels:
            return ClosingSentinelPool(  # type: ignore[no-untyped-call]
                self.master, self._sentinel(), **options
            )
        return ConnectionPool(connection_class=self._connection_class(), **options)

    def _sentinel(self) -> Sentinel:
        # A Sentinel that is down is skipped at once: the others know the same.
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
        """Return a client without asyncio, which tries each command once.

        `place` is a host and port to use instead of the address's own, `changes` are options.
        """
        options = {**_PATIENCE, **self.options, **changes}
        if place:
            options["host"], options["port"] = place
        if "path" in options:
            options["unix_socket_path"] = options.pop("path")
        if self.is_tls:
            options["ssl"] = True
        return Redis(retry=BlockingRetry(NoBackoff(), 0), single_connection_client=True, **options)


class ClosingSentinelPool(SentinelConnectionPool):
    """A pool that also closes its connections to the Sentinels."""

    async def disconnect(self, inuse_connections: bool = True) -> None:
        """Close the connections; with all of them, also those to the Sentinels."""
        await super().disconnect(inuse_connections)
        if inuse_connections:
            for sentinel in self.sentinel_manager.sentinels:
                await sentinel.aclose()

    async def leave_former_master(self) -> tuple[str, int]:
        """Close idle connections to a former master and return the present one's host and port.

        A former master may be alive and answer. Raises ConnectionError if there is no master.
        """
        master: tuple[str, int] = await self.get_master_address()  # type: ignore[no-untyped-call]
        waiting: list[Any] = list(self._available_connections)
        for connection in waiting:
            if connection.is_connected and (connection.host, connection.port) != master:
                await connection.disconnect()
        return master


class BlockingSentinelPool(ClosingSentinelPool, BlockingConnectionPool):
    """A bounded pool of connections to the present master; a caller waits for a free one."""


def places(pairs: Any) -> str:
    """Return hosts and ports as text."""
    return ", ".join(
        f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in pairs
    )
