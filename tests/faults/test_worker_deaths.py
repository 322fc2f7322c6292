"""Workers that are killed, stopped, paused and drained while they answer."""

from __future__ import annotations

import asyncio
import signal

from streaming.waiting_list.interface import WorkerState
from tests.faults.awaited import ended, eventually, whole_answer
from tests.faults.cluster import PATIENCE, Cluster
from tests.faults.conftest import Ask
from tests.support.fake_engine import words
from tests.support.passing_time import outlast
from tests.support.processes import ManagedProcess


async def drains(cluster: Cluster, worker: ManagedProcess) -> None:
    """Wait until it has heard that it is to end."""
    async with asyncio.timeout(PATIENCE), cluster.waiting_list() as waiting_list:
        while not any(
            row.worker_id.split(":")[-2] == str(worker.process.pid)
            and row.state is WorkerState.DRAINING
            for row in await waiting_list.workers()
        ):
            await asyncio.sleep(0.05)


async def test_another_worker_goes_on_where_the_killed_one_was(cluster: Cluster, ask: Ask) -> None:
    first = await asyncio.to_thread(cluster.start_worker)
    with cluster.held_answers():
        readers = [ask(cluster, "stop 250") for _ in range(4)]
        for reader in readers:
            await reader.words(20)
        second = await asyncio.to_thread(cluster.start_worker)
        cluster.kill_worker(first)
    for reader in readers:
        await whole_answer(reader, 250)
        assert cluster.row(reader.id).attempt >= 2
        assert cluster.words_by(second, reader.id) < 250  # it did not begin again


async def test_the_restarted_worker_goes_on(cluster: Cluster, ask: Ask) -> None:
    first = await asyncio.to_thread(cluster.start_worker)
    reader = ask(cluster, "stop 150")
    await reader.words(20)
    cluster.kill_worker(first)
    await asyncio.to_thread(cluster.start_worker)
    await whole_answer(reader, 150)


async def test_a_worker_paused_past_its_lease_says_nothing_more(cluster: Cluster, ask: Ask) -> None:
    paused = await asyncio.to_thread(cluster.start_worker)
    with cluster.held_answers():
        reader = ask(cluster, "stop 500")
        await reader.words(20)
        other = await asyncio.to_thread(cluster.start_worker)
        assert await cluster.runner(reader.id) is paused
        paused.pause()
    try:
        await eventually(lambda: cluster.words_by(other, reader.id) > 0)
    finally:
        paused.resume()
    await asyncio.to_thread(paused.wait_for, f"The lease of {reader.id} was lost")
    steps = cluster.words_by(paused, reader.id)
    await whole_answer(reader, 500)
    assert cluster.words_by(paused, reader.id) < steps + 50  # its engine was stopped, too
    row = cluster.row(reader.id)
    assert (row.status, row.text, row.attempt) == ("completed", reader.text, 2)


async def test_a_paused_worker_takes_its_own_answer_up_again(cluster: Cluster, ask: Ask) -> None:
    """What its engine says until it has noticed the loss belongs to nobody, however long the
    record (locked here) takes to begin the new attempt."""
    worker = await asyncio.to_thread(cluster.start_worker, FAKE_CANCEL_SECONDS="1")
    with cluster.held_answers():
        readers = [ask(cluster, "stop 200") for _ in range(cluster.cap)]
        for reader in readers:
            await reader.words(20)
        worker.pause()
    await outlast(1.5 * cluster.lease_seconds, "the lease")
    with cluster.locked_database():
        worker.resume()
        await outlast(2.5, "the time the engine takes to cancel")
    for reader in readers:
        await whole_answer(reader, 200)
        assert cluster.row(reader.id).attempt == 2


async def test_three_lost_workers_are_enough(cluster: Cluster, ask: Ask) -> None:
    starts = [
        asyncio.to_thread(cluster.start_worker, CHATSTREAM_LEASE_SECONDS="1.5") for _ in range(4)
    ]
    await asyncio.gather(*starts)
    reader = ask(cluster, "stop 2000")
    for attempt in range(1, 4):
        await reader.words(20 * attempt)
        cluster.kill_worker(await cluster.runner(reader.id))
    done = await reader.end()
    assert (done["status"], done["error"]["code"]) == ("failed", "worker_lost")
    assert done["text"] == reader.text
    assert "".join(words(2000)).startswith(reader.text)
    assert reader.text.count(" ") >= 60
    assert reader.begun == 1
    row = cluster.row(reader.id)
    assert (row.status, row.error_code, row.text) == ("failed", "worker_lost", reader.text)


async def test_a_draining_worker_finishes_what_runs_and_claims_nothing(
    cluster: Cluster, ask: Ask
) -> None:
    draining = await asyncio.to_thread(cluster.start_worker, CHATSTREAM_DRAIN_SECONDS="60")
    with cluster.held_answers():
        running = [ask(cluster, "stop 150") for _ in range(cluster.cap)]
        for reader in running:
            await reader.words(1)
        waiting = [ask(cluster, "stop 5") for _ in range(2)]
        for reader in waiting:
            await reader.accepted.wait()
        draining.process.send_signal(signal.SIGTERM)
        await drains(cluster, draining)
    for reader in running:
        await whole_answer(reader, 150)
        assert cluster.words_by(draining, reader.id) >= 150
    assert await ended(draining) == 0
    assert all(reader.done is None for reader in waiting)
    await asyncio.to_thread(cluster.start_worker)
    for reader in waiting:
        await whole_answer(reader, 5)
        assert cluster.words_by(draining, reader.id) == 0


async def test_without_time_to_drain_another_worker_goes_on(cluster: Cluster, ask: Ask) -> None:
    ending = await asyncio.to_thread(cluster.start_worker, CHATSTREAM_DRAIN_SECONDS="0")
    with cluster.held_answers():
        readers = [ask(cluster, "stop 250") for _ in range(cluster.cap)]
        for reader in readers:
            await reader.words(20)
        other = await asyncio.to_thread(cluster.start_worker)
        ending.process.send_signal(signal.SIGTERM)
        assert await ended(ending) == 0
    for reader in readers:
        await whole_answer(reader, 250)
        assert cluster.row(reader.id).attempt == 1  # given back, not lost
        assert 0 < cluster.words_by(other, reader.id) < 250


async def test_a_worker_whose_engine_dies_ends_and_another_one_goes_on(
    cluster: Cluster, ask: Ask
) -> None:
    dying = await asyncio.to_thread(cluster.start_worker)
    bystander = ask(cluster, "stop 250")
    reader = ask(cluster, "die 15", max_tokens=60)
    assert await ended(dying) != 0
    assert "The engine's thread has died" in dying.output
    await asyncio.to_thread(cluster.start_worker)
    done = await reader.end()
    assert (done["status"], done["text"]) == ("incomplete", "".join(words(60)))
    assert reader.text == done["text"]
    await whole_answer(bystander, 250)


async def test_a_cancel_at_the_moment_of_the_claim(cluster: Cluster, ask: Ask) -> None:
    """Each ends as cancelled, or as completed if the answer came first; no place is lost."""
    worker = await asyncio.to_thread(cluster.start_worker)

    async def race(number: int) -> None:
        reader = ask(cluster, "stop 400")
        await reader.accepted.wait()
        await asyncio.sleep(number % 10 / 500)
        await reader.cancel()
        done = await reader.end()
        row = cluster.row(reader.id)
        assert (done["status"], row.status) == ("cancelled", "cancelled")
        assert reader.text == done["text"] == row.text
        assert "".join(words(400)).startswith(row.text)

    for start in range(0, 80, cluster.cap):
        await asyncio.gather(*(race(number) for number in range(start, start + cluster.cap)))
    readers = [ask(cluster, "stop 100") for _ in range(cluster.cap)]
    for reader in readers:
        await whole_answer(reader, 100)
    last = cluster.steps()[worker.process.pid][-50]
    assert set(last.ids) == {reader.id for reader in readers}  # all at once: every place is free
    assert not await cluster.leaks()
