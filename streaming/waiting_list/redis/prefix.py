"""Whose the prefix of a waiting list in Redis is."""

from __future__ import annotations

import contextlib
import re
from typing import Any

from redis import Redis

from streaming.waiting_list.redis.address import RedisAddress
from streaming.waiting_list.redis.reasons import RedisRefused, explained
from streaming.waiting_list.redis.scripts import FORMAT, other_format, other_site
from streaming.waiting_list.redis.sentinels import find_master


def claim_prefix(address: RedisAddress, prefix: str, site_id: str, *, take: bool = False) -> None:
    """Let the prefix belong to this site.

    Raises RedisRefused if it belongs to another site, or if the list there has another version's
    format; `take` takes the prefix and drops such a list instead. Else raises as `checks.check`.
    """
    meta = f"{prefix}:waiting:meta"
    with explained(address):
        place = find_master(address) if address.sentinels else None
        with contextlib.closing(address.blocking_client(place)) as client:
            owner, stored = client.hmget(meta, "site", "format")
            if not take and owner is not None and _text(owner) != site_id:
                raise RedisRefused(other_site(prefix))
            if stored is None and client.exists(f"{prefix}:waiting:open"):
                stored = b"1"  # from before the number was written
            if stored is not None and _text(stored) != str(FORMAT):
                if not take:
                    raise RedisRefused(other_format(prefix))
                _drop_list(client, prefix)
            if take:
                client.hset(meta, "site", site_id)
            elif not client.hsetnx(meta, "site", site_id):
                owner = client.hget(meta, "site")
                if owner is not None and _text(owner) != site_id:
                    raise RedisRefused(other_site(prefix))


def _drop_list(client: Redis, prefix: str) -> None:
    """Delete the whole list under a prefix, last the key that says whose it is."""
    literal = re.sub(r"([\\*?\[\]^])", r"\\\1", prefix)
    meta = f"{prefix}:waiting:meta".encode()
    names = [_bytes(name) for name in client.scan_iter(f"{literal}:waiting:*", count=1000)]
    for start in range(0, len(names), 1000):
        if some := [name for name in names[start : start + 1000] if name != meta]:
            client.unlink(*some)
    client.unlink(meta)


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _bytes(value: Any) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()
