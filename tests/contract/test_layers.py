"""The channel layers around the lists: what the layers they extend get wrong, and settings."""

import asyncio
from typing import Any

import pytest
from channels.exceptions import ChannelFull

from streaming.waiting_list.channel_layers import MemoryChannelLayer, RedisChannelLayer
from streaming.waiting_list.interface import WaitingList
from tests.contract.backends import Backend
from tests.contract.conftest import MakeBackend
from tests.support.passing_time import outlast

MESSAGE = {"type": "test.message", "text": "ü"}


async def receive(layer: Any, channel: str) -> Any:
    return await asyncio.wait_for(layer.receive(channel), 10)


async def test_the_extension_is_declared(backend: Backend) -> None:
    assert {"groups", "flush", "waiting_list"} <= set(backend.layer.extensions)
    assert isinstance(backend.layer.waiting_list, WaitingList)


async def test_groups_and_channels_still_work(backend: Backend) -> None:
    layer = backend.layer
    channels = [await layer.new_channel() for _ in range(2)]
    for channel in channels:
        await layer.group_add("group", channel)
    await layer.group_send("group", MESSAGE)
    assert [await receive(layer, channel) for channel in channels] == [MESSAGE, MESSAGE]
    await layer.group_discard("group", channels[0])
    await layer.group_send("group", MESSAGE)
    await layer.send(channels[0], {"type": "direct"})
    assert await receive(layer, channels[1]) == MESSAGE
    assert await receive(layer, channels[0]) == {"type": "direct"}


async def test_flush_keeps_what_was_accepted(backend: Backend) -> None:
    await backend.beat()
    await backend.ask("r")
    await backend.layer.flush()
    assert await backend.positions("r") == [1]


async def test_memory_capacities_by_channel() -> None:
    layer = MemoryChannelLayer(channel_capacity={"tight*": 1})
    await layer.send("tight", MESSAGE)
    with pytest.raises(ChannelFull):
        await layer.send("tight", MESSAGE)
    for _ in range(200):
        await layer.send("roomy", MESSAGE)


async def test_memory_a_full_channel_stays_in_its_groups() -> None:
    layer = MemoryChannelLayer(capacity=2)
    slow = await layer.new_channel()
    await layer.group_add("group", slow)
    for number in range(5):
        await layer.group_send("group", {"type": "n", "number": number})
    assert [(await receive(layer, slow))["number"] for _ in range(2)] == [0, 1]
    await layer.group_send("group", {"type": "n", "number": 5})
    assert (await receive(layer, slow))["number"] == 5


async def test_memory_an_expired_message_leaves_the_groups_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 1000.0
    monkeypatch.setattr("streaming.waiting_list.channel_layers.time.time", lambda: now)
    layer = MemoryChannelLayer(expiry=60, group_expiry=200)
    channel = await layer.new_channel()
    await layer.group_add("group", channel)
    await layer.group_send("group", {"type": "old"})
    now += 61
    await layer.group_send("group", {"type": "new"})
    assert await receive(layer, channel) == {"type": "new"}
    now += 200  # a membership that old belongs to a consumer that never said goodbye
    await layer.group_send("group", {"type": "late"})
    assert not layer.groups
    assert not layer.channels


async def test_who_listens_stays_in_a_group_for_longer_than_memberships_last(
    make_backend: MakeBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker, a viewer, a watcher: each joins once, and lives for days."""
    days = 0.0
    monkeypatch.setattr(
        "streaming.waiting_list.channel_layers.time.time", lambda: 1000.0 + days * 86_400
    )
    layer = make_backend().layer
    listener, busy = await layer.new_channel(), await layer.new_channel()
    for channel in (listener, busy):
        await layer.group_add("group", channel)
    for _ in range(5):
        days += 0.9
        hearing = asyncio.create_task(receive(layer, listener))
        await asyncio.sleep(0)
        await layer.group_send("group", MESSAGE)
        assert await hearing == MESSAGE
        assert await receive(layer, busy) == MESSAGE  # it does not wait, it comes for what is there


async def test_a_process_that_slept_for_days_has_its_listeners_still(
    make_backend: MakeBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    days = 0.0
    monkeypatch.setattr(
        "streaming.waiting_list.channel_layers.time.time", lambda: 1000.0 + days * 86_400
    )
    layer = make_backend().layer
    listener = await layer.new_channel()
    await layer.group_add("group", listener)
    hearing = asyncio.create_task(receive(layer, listener))
    await outlast(0.05, "the beginning of a receive")
    days = 3
    await layer.group_send("group", MESSAGE)
    assert await hearing == MESSAGE


async def test_memory_two_receivers_of_one_channel_both_get_something() -> None:
    layer = MemoryChannelLayer()
    both = [asyncio.create_task(receive(layer, "bell")) for _ in range(2)]
    await asyncio.sleep(0)
    await layer.send("bell", {"type": "ding"})
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    await layer.send("bell", {"type": "dong"})
    assert sorted(m["type"] for m in await asyncio.gather(*both)) == ["ding", "dong"]
    assert not layer.channels
    assert not layer._receivers


async def test_memory_a_cancelled_receiver_leaves_the_other_one_connected() -> None:
    layer = MemoryChannelLayer()
    leaving, staying = (asyncio.create_task(receive(layer, "bell")) for _ in range(2))
    await asyncio.sleep(0)
    leaving.cancel()
    await asyncio.wait([leaving])
    await layer.flush()  # nor does a flush cut it off
    await layer.send("bell", {"type": "ding"})
    assert (await staying)["type"] == "ding"


async def test_memory_receivers_cannot_change_each_others_messages() -> None:
    layer = MemoryChannelLayer()
    first, second = await layer.new_channel(), await layer.new_channel()
    for channel in (first, second):
        await layer.group_add("group", channel)
    await layer.group_send("group", {"type": "x", "list": [1]})
    (await receive(layer, first))["list"].append(2)
    assert (await receive(layer, second))["list"] == [1]


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"hosts": ["redis://a", "redis://b"]}, "exactly one host, not 2"),
        ({"hosts": "redis://a"}, "list of Redis hosts"),
        ({"hosts": [{"master_name": "m", "sentinels": []}]}, "sentinel"),
        ({"serializer_format": "msgpack"}, "plain JSON"),
        ({"symmetric_encryption_keys": ["secret"]}, "plain JSON"),
    ],
)
def test_redis_settings_that_cannot_work_are_refused(options: Any, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        RedisChannelLayer(**options)


@pytest.mark.parametrize(
    "host",
    ["redis://127.0.0.1:1/3", ("127.0.0.1", 1), {"host": "127.0.0.1", "port": 1, "db": 3}],
)
async def test_redis_hosts_in_every_form(host: Any) -> None:
    layer = RedisChannelLayer([host], prefix="p")
    options = layer._get_layer().client().connection_pool.connection_kwargs
    assert (options["host"], options["port"]) == ("127.0.0.1", 1)
    assert layer.prefix == "p"
    await layer.flush()
