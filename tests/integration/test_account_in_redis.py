"""Nothing of a deleted account stays in Redis: what is open is taken out, and what was streamed
expires."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from channels.layers import channel_layers, get_channel_layer
from django.contrib.auth.models import User
from redis.asyncio import Redis

from streaming.waiting_list.interface.constants import DONE_LOG_SECONDS
from tests.integration.conftest import eventually
from tests.integration.test_guard import PASSWORD, signed_in
from tests.support.fake_engine import FakeEngine
from tests.support.valkey import Valkey, start_or_skip

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(scope="module")
def valkey() -> Iterator[Valkey]:
    server = start_or_skip()
    yield server
    server.stop()


@pytest.fixture
async def layer(settings: Any, valkey: Valkey) -> Any:
    backend = "streaming.waiting_list.channel_layers.RedisChannelLayer"
    config = {"hosts": [valkey.url], "prefix": "test"}
    settings.CHANNEL_LAYERS = {"default": {"BACKEND": backend, "CONFIG": config}}
    channel_layers.backends.clear()
    yield get_channel_layer()
    await get_channel_layer().flush()
    channel_layers.backends.clear()


async def kept(redis: Any) -> dict[str, tuple[str, int]]:
    """What each key holds, as text, and its time to live in seconds (-1: for ever)."""
    reads = {
        "hash": redis.hgetall,
        "string": redis.get,
        "set": redis.smembers,
        "list": lambda name: redis.lrange(name, 0, -1),
        "zset": lambda name: redis.zrange(name, 0, -1),
    }
    found = {}
    for name in await redis.keys("*"):
        kind = await redis.type(name)
        if kind != "none":  # gone since
            found[name] = (f"{name} {await reads[kind](name)}", await redis.ttl(name))
    return found


async def test_what_is_open_goes_and_what_was_streamed_expires(
    start_worker: Any, client: Any, layer: Any, valkey: Valkey
) -> None:
    await start_worker(FakeEngine(max_running=1, step_seconds=0.05))
    user = await sync_to_async(User.objects.create_user)("ann", password=PASSWORD)
    chat = await client(user=user)
    asked = [await chat.ask("go", params={"max_tokens": 1000})]
    await chat.until("response.output_text.delta")
    asked += [await chat.ask("stop 1") for _ in range(2)]
    ids = [one[name] for one in asked for name in ("response_id", "conversation_id")]
    words = [f"user:{user.pk}", *ids]
    browser = await sync_to_async(signed_in)()
    async with Redis.from_url(valkey.url, decode_responses=True) as redis:

        async def left() -> list[str]:
            held = (await kept(redis)).values()
            return [text for text, ttl in held if ttl < 0 and any(word in text for word in words)]

        assert len(await left()) > 5  # it would be found
        answer = await sync_to_async(browser.post)(
            "/accounts/delete/", {"name": "ann", "password": PASSWORD}
        )
        assert answer.status_code == 200

        async def is_gone() -> bool:
            return not await left()

        await eventually(is_gone)
        assert all(ttl <= DONE_LOG_SECONDS for _, ttl in (await kept(redis)).values())
