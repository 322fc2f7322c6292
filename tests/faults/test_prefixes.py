"""The next turn of a conversation goes to the worker process that answered the last one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from streaming.waiting_list.interface import WaitingList
from tests.faults.awaited import whole_answer
from tests.faults.cluster import Cluster
from tests.faults.conftest import Ask
from tests.faults.reader import Reader
from tests.support.processes import ManagedProcess

ONE = {"CHATSTREAM_MAX_RUNNING": "1", "FAKE_PREFIXES": "8"}
PATIENT = {**ONE, "DJANGO_SETTINGS_MODULE": "tests.support.patient_settings"}
"""Longer left than any test lasts: what is answered was not left, or its worker came."""
LONG_ALIVE = {**ONE, "CHATSTREAM_LEASE_SECONDS": "600"}
"""A worker that is killed seems alive for longer than any test lasts."""


@pytest.fixture
async def waiting_list(cluster: Cluster) -> AsyncIterator[WaitingList]:
    async with cluster.waiting_list() as waiting_list:
        yield waiting_list
        for row in await waiting_list.workers():  # they would live on for long in the list
            await waiting_list.retire(row.worker_id)


async def two(cluster: Cluster, env: dict[str, str]) -> None:
    await asyncio.gather(*(asyncio.to_thread(cluster.start_worker, **env) for _ in range(2)))


def by(cluster: Cluster, reader: Reader) -> ManagedProcess:
    """The one worker that answered."""
    (worker,) = [worker for worker in cluster.workers if cluster.words_by(worker, reader.id)]
    return worker


def other(cluster: Cluster, worker: ManagedProcess) -> ManagedProcess:
    (found,) = [known for known in cluster.workers if known is not worker]
    return found


async def name_of(waiting_list: WaitingList, worker: ManagedProcess) -> str:
    (name,) = [
        row.worker_id
        for row in await waiting_list.workers()
        if row.worker_id.split(":")[-2] == str(worker.process.pid)
    ]
    return name


async def turn(ask: Ask, cluster: Cluster, before: Reader | None = None) -> Reader:
    """One whole turn, of the conversation of the one before."""
    fields = {"token": before.token, "conversation": before.conversation} if before else {}
    reader = ask(cluster, "stop 5", **fields)
    await whole_answer(reader, 5)
    assert not before or reader.conversation == before.conversation
    return reader


async def test_all_turns_of_a_conversation_on_one_worker(
    cluster: Cluster, waiting_list: WaitingList, ask: Ask
) -> None:
    await two(cluster, PATIENT)
    readers = [await turn(ask, cluster)]
    for _ in range(7):
        readers.append(await turn(ask, cluster, readers[-1]))
    assert {by(cluster, reader) for reader in readers} == {by(cluster, readers[0])}
    assert not await cluster.leaks()


async def test_a_worker_that_is_full_is_not_waited_for(
    cluster: Cluster, waiting_list: WaitingList, ask: Ask
) -> None:
    await two(cluster, PATIENT)
    first = await turn(ask, cluster)
    holder = by(cluster, first)
    idle = other(cluster, holder)
    name = await name_of(waiting_list, idle)
    await waiting_list.pause(name)
    with cluster.held_answers():
        filling = ask(cluster, "stop 100")
        assert await cluster.runner(filling.id) is holder
        await waiting_list.unpause(name)
        second = ask(cluster, "stop 5", token=first.token, conversation=first.conversation)
        assert await cluster.runner(second.id) is idle
    await whole_answer(second, 5)
    await whole_answer(filling, 100)
    # Which has answered the last turn now:
    assert by(cluster, await turn(ask, cluster, second)) is idle


async def test_a_killed_worker_is_not_waited_for_long(
    cluster: Cluster, waiting_list: WaitingList, ask: Ask
) -> None:
    await two(cluster, LONG_ALIVE)
    first = await turn(ask, cluster)
    holder = by(cluster, first)
    idle = other(cluster, holder)
    cluster.kill_worker(holder)
    assert len(await waiting_list.workers()) == 2  # the list does not know yet
    assert by(cluster, await turn(ask, cluster, first)) is idle
