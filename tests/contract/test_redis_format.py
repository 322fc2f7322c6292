"""The number of the stored format: a list of another version's is neither read nor changed."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from redis import Redis

from streaming.management.commands import takeprefix
from streaming.waiting_list.channel_layers import RedisChannelLayer
from streaming.waiting_list.interface import ListLost, State
from streaming.waiting_list.redis.prefix import claim_prefix
from streaming.waiting_list.redis.reasons import RedisRefused
from streaming.waiting_list.redis.scripts import FORMAT, OtherFormat, OtherSite
from streaming.waiting_list.redis.url import parse
from tests.contract.backends import DELTA, DONE, RedisBackend
from tests.support.valkey import Valkey

META = "test:waiting:meta"


def everything(client: Redis) -> dict[bytes, bytes | None]:
    return {name: client.dump(name) for name in client.keys("*")}


async def test_a_list_of_another_format_is_not_touched(empty_valkey: Valkey) -> None:
    backend = RedisBackend(empty_valkey.url)
    await backend.beat()
    await backend.ask("r")
    claim = await backend.claim()
    await backend.ask("waiting")
    with Redis.from_url(empty_valkey.url) as client:
        assert client.hget(META, "format") == str(FORMAT).encode()
        client.hset(META, "format", FORMAT + 1)
        kept = everything(client)
        for call in (
            backend.beat,
            lambda: backend.ask("r2"),
            lambda: backend.list.claim("w1", 1),
            lambda: backend.list.append(claim.lease, DELTA),
            lambda: backend.list.withdraw("waiting", DONE),
            lambda: backend.list.sweep(0.001),
            lambda: backend.list.restore([], whole=True),
            backend.list.snapshot,
        ):
            with pytest.raises(OtherFormat, match=r"another version .*manage\.py takeprefix"):
                await call()
        assert everything(client) == kept
        client.hset(META, "format", FORMAT)
    assert await backend.list.append(claim.lease, DELTA) == 1
    await backend.close()


async def test_a_list_from_before_the_number_was_written_is_another_formats(
    empty_valkey: Valkey,
) -> None:
    backend = RedisBackend(empty_valkey.url)
    await backend.beat()
    await backend.ask("r")
    with Redis.from_url(empty_valkey.url) as client:
        client.hdel(META, "format")
        kept = everything(client)
        with pytest.raises(OtherFormat, match=r"another version .*manage\.py takeprefix"):
            await backend.claim()
        with pytest.raises(RedisRefused, match="another version"):
            await asyncio.to_thread(claim_prefix, parse(empty_valkey.url), "test", "")
        assert everything(client) == kept
    await backend.close()


@pytest.mark.parametrize("written", [str(FORMAT + 1), None])
async def test_another_sites_list_is_called_that_and_not_to_be_dropped(
    empty_valkey: Valkey, written: str | None
) -> None:
    """Whatever its format: who read that it is to be dropped would drop another site's."""

    async def site() -> str:
        return "s"

    backend = RedisBackend(empty_valkey.url, site=site)
    with Redis.from_url(empty_valkey.url) as client:
        client.hset(META, "site", "other")
        if written:
            client.hset(META, "format", written)
        kept = everything(client)
        with pytest.raises(OtherSite, match="another database"):
            await backend.ask("r")
        with pytest.raises(RedisRefused, match="another database"):
            await asyncio.to_thread(claim_prefix, parse(empty_valkey.url), "test", "s")
        assert everything(client) == kept
    await backend.close()


async def test_a_list_of_another_format_is_dropped_on_demand_alone(empty_valkey: Valkey) -> None:
    """And only the list of this prefix, whatever its name means as a pattern."""

    def of(prefix: str) -> RedisBackend:
        async def site() -> str:
            return "s"

        return RedisBackend(empty_valkey.url, prefix=prefix, site=site)

    address = parse(empty_valkey.url)
    ours, other = of("a[b]*"), of("ab")
    for backend in (ours, other):
        await backend.list.restore([], whole=True)
        await backend.ask("r")
    with Redis.from_url(empty_valkey.url) as client:
        client.hset("a[b]*:waiting:meta", "format", FORMAT + 1)
        with pytest.raises(RedisRefused, match="another version"):
            await asyncio.to_thread(claim_prefix, address, "a[b]*", "s")
        await asyncio.to_thread(claim_prefix, address, "a[b]*", "s", take=True)
        left = {name for name in client.keys("*") if not name.startswith(b"ab:")}
        assert left == {b"a[b]*:waiting:meta"}
    with pytest.raises(ListLost):  # until what the record holds open is put back
        await ours.ask("r")
    await ours.list.restore([], whole=True)
    assert (await ours.ask("r")).created
    assert await other.state("r") is State.WAITING
    for backend in (ours, other):
        await backend.close()


def test_takeprefix_drops_another_format_by_force_alone(
    empty_valkey: Valkey, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def layer() -> Any:
        return RedisChannelLayer(hosts=[empty_valkey.url], prefix="test")

    monkeypatch.setattr(takeprefix, "get_channel_layer", layer)
    monkeypatch.setattr(takeprefix, "site_id", lambda: "s")
    with Redis.from_url(empty_valkey.url) as client:
        client.hset(META, mapping={"format": FORMAT + 1, "site": "s"})
        with pytest.raises(CommandError, match="another version"):
            call_command("takeprefix")
        assert client.hget(META, "format") == str(FORMAT + 1).encode()
        call_command("takeprefix", force=True)
        assert client.hgetall(META) == {b"site": b"s"}
    assert "is now this database's" in capsys.readouterr().out
