"""What an operator orders, and a worker and people make of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from streaming import conf
from streaming.delivery import queue_status
from streaming.lifecycle import ending, operating
from streaming.models import Response, Status
from streaming.sockets import load_updates, notices
from streaming.waiting_list import samples
from streaming.waiting_list.interface import Edge, Orders, WorkerRow, WorkerState
from streaming.worker.queue_worker import QueueWorker
from tests.integration.conftest import PATIENCE, ChatClient, eventually
from tests.support.endings import is_end
from tests.support.fake_engine import FakeEngine
from tests.support.passing_time import outlast, stays

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
async def three_rows(layer: Any, chatstream: Any) -> AsyncIterator[QueueWorker]:
    """A worker that runs one, whose engine could run three, and whose beat is a minute off."""
    chatstream(lease_seconds=180)
    worker = QueueWorker(FakeEngine(max_running=3, step_seconds=0.02), layer, 1)
    task = asyncio.create_task(worker.run())
    await asyncio.wait_for(worker.ready.wait(), PATIENCE)
    yield worker
    await worker.stop()
    await asyncio.wait_for(task, PATIENCE)


async def row_of(layer: Any) -> WorkerRow:
    (row,) = await layer.waiting_list.workers()
    return row


def runs(layer: Any, count: int) -> Callable[[], Awaitable[bool]]:
    async def looked() -> bool:
        return (await row_of(layer)).running == count

    return looked


async def test_a_cap_is_raised_and_lowered_live(
    three_rows: QueueWorker, layer: Any, client: Any
) -> None:
    chat = await client()
    for _ in range(5):
        await chat.ask("go", params={"max_tokens": 1000})
    await eventually(runs(layer, 1))
    assert (await row_of(layer)).details["rows"] == 3
    assert await operating.order_worker(layer, three_rows.worker_id, capacity=99) is True
    await eventually(runs(layer, 3))  # all its rows, and no more
    row = await row_of(layer)
    assert (row.capacity, row.orders) == (3, Orders(99, False))
    await operating.order_worker(layer, three_rows.worker_id, capacity=2)
    assert (await row_of(layer)).capacity == 2
    snapshot = await layer.waiting_list.snapshot()
    assert len(snapshot.running) == 3  # nobody is thrown out
    for entry in snapshot.running[:2]:
        await ending.cancel(layer, entry.response_id)
    await eventually(runs(layer, 2))
    ends = [event for event in chat.received if is_end(event)]
    assert [event["response"]["status"] for event in ends].count("failed") == 0
    assert await operating.order_worker(layer, "nobody", capacity=1) is False


async def test_a_drained_worker_finishes_stays_and_can_be_taken_back(
    three_rows: QueueWorker, layer: Any, client: Any
) -> None:
    chat = await client()
    running = await chat.ask("stop 60")
    await chat.until("response.output_text.delta")
    waiting = await chat.ask("stop 2")
    await operating.order_worker(layer, three_rows.worker_id, drain=True)
    done = await chat.end()
    assert (done["response_id"], done["status"]) == (running["response_id"], "completed")

    async def told() -> bool:
        return three_rows.state is WorkerState.DRAINING

    await eventually(told)
    is_queued = Response.objects.filter(pk=waiting["response_id"], status=Status.QUEUED).aexists
    await stays(is_queued, 1.2)  # longer than the worker's poll
    row = await row_of(layer)
    assert (row.state, row.running) == (WorkerState.DRAINING, 0)
    await chat.send("response.create", input="stop 1")
    error = await chat.until("error")
    assert error["code"] == "unavailable"
    assert "that takes prompts" in error["message"]  # one is running
    places = [event for event in chat.received if event["type"] == "chatstream:queue_position"]
    assert places[-1]["response_id"] == waiting["response_id"]
    assert (places[-1]["service"], places[-1]["position"]) == ("draining", 1)  # not "away"
    await operating.order_worker(layer, three_rows.worker_id, drain=False)
    done = await chat.end()
    assert (done["response_id"], done["status"]) == (waiting["response_id"], "completed")
    assert (await row_of(layer)).state is WorkerState.READY


async def test_a_moved_prompt_is_next(three_rows: QueueWorker, layer: Any, client: Any) -> None:
    chat = await client()
    first = await chat.ask("stop 30")
    await chat.until("response.in_progress")
    asked = [(await chat.ask("stop 2"))["response_id"] for _ in range(3)]
    assert await layer.waiting_list.move(asked[2], Edge.FRONT) is True
    place = await chat.until("chatstream:queue_position", response_id=asked[2])
    assert place["position"] == 1
    ended = [(await chat.end())["response_id"] for _ in range(4)]
    assert ended == [first["response_id"], asked[2], asked[0], asked[1]]


async def test_people_read_why_the_queue_is_closed(
    three_rows: QueueWorker, layer: Any, client: Any
) -> None:
    chat, idle = await client(), await client()
    assert chat.received[0]["notice"] is None
    running = await chat.ask("stop 20")
    await layer.waiting_list.close("We move house. Back at noon.")
    await chat.send("response.create", input="stop 1", event_id="mine")
    error = await chat.until("error")
    assert (error["code"], error["event_id"]) == ("queue_closed", "mine")
    assert error["message"] == "We move house. Back at noon."
    assert await Response.objects.acount() == 1
    done = await chat.end()
    assert (done["response_id"], done["status"]) == (running["response_id"], "completed")
    late = ChatClient()

    async def greeted() -> bool:
        nonlocal late
        late = ChatClient()
        created = await late.connect()
        await late.leave()
        return created["notice"] == "We move house. Back at noon."

    await eventually(greeted)
    await idle.until("chatstream:session_updated", notice="We move house. Back at noon.")  # unasked
    await layer.waiting_list.reopen()
    for each in (chat, idle):
        await each.until("chatstream:session_updated", notice=None)
    await chat.ask("stop 1")
    assert (await chat.end())["status"] == "completed"


async def test_people_see_the_load_before_they_ask(
    three_rows: QueueWorker, layer: Any, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(load_updates, "POLL_SECONDS", 0.01)
    monkeypatch.setattr(load_updates, "LEAST_SECONDS", 0.0)
    monkeypatch.setattr(queue_status, "LOAD_FRESH_SECONDS", 0.0)
    chat, idle = await client(), await client()
    load = chat.received[0]["load"]
    assert (load["waiting"], load["running"]) == (0, 0)
    assert load["eta_seconds"] == load["eta_low_seconds"] == load["eta_high_seconds"] == 0
    queued = await chat.ask("stop 30")
    assert queued["kept_seconds"] == conf.get().disconnect_grace
    await chat.until("response.in_progress")
    await chat.ask("stop 1")
    while (event := await idle.until("chatstream:load"))["load"]["waiting"] != 1:
        pass
    assert event["service"] == "ready"
    assert event["load"]["running"] == event["load"]["capacity"] == 1
    await layer.waiting_list.pause()
    while (await idle.until("chatstream:load"))["service"] != "paused":
        pass
    await layer.waiting_list.unpause()


async def test_a_list_that_cannot_be_asked_is_asked_again(
    layer: Any, client: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(notices, "POLL_SECONDS", 0.01)
    asked: list[bool] = []

    async def away() -> str | None:
        asked.append(True)
        raise ConnectionError("away")

    chat = await client()
    with monkeypatch.context() as broken:
        broken.setattr(layer.waiting_list, "closed", away)

        async def often() -> bool:
            return len(asked) > 5

        await eventually(often)
    await layer.waiting_list.close("Back at noon.")
    await chat.until("chatstream:session_updated", notice="Back at noon.")
    said = [record for record in caplog.records if "queue is closed could not" in record.message]
    assert len(said) == 1  # however often


async def test_the_worker_takes_samples(
    three_rows: QueueWorker, layer: Any, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    chat = await client()
    await chat.ask("stop 7")
    await chat.end()

    async def sampled() -> list[samples.Sample]:
        return await samples.read(layer.waiting_list)

    (first,) = await eventually(sampled)
    assert (first.seconds, first.workers, first.capacity) == (0, 1, 1)
    monkeypatch.setattr(samples, "SAMPLE_SECONDS", 0)  # the last one is old enough
    assert await samples.take_in_turn(layer.waiting_list, three_rows.worker_id) is True
    second = (await sampled())[-1]
    assert (second.accepted_in_all, second.tokens) == (1, 7)
    assert second.accepted == 1 - first.accepted_in_all


async def test_a_cancel_is_quick_after_the_memberships_of_groups_have_run_out(
    three_rows: QueueWorker, layer: Any, client: Any
) -> None:
    """The next renewal of the lease, which would tell the worker as well, is a minute off."""
    layer.group_expiry = 0.5
    chat = await client()
    queued = await chat.ask("go", params={"max_tokens": 1000})
    await chat.until("response.output_text.delta")
    await outlast(1, "the memberships of groups")
    layer._clean_at = 0.0  # its turn has come
    await layer.group_send("nobody", {"type": "test"})
    await chat.send("response.cancel", response_id=queued["response_id"])
    async with asyncio.timeout(20):
        done = await chat.end()
    assert done["status"] == "cancelled"
