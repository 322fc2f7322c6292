"""The master behind Sentinels dies, hangs, or is changed on purpose, while people read and wait."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from redis import Redis

from tests.faults.awaited import told_as_recorded
from tests.faults.cluster import Cluster
from tests.faults.conftest import Ask
from tests.faults.reader import Reader
from tests.support.passing_time import outlast
from tests.support.sentinels import MASTER, Sentinels, start_or_skip


@pytest.fixture
def sentinels() -> Iterator[Sentinels]:
    started = start_or_skip()
    yield started
    started.stop()


@pytest.fixture
def watched(tmp_path: Path, sentinels: Sentinels) -> Iterator[Cluster]:
    """A web process and a worker that know the master by its Sentinels alone."""
    cluster = Cluster(tmp_path, cast("Any", sentinels), webs=1)
    try:
        yield cluster.start(workers=1)
    finally:
        cluster.stop()


async def all_are_answered(
    cluster: Cluster, ask: Ask, change_master: Callable[[], Awaitable[None]]
) -> list[Reader]:
    """Of those who read, those who wait, and those who ask while there is no master."""
    running = [ask(cluster, "stop 400") for _ in range(cluster.cap)]
    for reader in running:
        await reader.words(10)
    waiting = [ask(cluster, "stop 10") for _ in range(6)]
    for reader in waiting:
        await reader.accepted.wait()
    changing = asyncio.create_task(change_master())
    await outlast(0.5, "the first half of a change of masters")
    late = [ask(cluster, "stop 10") for _ in range(3)]
    await changing
    for reader in running:
        await told_as_recorded(cluster, reader, 400)
    for reader in (*waiting, *late):
        await told_as_recorded(cluster, reader, 10)
    assert all(web.process.poll() is None for web in cluster.webs if web)
    assert all(worker.process.poll() is None for worker in cluster.workers)
    return running


async def test_the_master_is_killed(watched: Cluster, sentinels: Sentinels, ask: Ask) -> None:
    async def kill() -> None:
        await asyncio.to_thread(sentinels.master.kill)
        await asyncio.to_thread(sentinels.wait_for_failover)

    await all_are_answered(watched, ask, kill)


async def test_the_master_hangs(watched: Cluster, sentinels: Sentinels, ask: Ask) -> None:
    """No connection to it breaks. Later it is back, as a replica."""

    async def hang() -> None:
        sentinels.master.signal(signal.SIGSTOP)
        await asyncio.to_thread(sentinels.wait_for_failover)

    try:
        await all_are_answered(watched, ask, hang)
        # Who listens has left it, too: what is said is heard, not only looked up.
        with Redis(port=sentinels.replica.port, password=sentinels.PASSWORD) as master:
            async with asyncio.timeout(60):
                while not master.pubsub_numsub("chatstream__group__workers")[0][1]:
                    await asyncio.sleep(0.2)
    finally:
        sentinels.master.signal(signal.SIGCONT)
    with Redis(port=sentinels.master.port, password=sentinels.PASSWORD) as former:
        async with asyncio.timeout(60):
            while former.info("replication")["role"] != "slave":
                await asyncio.sleep(0.2)
    await told_as_recorded(watched, ask(watched, "stop 10"), 10)


async def test_the_master_is_changed_on_purpose(
    watched: Cluster, sentinels: Sentinels, ask: Ask
) -> None:
    async def change() -> None:
        with Redis(port=sentinels.ports[0], password=sentinels.SENTINEL_PASSWORD) as sentinel:
            sentinel.execute_command("SENTINEL", "FAILOVER", MASTER)
        await asyncio.to_thread(sentinels.wait_for_failover)

    await all_are_answered(watched, ask, change)
