"""Many prompts at once: they begin together, and what goes wrong with one is its own."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any
from uuid import uuid4

import pytest
from channels.db import database_sync_to_async
from django.db import OperationalError

from streaming.lifecycle import doorbell, ending
from streaming.lifecycle.arrivals import Arrivals
from streaming.models import Response, Status
from streaming.record import creation, starts
from streaming.waiting_list.interface import State, group_name
from streaming.worker import claiming, publishing
from tests.integration.conftest import ChatClient
from tests.support.fake_engine import FakeEngine
from tests.support.passing_time import outlast

pytestmark = pytest.mark.django_db(transaction=True)

CROWD = 20


@pytest.fixture(autouse=True)
def no_bounds(chatstream: Any) -> None:
    chatstream(max_per_owner=0, max_per_address=0)


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many responses each visit to the database began."""
    visits: list[int] = []
    begin: Callable[..., Any] = starts.start_all

    async def noted(worker_id: str, claimed: Any, *how: Any) -> Any:
        visits.append(len(claimed))
        return await begin(worker_id, claimed, *how)

    monkeypatch.setattr(starts, "start_all", noted)
    return visits


@pytest.fixture
def crowd(client: Any, layer: Any, start_worker: Any) -> Callable[..., Any]:
    """So many clients, each with a prompt that waits, in this order, and with an engine that may
    begin now."""

    async def gather(engine: FakeEngine, count: int) -> list[tuple[ChatClient, str]]:
        await layer.waiting_list.pause()
        await start_worker(engine)
        asked = []
        for _ in range(count):
            chat = await client()
            asked.append((chat, (await chat.ask("stop 2"))["response_id"]))
        return asked

    return gather


@pytest.fixture
def let_go(layer: Any) -> Callable[[], Awaitable[None]]:
    async def unpause() -> None:
        await layer.waiting_list.unpause()
        await doorbell.ring(layer)

    return unpause


async def test_a_crowd_begins_together_in_its_order(
    crowd: Any, let_go: Any, begun: list[int]
) -> None:
    engine = FakeEngine(max_running=CROWD)
    submitted: list[str] = []
    submit = engine.submit
    engine.submit = lambda request: (submitted.append(request.response_id), submit(request))[1]  # type: ignore[method-assign]
    asked = await crowd(engine, CROWD)
    await let_go()
    for chat, _ in asked:
        assert (await chat.end())["status"] == "completed"
    assert submitted == [response_id for _, response_id in asked]
    assert begun == [16, 4]


async def test_those_that_find_the_list_full_cost_no_writing(
    client: Any, start_worker: Any, chatstream: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    chatstream(max_waiting=0, max_per_owner=0, max_per_address=0)
    await start_worker(FakeEngine(max_running=1))
    chat = await client()
    greeting = chat.received[0]
    accepted = await chat.ask("go", params={"max_tokens": 1000})
    written: list[object] = []
    create = creation.create

    async def noted(*args: Any, **kwargs: Any) -> Any:
        written.append(args)
        return await create(*args, **kwargs)

    monkeypatch.setattr(creation, "create", noted)
    crowd = [await client() for _ in range(5)]
    for other in crowd:
        await other.send("response.create", input="hello", response_id=str(uuid4()))
        assert (await other.until("error"))["code"] == "queue_full"
    assert not written
    # One that has its place is known all the same.
    again = await client()
    await again.send("chatstream:session", session_token=greeting["session_token"])
    await again.until("chatstream:session")
    await again.send("response.create", input="go", response_id=accepted["response_id"])
    assert (await again.until("response.queued"))["response_id"] == accepted["response_id"]


async def test_no_more_begin_than_there_are_places(
    crowd: Any, let_go: Any, begun: list[int]
) -> None:
    engine = FakeEngine(max_running=2)
    asked = await crowd(engine, 5)
    await let_go()
    for chat, _ in asked:
        assert (await chat.end())["status"] == "completed"
    assert engine.most_running == 2
    assert begun[0] == 2
    assert sum(begun) == 5


@pytest.fixture
def accepted(client: Any) -> Callable[..., Any]:
    """So many clients, each with a prompt that has its place."""

    async def ask_all(count: int) -> list[ChatClient]:
        chats = [await client() for _ in range(count)]
        for chat in chats:
            await chat.ask("stop 2")
        return chats

    return ask_all


async def test_an_idle_engine_waits_for_prompts_that_are_being_written(
    start_worker: Any,
    accepted: Any,
    begun: list[int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(claiming, "_CROWD_SECONDS", 30)
    await start_worker(FakeEngine(max_running=CROWD))
    async with Arrivals.here().writing():
        chats = await accepted(3)
        assert begun == []
    for chat in chats:
        await chat.end()
    assert begun == [3]


async def test_it_does_not_wait_for_ever(
    start_worker: Any, accepted: Any, begun: list[int]
) -> None:
    await start_worker(FakeEngine(max_running=CROWD))
    async with Arrivals.here().writing():
        for chat in await accepted(2):
            await chat.end()
    assert sum(begun) == 2


async def test_an_engine_that_runs_waits_for_nobody(
    client: Any,
    start_worker: Any,
    accepted: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(claiming, "_CROWD_SECONDS", 30)
    await start_worker(FakeEngine(max_running=CROWD))
    first = await client()
    await first.ask("hello", params={"max_tokens": 500})
    await first.until("response.in_progress")
    async with Arrivals.here().writing():
        [chat] = await accepted(1)
        await chat.end()


async def test_one_that_cannot_be_served_fails_alone(
    crowd: Any, let_go: Any, begun: list[int]
) -> None:
    asked = await crowd(FakeEngine(max_running=4), 4)
    broken = asked[1][1]
    await Response.objects.filter(pk=broken).aupdate(params={})
    await let_go()
    ends = {response_id: await chat.end() for chat, response_id in asked}
    statuses = [ends[response_id]["status"] for _, response_id in asked]
    assert statuses == ["completed", "failed", "completed", "completed"]
    assert ends[broken]["error"]["message"] == "This prompt cannot be answered."
    assert begun[0] == 4


async def test_when_the_database_goes_away_half_way_the_rest_keep_their_places(
    crowd: Any, let_go: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin = starts._start
    calls: list[list[str]] = []

    def away_at_first(worker_id: str, claimed: Any, *how: Any) -> Any:
        calls.append([response_id for response_id, _ in claimed])
        if len(calls) in (1, 4, 5):
            raise OperationalError("the server closed the connection")
        return begin(worker_id, claimed, *how)

    monkeypatch.setattr(starts, "_start", away_at_first)
    asked = await crowd(FakeEngine(max_running=4), 4)
    await let_go()
    for chat, _ in asked:
        assert (await chat.end())["status"] == "completed"
    ids = [response_id for _, response_id in asked]
    # All together, each for itself, and the two that failed once more, in their order.
    assert calls == [ids, *([each] for each in ids), ids[2:]]
    rows = Response.objects.filter(pk__in=ids)
    attempts = await database_sync_to_async(lambda: set(rows.values_list("attempt", flat=True)))()
    assert attempts == {1}


async def test_each_begins_with_its_own_attempt(crowd: Any) -> None:
    asked = await crowd(FakeEngine(max_running=3), 3)
    ids = [response_id for _, response_id in asked]
    claimed = [(ids[0], 1), (ids[1], 3), (ids[2], 1), (str(uuid4()), 2)]
    works = await starts.start_all("elsewhere", claimed)
    assert [work and (str(work.row.pk), work.row.attempt) for work in works] == [*claimed[:3], None]
    assert {work.messages[-1].content for work in works if work} == {"stop 2"}


async def test_one_that_ended_before_its_claim_is_told_so(crowd: Any, let_go: Any) -> None:
    asked = await crowd(FakeEngine(max_running=3), 3)
    await Response.objects.filter(pk=asked[0][1]).aupdate(status=Status.CANCELLED)
    await let_go()
    statuses = [(await chat.end())["status"] for chat, _ in asked]
    assert statuses == ["cancelled", "completed", "completed"]


async def test_a_cancel_while_it_is_being_started_is_not_lost(
    client: Any, start_worker: Any, layer: Any, chatstream: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    chatstream(lease_seconds=600)  # the next renewal, which would tell of it, is minutes off
    begin: Callable[..., Any] = starts.start_all

    async def cancelled_meanwhile(worker_id: str, claimed: Any, *how: Any) -> Any:
        works = await begin(worker_id, claimed, *how)
        await ending.cancel(layer, claimed[0][0])
        await outlast(0.1, "the message that the worker hears")
        return works

    monkeypatch.setattr(starts, "start_all", cancelled_meanwhile)
    engine = FakeEngine()
    await start_worker(engine)
    chat = await client()
    await chat.ask("go", params={"max_tokens": 1000})
    done = await chat.end()
    assert done["status"] == "cancelled"
    assert not engine.rows


async def test_an_end_is_told_at_once(
    client: Any, start_worker: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("PUBLISH_SECONDS", "MOST_PUBLISH_SECONDS"):
        monkeypatch.setattr(publishing, name, 3600.0)
    await start_worker(FakeEngine(max_running=2))
    chat = await client()
    await chat.ask("stop 30")
    done = await chat.end()
    assert done["text"].split() == [f"w{number}" for number in range(30)]
    told = [e["delta"] for e in chat.received if e["type"] == "response.output_text.delta"]
    assert "".join(told) == done["text"]


async def test_a_socket_outlives_a_message_that_it_cannot_take(
    crowd: Any, let_go: Any, layer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streaming.delivery.listening._RETRY_SECONDS", 0.0)
    [(chat, response_id)] = await crowd(FakeEngine(), 1)
    await layer.group_send(group_name(response_id), {"type": "nonsense"})
    await let_go()
    assert (await chat.end())["status"] == "completed"
    assert (await layer.waiting_list.place(response_id)).state is State.DONE


async def test_a_socket_that_ends_leaves_no_listener(layer: Any, client: Any) -> None:
    chat = await client()
    assert len(layer._receivers) == 1
    await chat.leave()
    assert not layer._receivers
    assert not layer.channels
