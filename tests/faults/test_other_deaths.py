"""Web processes, Valkey and the database, dead or away for a while."""

from __future__ import annotations

import asyncio

from tests.faults.awaited import told_as_recorded
from tests.faults.cluster import Cluster
from tests.faults.conftest import Ask
from tests.faults.reader import Reader
from tests.support.passing_time import stays


async def test_readers_of_a_killed_web_process_go_on_at_the_other(
    cluster: Cluster, ask: Ask
) -> None:
    await asyncio.to_thread(cluster.start_worker)
    first, second = cluster.urls
    urls = [first]
    with cluster.held_answers():
        running = [Reader(urls, "stop 150").start() for _ in range(cluster.cap)]
        for reader in running:
            await reader.words(10)
        waiting = Reader(urls, "stop 10").start()
        await waiting.accepted.wait()
        urls[:] = [second]
        await asyncio.to_thread(cluster.kill_web, 0)
    try:
        for reader in running:
            await told_as_recorded(cluster, reader, 150)
            assert reader.connections > 1
            assert reader.begun == 1
        await told_as_recorded(cluster, waiting, 10)
    finally:
        await asyncio.to_thread(cluster.start_web, 0)


async def test_a_killed_valkey_with_its_file_has_lost_nothing(cluster: Cluster, ask: Ask) -> None:
    await asyncio.to_thread(cluster.start_worker)
    running = [ask(cluster, "stop 200") for _ in range(cluster.cap)]
    for reader in running:
        await reader.words(10)
    waiting = [ask(cluster, "stop 10") for _ in range(6)]
    for reader in waiting:
        await reader.accepted.wait()
    await asyncio.to_thread(cluster.valkey.restart)
    late = ask(cluster, "stop 10")
    for reader in running:
        await told_as_recorded(cluster, reader, 200)
        assert reader.begun == 1
    for reader in (*waiting, late):
        await told_as_recorded(cluster, reader, 10)
        assert reader.begun == 1
    assert not await cluster.leaks()


async def test_prompts_asked_while_valkey_is_away_are_answered_later(
    cluster: Cluster, ask: Ask
) -> None:
    """And a worker that is started meanwhile waits for it."""
    cluster.valkey.kill()
    try:
        starting = asyncio.create_task(asyncio.to_thread(cluster.start_worker))
        readers = [ask(cluster, "stop 10") for _ in range(4)]
        await stays(lambda: not any(reader.done for reader in readers), 3)
    finally:
        await asyncio.to_thread(cluster.valkey.start)
    await starting
    for reader in readers:
        await told_as_recorded(cluster, reader, 10)


async def test_a_killed_valkey_without_a_file_is_filled_again(forgetful: Cluster, ask: Ask) -> None:
    """What ran begins anew, what waited is put back; nothing hangs, nothing doubles."""
    running = [ask(forgetful, "stop 300") for _ in range(forgetful.cap)]
    for reader in running:
        await reader.words(10)
    waiting = [ask(forgetful, "stop 10") for _ in range(6)]
    for reader in waiting:
        await reader.accepted.wait()
    await asyncio.to_thread(forgetful.valkey.restart)
    late = ask(forgetful, "stop 10")
    for reader in running:
        await told_as_recorded(forgetful, reader, 300)
    for reader in (*waiting, late):
        await told_as_recorded(forgetful, reader, 10)
    assert not await forgetful.leaks()


async def test_a_locked_database_is_waited_for(cluster: Cluster, ask: Ask) -> None:
    """Longer than a transaction waits by itself: answers end, prompts are claimed and asked."""
    worker = await asyncio.to_thread(cluster.start_worker)
    running = [ask(cluster, "stop 100") for _ in range(cluster.cap - 1)]
    endless = ask(cluster, "stop 1300")
    for reader in (*running, endless):
        await reader.words(10)
    waiting = [ask(cluster, "stop 10") for _ in range(4)]
    for reader in waiting:
        await reader.accepted.wait()
    with cluster.locked_database():
        late = ask(cluster, "stop 10")
        await asyncio.to_thread(worker.wait_for, "was not written; trying again")
    for reader in running:
        await told_as_recorded(cluster, reader, 100)
        assert cluster.row(reader.id).attempt == 1
    for reader in (*waiting, late):
        await told_as_recorded(cluster, reader, 10)
    await told_as_recorded(cluster, endless, 1300)
    assert cluster.row(endless.id).attempt == 1
    assert not await cluster.leaks()
