"""Checks at the start whether the Redis of an address can keep a waiting list.

Only what needs somebody to change something is refused. A server that is not there yet, is loading
its file, or is changing its master, is away: the caller waits, or starts and tries again.
"""

from __future__ import annotations

import contextlib
import secrets
from typing import Any

from redis import Redis
from redis.exceptions import AuthenticationError, NoPermissionError, RedisError, ResponseError

from streaming.waiting_list.redis.address import RedisAddress
from streaming.waiting_list.redis.reasons import (
    CLUSTER,
    REPLICA,
    RedisAway,
    explained,
    refusal,
)
from streaming.waiting_list.redis.sentinels import find_master

OLDEST_VERSION = (6, 2)
"""The first version with ZMSCORE, and in which scripts may write after TIME."""

_PROBE = """
local call, key = redis.call, KEYS[1]
call('TIME')
call('SET', key, '1', 'PX', 1000) call('APPEND', key, '2') call('GET', key) call('DEL', key)
call('HSET', key, 'a', '1') call('HINCRBY', key, 'a', 1) call('HMGET', key, 'a') call('DEL', key)
call('RPUSH', key, '1') call('LTRIM', key, 0, 1) call('LREM', key, 1, '1') call('DEL', key)
call('SADD', key, '1') call('SMEMBERS', key) call('DEL', key)
call('ZADD', key, 1, '1') call('ZRANGEBYSCORE', key, 0, 1) call('PEXPIRE', key, 1000)
call('DEL', key)
call('PUBLISH', ARGV[1], '{}')
return 1
"""
"""The commands of the waiting list's scripts, on a key and a channel of this script's own."""


def check(address: RedisAddress, prefix: str) -> list[str]:
    """Check that a waiting list can be kept there, under this prefix.

    Returns warnings, a sentence each. Raises RedisRefused or RedisAway; takes about 5 s if a server
    does not answer.
    """
    _check_files(address)
    with explained(address):
        if not address.sentinels:
            return _check_server(address, prefix)
        host, port = find_master(address)
        return _check_server(address, prefix, (host, port))


def _check_files(address: RedisAddress) -> None:
    for name in ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile"):
        if path := address.options.get(name):
            try:
                with open(path, "rb"):
                    pass
            except OSError as error:
                reason = f"{name} of its address cannot be read: {error.strerror}: {path}"
                raise refusal(address, reason) from None


def _check_server(
    address: RedisAddress, prefix: str, place: tuple[str, int] | None = None
) -> list[str]:
    try:
        # Without the database's number: a Sentinel and a Cluster have none; see `_check_kind`.
        client = address.blocking_client(place, db=0)
    except AuthenticationError as error:
        if "without any password" in str(error) and _is_sentinel(address):
            raise refusal(address, _SENTINEL) from None
        raise
    with contextlib.closing(client):
        client.ping()
        info = _info(client)
        _check_kind(address, info)
        if address.number:
            try:
                client.select(address.number)
            except ResponseError as error:
                reason = f"it has no database number {address.number} ({error})"
                raise refusal(address, reason) from None
        _check_permissions(client, address, prefix)
        return _unwise(info)


_SENTINEL = (
    "it is a Sentinel, which keeps no data: the master that it watches is "
    "redis+sentinel://:PASSWORD@HOST:PORT,HOST:PORT/MASTER/NUMBER"
)


def _is_sentinel(address: RedisAddress) -> bool:
    open_address = RedisAddress(
        {name: value for name, value in address.options.items()
         if name not in ("username", "password", "db")},
        address.is_tls,
    )  # fmt: skip
    with contextlib.suppress(RedisError), contextlib.closing(open_address.blocking_client()) as c:
        return _mode(_info(c)) == "sentinel"
    return False


def _info(client: Redis) -> dict[str, Any]:
    """Return what INFO says, nothing for a user without the permission."""
    with contextlib.suppress(NoPermissionError):
        info: dict[str, Any] = client.info()
        return info
    return {}


def _mode(info: dict[str, Any]) -> str:
    return str(info.get("redis_mode") or info.get("server_mode"))  # Redis; Valkey


def _check_kind(address: RedisAddress, info: dict[str, Any]) -> None:
    mode = _mode(info)
    if mode == "sentinel":
        raise refusal(address, _SENTINEL)
    if mode == "cluster" or info.get("cluster_enabled") == 1:
        raise refusal(address, CLUSTER)
    version = str(info.get("redis_version", ""))
    numbers = tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
    if len(numbers) == 2 and numbers < OLDEST_VERSION:
        oldest = ".".join(map(str, OLDEST_VERSION))
        reason = f"it is version {version}, and {oldest} is the oldest that is enough"
        raise refusal(address, reason)
    if info.get("role") == "slave":
        if address.sentinels:
            raise RedisAway(f"The Sentinels are just changing {address.where}.")
        raise refusal(address, REPLICA)


def _check_permissions(client: Redis, address: RedisAddress, prefix: str) -> None:
    key, channel = f"{prefix}:waiting:probe:{secrets.token_hex(8)}", f"{prefix}__group__probe"
    try:
        with contextlib.closing(client.pubsub()) as listener:  # type: ignore[no-untyped-call]
            listener.subscribe(channel)
            listener.get_message(timeout=5)
        _run(client, "EVALSHA", "0" * 40)
        _run(client, "EVAL", _PROBE, key, channel)
        client.zmscore(key, ["1"])
    except NoPermissionError as error:
        raise refusal(address, _permission(prefix, error)) from None
    except ResponseError as error:
        text = str(error)
        if "can't run this command or subcommand" in text or "ACL failure" in text:
            raise refusal(address, _permission(prefix, error)) from None
        if "unknown command" not in text.lower() and "Unknown Redis command" not in text:
            raise
        reason = f"it lacks a command that is needed ({text}): scripts must be allowed there"
        raise refusal(address, reason) from None


def _run(client: Redis, command: str, script: str, *args: str) -> None:
    keys = 1 if args else 0
    try:
        client.execute_command(command, script, keys, *args)  # type: ignore[no-untyped-call]
    except ResponseError as error:
        if command != "EVALSHA" or "NOSCRIPT" not in f"{error}{type(error).__name__.upper()}":
            raise


def _permission(prefix: str, error: Exception) -> str:
    needed = f"~{prefix}:* &{prefix}* +@all -@dangerous +info"
    return f"its user may not do what is needed, which is {needed} ({error})"


def _unwise(info: dict[str, Any]) -> list[str]:
    said = []
    policy = str(info.get("maxmemory_policy", "noeviction"))
    if policy != "noeviction" and info.get("maxmemory"):
        said.append(
            f"Redis may drop parts of the waiting list when its memory is short "
            f"(maxmemory-policy {policy}): set maxmemory-policy to noeviction."
        )
    if info.get("aof_enabled") == 0:
        said.append(
            "Redis keeps nothing when it is killed (appendonly no): answers that run then begin "
            "anew. Set appendonly to yes."
        )
    return said
