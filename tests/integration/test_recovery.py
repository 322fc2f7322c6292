"""A process that was killed, and its list with it: the record gives everybody their place back."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest
from channels.db import database_sync_to_async
from django.db import OperationalError
from django.utils import timezone

from streaming import conf
from streaming.lifecycle import ending, operating, reconciler, recovery
from streaming.models import Response, Status
from streaming.record import endings, lookups, portions
from streaming.record.endings import Ending
from streaming.waiting_list.interface import Edge, Slot, State, WorkerBeat, WorkerState
from tests.integration.conftest import eventually
from tests.support.fake_engine import FakeEngine, words

pytestmark = pytest.mark.django_db(transaction=True)

LOADING = WorkerBeat("loading", 1, WorkerState.LOADING, 60.0)


@database_sync_to_async
def slots() -> dict[str, str]:
    return {str(row.pk): row.slot for row in Response.objects.all()}


async def saved(*response_ids: str) -> None:
    """Wait until the record knows where these stand."""

    async def known() -> bool:
        found = await slots()
        return all(found[response_id] for response_id in response_ids)

    await eventually(known)


def die(layer: Any) -> None:
    """As a process does: the list is empty, and another process begins with it."""
    layer.waiting_list.__init__(layer.deliver)


async def order(layer: Any) -> list[str]:
    snapshot = await layer.waiting_list.snapshot()
    return [row.response_id for row in snapshot.waiting if row.position]


async def come_back(client: Any, token: str) -> Any:
    chat = await client()
    await chat.send("chatstream:session", session_token=token)
    await chat.until("chatstream:session")
    return chat


async def waiting_visitors(client: Any, layer: Any, count: int = 3) -> list[tuple[str, str]]:
    """The tokens and responses of visitors who wait for a model that is being loaded."""
    await layer.waiting_list.heartbeat(LOADING)
    visitors = []
    for _ in range(count):
        chat = await client()
        queued = await chat.ask("stop 2")
        visitors.append((chat.received[0]["session_token"], queued["response_id"]))
        await chat.leave()
    await saved(*(response_id for _, response_id in visitors))
    return visitors


async def test_who_comes_back_first_does_not_come_first(client: Any, layer: Any) -> None:
    visitors = await waiting_visitors(client, layer)
    asked = [response_id for _, response_id in visitors]
    assert await order(layer) == asked
    die(layer)
    await layer.waiting_list.heartbeat(LOADING)
    for token, response_id in reversed(visitors):
        back = await come_back(client, token)
        await back.send("chatstream:resume", response_id=response_id)
        queued = await back.until("response.queued")
        assert (queued["position"], queued["size"]) == (asked.index(response_id) + 1, 3)
    assert await order(layer) == asked


async def test_a_newcomer_comes_after_those_who_waited(client: Any, layer: Any) -> None:
    visitors = await waiting_visitors(client, layer)
    die(layer)
    await layer.waiting_list.heartbeat(LOADING)
    newcomer = await client()
    queued = await newcomer.ask("stop 1")
    assert (queued["position"], queued["size"]) == (4, 4)
    assert await order(layer) == [*(name for _, name in visitors), queued["response_id"]]


async def test_what_an_operator_moved_stays_there(client: Any, layer: Any) -> None:
    visitors = await waiting_visitors(client, layer, 4)
    first, second, third, fourth = (response_id for _, response_id in visitors)
    moves = [(third, Edge.FRONT), (first, Edge.BACK)]
    assert await operating.move(layer, moves) == [third, first]
    die(layer)
    await layer.waiting_list.heartbeat(LOADING)
    await recovery.ensure(layer)
    assert await order(layer) == [third, second, fourth, first]


async def test_a_place_that_nobody_can_read_holds_up_nobody(client: Any, layer: Any) -> None:
    visitors = await waiting_visitors(client, layer)
    first, second, third = (response_id for _, response_id in visitors)
    await Response.objects.filter(pk=first).aupdate(slot="1:first")
    die(layer)
    await layer.waiting_list.heartbeat(LOADING)
    await recovery.ensure(layer)
    assert await order(layer) == [second, third, first]


async def test_what_ran_comes_first_and_what_is_held_stays_behind_it(
    start_worker: Any, client: Any, layer: Any
) -> None:
    worker = await start_worker(FakeEngine(max_running=1, step_seconds=0.02))
    chat = await client()
    running = await chat.ask("stop 500")
    held = await chat.ask("stop 2", conversation_id=running["conversation_id"])
    waiting = await chat.ask("stop 3")
    await chat.until("response.output_text.delta", response_id=running["response_id"])
    await saved(running["response_id"], waiting["response_id"])
    await worker.stop()
    die(layer)
    await layer.waiting_list.heartbeat(LOADING)
    await recovery.ensure(layer)
    snapshot = await layer.waiting_list.snapshot()
    assert [(row.response_id, row.state, row.position) for row in snapshot.waiting] == [
        (running["response_id"], State.WAITING, None),
        (waiting["response_id"], State.WAITING, 1),
        (held["response_id"], State.HELD, None),
    ]


async def test_a_held_prompts_place_is_kept_when_it_gets_one(
    start_worker: Any, client: Any, layer: Any
) -> None:
    await start_worker(FakeEngine(max_running=1, step_seconds=0.02))
    chat, other = await client(), await client()
    busy = await other.ask("go", params={"max_tokens": 1000})
    first = await chat.ask("stop 2")
    held = await chat.ask("stop 2", conversation_id=first["conversation_id"])
    assert held["position"] is None
    behind = await chat.ask("stop 3")
    await saved(behind["response_id"])
    assert (await slots())[held["response_id"]] == ""
    await chat.send("response.cancel", response_id=first["response_id"])
    await chat.end(response_id=first["response_id"])
    await saved(held["response_id"])
    before = await order(layer)
    assert len(before) == 2
    busy_row = await Response.objects.aget(pk=busy["response_id"])
    assert busy_row.status == Status.IN_PROGRESS
    die(layer)
    await recovery.ensure(layer)
    assert await order(layer) == before


async def test_a_place_that_was_not_written_is_written_later(client: Any, layer: Any) -> None:
    """The process that gave it died between the list, which others share, and the record."""
    [(_, response_id)] = await waiting_visitors(client, layer, 1)
    slot = (await slots())[response_id]
    await Response.objects.filter(pk=response_id).aupdate(slot="")
    await reconciler.reconcile(layer)
    assert (await slots())[response_id] == slot


async def test_those_without_a_place_come_last_in_the_order_in_which_they_came(
    client: Any, layer: Any
) -> None:
    """Killed before it was written, or written by an earlier version."""
    visitors = await waiting_visitors(client, layer, 4)
    asked = [response_id for _, response_id in visitors]
    await Response.objects.filter(pk__in=[asked[0], asked[2]]).aupdate(
        slot="", status=Status.ACCEPTING
    )
    die(layer)
    await layer.waiting_list.heartbeat(LOADING)
    await recovery.ensure(layer)
    assert await order(layer) == [asked[1], asked[3], asked[0], asked[2]]


async def test_more_than_a_page_of_rows_is_restored(
    client: Any, layer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    visitors = await waiting_visitors(client, layer, 7)
    monkeypatch.setattr(recovery, "_ROWS", 2)
    monkeypatch.setattr(portions, "ROWS_PER_STATEMENT", 3)
    die(layer)
    await layer.waiting_list.heartbeat(LOADING)
    await recovery.ensure(layer)
    assert await order(layer) == [response_id for _, response_id in visitors]


async def test_places_are_told_after_a_restart_as_before(
    start_worker: Any, client: Any, layer: Any
) -> None:
    """Numbers of a former life made a viewer look for events all the time, and tell no place: the
    model was loaded and others were served, and people read that it was loading."""
    (_, first), (token, second) = await waiting_visitors(client, layer, 2)
    die(layer)
    await layer.waiting_list.heartbeat(LOADING)
    back = await come_back(client, token)
    await back.send("chatstream:resume", response_id=second)
    queued = await back.until("response.queued")
    assert (queued["position"], queued["service"]) == (2, "loading")
    await layer.waiting_list.retire("loading")
    engine = FakeEngine(max_running=1, step_seconds=0.7)
    await start_worker(engine)
    told = await asyncio.wait_for(back.until("chatstream:queue_position", service="ready"), 10)
    assert told["response_id"] == second
    done = await back.end()
    assert done["text"] == "".join(words(2))
    assert (await Response.objects.aget(pk=first)).status == Status.COMPLETED


async def test_readers_have_time_to_come_back(client: Any, layer: Any, chatstream: Any) -> None:
    """A browser tries again ever later; the grace for those who leave may be shorter."""
    [(_, response_id)] = await waiting_visitors(client, layer, 1)
    chatstream(disconnect_grace=0.5)
    now = 1000.0
    layer.waiting_list.__init__(layer.deliver, clock=lambda: now)
    await recovery.ensure(layer)
    now += recovery.COMEBACK_SECONDS - 1
    grace = conf.get().disconnect_grace
    assert (await layer.waiting_list.sweep(grace)).abandoned == []
    now += 2
    assert (await layer.waiting_list.sweep(grace)).abandoned == [response_id]


async def test_an_end_is_told_to_who_comes_back_after_it(client: Any, layer: Any) -> None:
    [(token, response_id)] = await waiting_visitors(client, layer, 1)
    die(layer)
    await endings.end([response_id], Ending.cancelled(), of=ending.WAITING)
    back = await come_back(client, token)
    await back.send("chatstream:resume", response_id=response_id, starting_after=3)
    assert (await back.end())["status"] == "cancelled"
    assert await layer.waiting_list.known([response_id]) == set()


async def test_slots_in_the_record_are_what_the_list_reads(client: Any, layer: Any) -> None:
    await waiting_visitors(client, layer, 2)
    parsed = [Slot.parse(text) for text in (await slots()).values()]
    assert sorted(parsed) == [Slot(1, 1), Slot(1, 2)]
    assert json.dumps([slot and slot.text for slot in sorted(parsed)]) == '["1:1:0", "1:2:0"]'


async def test_a_clock_that_was_set_back_does_not_turn_a_conversation_round(
    client: Any, layer: Any
) -> None:
    await layer.waiting_list.heartbeat(LOADING)
    chat = await client()
    first = await chat.ask("stop 1")
    held = [await chat.ask("stop 1", conversation_id=first["conversation_id"]) for _ in range(3)]
    await saved(first["response_id"])
    rows = Response.objects.exclude(pk=first["response_id"])
    for hours, queued in enumerate(held, 1):
        earlier = timezone.now() - timedelta(hours=hours)
        await rows.filter(pk=queued["response_id"]).aupdate(created_at=earlier)
    die(layer)
    await layer.waiting_list.heartbeat(LOADING)
    await recovery.ensure(layer)
    for queued, following in pairwise([first, *held]):
        await ending.cancel(layer, queued["response_id"])
        assert await order(layer) == [following["response_id"]]


async def test_all_wait_for_the_same_look_into_a_database_that_is_away(
    layer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One after the other, each with the patience of its own, a crowd would wait for hours."""
    looks = 0

    async def away(*args: Any) -> list[Response]:
        nonlocal looks
        looks += 1
        await asyncio.sleep(0.05)
        raise OperationalError("database is locked")

    with monkeypatch.context() as changed:
        changed.setattr(lookups, "open_rows", away)
        crowd = [recovery.ensure(layer) for _ in range(50)]
        told = await asyncio.gather(*crowd, return_exceptions=True)
    assert all(isinstance(error, OperationalError) for error in told)
    assert looks == 1
    await recovery.ensure(layer)
    assert await layer.waiting_list.is_restored()


async def test_who_leaves_does_not_end_what_all_wait_for(
    client: Any, layer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    await waiting_visitors(client, layer, 2)
    die(layer)
    looks, open_rows = 0, lookups.open_rows
    looking = asyncio.Event()

    async def slow(*args: Any) -> list[Response]:
        nonlocal looks
        looks += 1
        looking.set()
        await asyncio.sleep(0.05)
        return await open_rows(*args)

    monkeypatch.setattr(lookups, "open_rows", slow)
    first = asyncio.create_task(recovery.ensure(layer))
    await looking.wait()
    second = asyncio.create_task(recovery.ensure(layer))
    first.cancel()
    await second
    assert first.cancelled()
    assert len(await order(layer)) == 2
    assert looks == 2  # the rows, and that there are no more
