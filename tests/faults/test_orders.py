"""An operator's orders reach worker processes, and hold where they are not heard."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from streaming.lifecycle import operating
from streaming.waiting_list.channel_layers import RedisChannelLayer
from streaming.waiting_list.interface import Orders, WorkerState
from tests.faults.awaited import whole_answer
from tests.faults.cluster import PATIENCE, Cluster
from tests.faults.conftest import Ask

ONE_BEAT = {"CHATSTREAM_LEASE_SECONDS": "600"}
"""So that the next heartbeat comes after all patience has ended."""


@pytest.fixture
async def layer(cluster: Cluster) -> AsyncIterator[RedisChannelLayer]:
    """As another process has it."""
    layer = RedisChannelLayer([cluster.valkey.url], prefix="chatstream")
    yield layer
    for row in await layer.waiting_list.workers():  # they would live on for long in the list
        await layer.waiting_list.retire(row.worker_id)
    await layer.flush()


async def running(layer: RedisChannelLayer, count: int) -> None:
    """Wait until so many run."""
    async with asyncio.timeout(PATIENCE):
        while (await layer.waiting_list.counters()).running != count:
            await asyncio.sleep(0.05)


async def test_a_worker_hears_its_orders_at_once(
    cluster: Cluster, layer: RedisChannelLayer, ask: Ask
) -> None:
    process = await asyncio.to_thread(cluster.start_worker, **ONE_BEAT)
    (row,) = await layer.waiting_list.workers()
    await operating.order_worker(layer, row.worker_id, capacity=1)
    await asyncio.to_thread(process.wait_for, "is ordered to run up to 1\\.")
    with cluster.held_answers():
        readers = [ask(cluster, "stop 100") for _ in range(3)]
        for reader in readers:
            await reader.accepted.wait()
        await running(layer, 1)
        await operating.order_worker(layer, row.worker_id, capacity=4, drain=True)
        await asyncio.to_thread(process.wait_for, "up to 4 and to claim nothing")
    await running(layer, 0)  # the one has finished, the others wait
    (row,) = await layer.waiting_list.workers()
    assert (row.state, row.orders) == (WorkerState.DRAINING, Orders(4, True))
    assert (await layer.waiting_list.counters()).waiting == 2
    await operating.order_worker(layer, row.worker_id, drain=False)
    for reader in readers:
        await whole_answer(reader, 100)
    assert not await cluster.leaks()


async def test_an_order_holds_for_a_worker_that_does_not_hear_it(
    cluster: Cluster, layer: RedisChannelLayer, ask: Ask
) -> None:
    process = await asyncio.to_thread(cluster.start_worker, **ONE_BEAT)
    (row,) = await layer.waiting_list.workers()
    process.pause()
    try:
        await operating.order_worker(layer, row.worker_id, capacity=1)
        readers = [ask(cluster, "stop 60") for _ in range(3)]
        for reader in readers:
            await reader.accepted.wait()
        (row,) = await layer.waiting_list.workers()
        assert (row.capacity, row.orders) == (1, Orders(1, False))
    finally:
        process.resume()
    most = 0
    while (counters := await layer.waiting_list.counters()).running + counters.waiting:
        most = max(most, counters.running)
        await asyncio.sleep(0.02)
    assert most == 1
    for reader in readers:
        await whole_answer(reader, 60)
