"""One suite, two waiting lists: every test that takes `backend` runs against both."""

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
import pytest_asyncio
from redis import Redis

from tests.contract.backends import Backend, MemoryBackend, RedisBackend
from tests.support.valkey import Valkey, start_or_skip


@pytest.fixture(scope="session")
def valkey() -> Iterator[Valkey]:
    server = start_or_skip()
    yield server
    server.stop()


@pytest.fixture
def empty_valkey(valkey: Valkey) -> Valkey:
    with Redis.from_url(valkey.url) as client:
        client.flushall()
    return valkey


MakeBackend = Callable[..., Backend]


@pytest_asyncio.fixture(params=["memory", "redis"])
async def make_backend(request: pytest.FixtureRequest) -> AsyncIterator[MakeBackend]:
    made: list[Backend] = []
    url = request.getfixturevalue("empty_valkey").url if request.param == "redis" else ""

    def make(**options: Any) -> Backend:
        backend = RedisBackend(url, **options) if url else MemoryBackend(**options)
        made.append(backend)
        return backend

    yield make
    for backend in made:
        await backend.close()


@pytest.fixture
def backend(make_backend: MakeBackend) -> Backend:
    return make_backend()
