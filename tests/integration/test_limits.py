"""Time limits, faults of single responses, and the worker's own ends."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from streaming.lifecycle import reconciler
from streaming.models import Response, Status
from streaming.worker.queue_worker import QueueWorker
from tests.integration.conftest import PATIENCE, ChatClient, eventually
from tests.integration.http import open_chat
from tests.support.fake_engine import FakeEngine, words
from tests.support.passing_time import stays

pytestmark = pytest.mark.django_db(transaction=True)


async def test_waiting_too_long_fails_with_the_reason(
    start_worker: Any, client: Any, chatstream: Any
) -> None:
    chatstream(queue_timeout=0.4)
    await start_worker(FakeEngine(max_running=1, step_seconds=0.05))  # a minute: it is in the way
    chat = await client()
    first = await chat.ask("go", params={"max_tokens": 1000})
    held = await chat.ask("stop 1", conversation_id=first["conversation_id"])
    waiting = await chat.ask("stop 1")
    ends = {}
    while len(ends) < 2:
        done = await chat.end()
        ends[done["response_id"]] = done
    assert ends.keys() == {held["response_id"], waiting["response_id"]}
    for done in ends.values():
        assert (done["status"], done["error"]["code"]) == ("failed", "queue_timeout")
    assert (await Response.objects.aget(pk=first["response_id"])).status == Status.IN_PROGRESS


async def test_generating_too_long_keeps_what_was_said(
    start_worker: Any, client: Any, chatstream: Any
) -> None:
    chatstream(generation_timeout=0.4)
    engine = FakeEngine(max_running=1)
    await start_worker(engine)
    chat = await client()
    await chat.ask("go", params={"max_tokens": 1000})
    done = await chat.end()
    assert (done["status"], done["error"]["code"]) == ("failed", "generation_timeout")
    assert done["text"]
    assert "".join(words(1000)).startswith(done["text"])
    assert not engine.rows


async def test_a_row_that_cannot_be_served_does_not_hold_up_the_queue(
    start_worker: Any, client: Any, layer: Any
) -> None:
    worker = await start_worker(FakeEngine(max_running=1))
    chat = await client()
    await chat.ask("go", params={"max_tokens": 60})
    broken = await chat.ask("stop 1")
    good = await chat.ask("stop 1")
    await Response.objects.filter(pk=broken["response_id"]).aupdate(params={"nonsense": 1})
    done = [await chat.end() for _ in range(3)]
    by_id = {event["response_id"]: event for event in done}
    assert by_id[broken["response_id"]]["error"]["code"] == "internal_error"
    assert by_id[good["response_id"]]["status"] == "completed"
    assert worker.ready.is_set()


async def test_a_dead_engine_ends_the_worker_and_loses_nothing(layer: Any, client: Any) -> None:
    engine = FakeEngine(max_running=1, step_seconds=0.02)
    worker = QueueWorker(engine, layer, 1)
    task = asyncio.create_task(worker.run())
    await asyncio.wait_for(worker.ready.wait(), PATIENCE)
    chat = await client()
    await chat.ask("stop 150")
    await chat.until("response.output_text.delta")
    engine.die()
    with pytest.raises(RuntimeError, match="engine"):
        await asyncio.wait_for(task, PATIENCE)
    second = QueueWorker(FakeEngine(max_running=1), layer, 1)
    task = asyncio.create_task(second.run())
    done = await chat.end()
    assert done["status"] == "completed"
    assert done["text"] == "".join(words(150))
    assert "".join(e["delta"] for e in chat.received if "delta" in e) == done["text"]
    await second.stop()
    await task


async def test_a_drained_worker_finishes_and_then_claims_no_more(layer: Any, client: Any) -> None:
    worker = QueueWorker(FakeEngine(max_running=1), layer, 1)
    task = asyncio.create_task(worker.run())
    await asyncio.wait_for(worker.ready.wait(), PATIENCE)
    chat = await client()
    running = await chat.ask("stop 40")
    waiting = await chat.ask("stop 2")
    await chat.until("response.output_text.delta")
    await worker.stop(drain_seconds=PATIENCE)
    await asyncio.wait_for(task, PATIENCE)
    done = await chat.end()
    assert (done["response_id"], done["status"]) == (running["response_id"], "completed")
    assert (await Response.objects.aget(pk=waiting["response_id"])).status == Status.QUEUED


async def test_a_place_whose_first_reply_was_lost_is_recorded(
    layer: Any, start_worker: Any, client: Any, monkeypatch: Any
) -> None:
    await start_worker(FakeEngine())
    await layer.waiting_list.pause()
    enqueue = layer.waiting_list.enqueue

    async def asked_twice(*args: Any) -> Any:
        await enqueue(*args)
        return await enqueue(*args)

    async def left_alone(_: Any) -> None:
        pass

    monkeypatch.setattr(layer.waiting_list, "enqueue", asked_twice)
    monkeypatch.setattr(reconciler, "reconcile", left_alone)
    asked = [await (await client()).ask("stop 1"), await open_chat("stop 1", stream=True)]

    async def recorded() -> bool:
        return await Response.objects.filter(status=Status.QUEUED).acount() == len(asked)

    await eventually(recorded)
    await layer.waiting_list.unpause()


async def test_pause_holds_claims_and_unpause_releases_them(
    start_worker: Any, client: Any, layer: Any
) -> None:
    await start_worker(FakeEngine(max_running=1))
    await layer.waiting_list.pause()
    chat = await client()
    queued = await chat.ask("stop 1")
    assert queued["position"] == 1
    is_queued = Response.objects.filter(pk=queued["response_id"], status=Status.QUEUED).aexists
    await stays(is_queued, 1.2)  # longer than the worker's poll
    await layer.waiting_list.unpause()
    assert (await chat.end())["status"] == "completed"


async def test_an_eta_is_told_once_something_was_measured(start_worker: Any, client: Any) -> None:
    await start_worker(FakeEngine(max_running=1, step_seconds=0.02))
    chat = await client()
    assert (await chat.ask("stop 20"))["eta_seconds"] is None
    await chat.end()
    await chat.ask("stop 1000", params={"max_tokens": 1000})
    event = await chat.ask("stop 1")
    while event["eta_seconds"] is None:
        event = await chat.until("chatstream:queue_position")
    assert event["eta_seconds"] >= 0


async def test_a_layer_that_is_away_is_said_so(layer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    async def away() -> None:
        raise ConnectionError("gone")

    monkeypatch.setattr(layer.waiting_list, "workers", away)
    chat = ChatClient()
    assert (await chat.connect())["code"] == "unavailable"
    assert await chat.close_code() == 4503
