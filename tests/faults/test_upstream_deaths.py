"""Workers before another server: one is killed mid-answer, the next goes on from the text."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.cluster import Cluster, own_cluster
from tests.faults.conftest import Ask
from tests.support.fake_upstream import Exchange, FakeUpstream, words

KEY = "sk-never-shown-0123456789"


@pytest.fixture
def upstream() -> Iterator[FakeUpstream]:
    server = FakeUpstream().start()
    yield server
    server.stop()


@pytest.fixture
def before(tmp_path: Path, upstream: FakeUpstream) -> Iterator[Cluster]:
    env = {
        "CHATSTREAM_ENGINE": "",
        "CHATSTREAM_UPSTREAM_URL": upstream.url,
        "CHATSTREAM_UPSTREAM_KEY": KEY,
        "CHATSTREAM_UPSTREAM_CONTINUES": "yes",
        "LOG_LEVEL": "DEBUG",
    }
    yield from own_cluster(tmp_path, durable=True, **env)


async def talk(exchange: Exchange) -> None:
    await exchange.begin()
    await exchange.say("One", " two", " three")
    await exchange.go_on.wait()


async def test_the_next_worker_goes_on(before: Cluster, upstream: FakeUpstream, ask: Ask) -> None:
    upstream.acts.extend([talk, words(" four", " five", completion=2)])
    worker = await asyncio.to_thread(before.start_worker)
    reader = ask(before, "Count", max_tokens=20)
    await reader.words(2)
    before.kill_worker(worker)
    assert await asyncio.to_thread(upstream.exchange(0).left.wait, 30)
    another = await asyncio.to_thread(before.start_worker)
    done = await reader.end()
    assert reader.text == done["text"] == "One two three four five"
    assert reader.begun == 1
    assert done["usage"]["output_tokens"] == 5
    body = upstream.bodies[1]
    assert body["messages"][-1] == {"role": "assistant", "content": "One two three"}
    assert body["max_tokens"] == 17
    assert upstream.exchanges[1].headers["authorization"] == f"Bearer {KEY}"
    assert KEY not in worker.output + another.output
    assert not another.has_loaded("libtorch")
