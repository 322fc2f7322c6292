"""What the live queue says, and to whom, with people and a worker, and without a layer."""

from __future__ import annotations

import re
import uuid
from typing import Any

import pytest
from channels.db import database_sync_to_async
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.test import AsyncClient

from streaming.models import Response, Status
from streaming.record import endings
from streaming.waiting_list.interface import (
    State,
)
from tests.integration.conftest import eventually
from tests.integration.queue_actions.conftest import (
    IN_THE_DATABASE,
    OPERATOR,
    QUEUE,
    SECRET,
    Operator,
    Queue,
    asked,
    everything,
)
from tests.support.fake_engine import FakeEngine

pytestmark = pytest.mark.django_db(transaction=True)

# --- what is not told ---


def test_nothing_says_what_people_wrote(memory_queue: Queue) -> None:
    """For somebody without `view_text`: not the pages, not the messages, not the log."""
    memory_queue.beat(rows=2)
    staff = Operator(*OPERATOR)
    running, waiting = memory_queue.ask("user:1"), memory_queue.ask("user:2")
    memory_queue.run()
    pages = []
    forms = {**everything(waiting), "cancel": {"selection": "selected"}}
    for name, fields in forms.items():
        chosen = {"selected": [running, waiting]} if name == "cancel" else {}
        page = staff.act(name, **fields, **chosen)
        pages.append(page)
        if page.status_code == 200:
            staff.confirm(page)
        assert staff.said
        assert SECRET not in " ".join(staff.said)
    history = f"/admin/streaming/response/{running}/history/"
    pages += [staff.get(address) for address in (QUEUE, "/admin/", history)]
    assert "Cancelled in the live queue." in pages[-1].content.decode()
    assert all(SECRET not in page.content.decode() for page in pages)
    assert len(staff.log()) in (11, 12)  # nothing may be there to take down
    assert SECRET not in str(staff.log())


def test_the_index_links_only_to_what_has_a_page(memory_queue: Queue, operator: Operator) -> None:
    memory_queue.beat()
    response_id = memory_queue.ask()
    operator.act("move", front=response_id)
    operator.act("pause", worker_id="host:1")
    index = operator.get("/admin/").content.decode()
    assert f'href="/admin/streaming/response/{response_id}/change/"' in index
    assert "Worker host:1" in index
    assert not re.search(r"<a [^>]*>Worker host:1", index)


def test_each_reads_their_own_language_and_all_the_same_log(memory_queue: Queue) -> None:
    memory_queue.beat()
    response_id = memory_queue.ask()
    operator = Operator(*OPERATOR, headers={"accept-language": "ja"})
    assert "すべてのワーカーを一時停止しますか？" in asked(operator.act("pause", all="1"))
    operator.act("cancel", response_id=response_id, confirmed="1")
    assert operator.said == [f"回答 {response_id[:8]} をキャンセルしました。"]
    assert operator.log() == [(response_id, response_id, "Cancelled in the live queue.")]


# --- the layer is away ---


def test_an_absent_layer_is_said(away: Queue, operator: Operator) -> None:
    for name, fields in everything(str(uuid.uuid4())).items():
        # Of which one says more, and one has nothing to do.
        if name in ("cancel", "unmove", *IN_THE_DATABASE):
            continue
        assert operator.act(name, **fields, confirmed="1").status_code == 302
        (said,) = operator.said
        assert said.startswith("The queue did not answer."), name
    uncertain = [entry[2] for entry in operator.log()]
    assert uncertain == [
        f"{message} (The queue did not answer; it may not have been done.)"
        for message in (
            "Moved to the front of the waiting list.",
            "Resumed.",
        )
    ]


def test_a_layer_that_goes_away_while_many_are_cancelled(
    memory_queue: Queue, operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory_queue.beat()
    ids = [memory_queue.ask(f"user:{n}") for n in range(30)]
    withdraw = memory_queue.layer.waiting_list.withdraw
    calls = 0

    async def fails(*args: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls > 5:
            raise ConnectionError("away")
        return await withdraw(*args)

    monkeypatch.setattr(memory_queue.layer.waiting_list, "withdraw", fails)
    monkeypatch.setattr("streaming.admin.cancelling.AT_ONCE", 10)
    page = operator.act("cancel", selection="selected", selected=ids)
    operator.confirm(page)
    # Ten are ended in the record, which the reconciler tells the list; the rest was not tried.
    assert Response.objects.filter(status=Status.CANCELLED).count() == 10
    assert operator.said == [
        "10 responses are cancelled.",
        "The queue did not answer: 20 responses were not cancelled.",
    ]
    assert len(operator.log()) == 10
    operator.act("cancel", response_id=ids[0], confirmed="1")
    assert operator.said == [
        f"Response {ids[0][:8]} is cancelled.",
        "The queue did not answer: what is cancelled leaves it as soon as it does.",
    ]
    monkeypatch.setattr(memory_queue.layer.waiting_list, "flag", fails)
    running = memory_queue.run()
    operator.act("cancel", response_id=running, confirmed="1")
    assert operator.said == ["The queue did not answer: 1 response was not cancelled."]
    assert operator.log()[-1][2].endswith("(The queue did not answer; it may not have been done.)")


# --- with a worker and people ---


def test_what_starts_before_it_is_cancelled(
    memory_queue: Queue, operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It waited when it was looked at, and runs when it is ended: it is asked to stop."""
    memory_queue.beat()
    ids = [memory_queue.ask(f"user:{n}") for n in range(3)]
    page = operator.act("cancel", selection="selected", selected=ids)
    end = endings.end
    runs = False

    async def late(*args: Any, **options: Any) -> Any:
        nonlocal runs
        if not runs:
            runs = True
            await database_sync_to_async(memory_queue.run)()
        return await end(*args, **options)

    monkeypatch.setattr(endings, "end", late)
    operator.confirm(page)
    assert operator.said == ["3 responses are cancelled."]
    assert memory_queue.call("place", ids[0]).state is State.RUNNING
    assert memory_queue.layer.waiting_list._open[ids[0]].cancelled
    assert memory_queue.status(ids[0]) == Status.IN_PROGRESS  # its worker writes the end


async def test_readers_are_told_and_the_next_one_starts(
    layer: Any, start_worker: Any, client: Any
) -> None:
    worker = await start_worker(FakeEngine(max_running=1))
    chat = await client()
    running = (await chat.ask("go", params={"max_tokens": 1000}))["response_id"]
    await chat.until("response.output_text.delta", response_id=running)
    waiting = [(await chat.ask("stop 2"))["response_id"] for _ in range(2)]
    staff = AsyncClient()
    operator = await database_sync_to_async(Operator)(*OPERATOR)
    await staff.aforce_login(operator.user)

    async def act(name: str, **fields: str) -> None:
        answer = await staff.post(f"{QUEUE}{name}/", {**fields, "confirmed": "1"})
        assert answer.status_code == 302

    await act("cancel", response_id=waiting[0])
    assert (await chat.end(response_id=waiting[0]))["status"] == "cancelled"
    await act("pause", all="1")
    await act("cancel", response_id=running)
    done = await chat.end(response_id=running)
    assert done["status"] == "cancelled"
    assert done["text"].startswith("w0 w1")
    assert (await Response.objects.aget(pk=running)).status == Status.CANCELLED

    async def idle() -> bool:
        (row,) = await layer.waiting_list.workers()
        return row.running == 0

    await eventually(idle)
    assert (await layer.waiting_list.place(waiting[1])).position == 1
    await act("resume", all="1")
    done = await chat.end(response_id=waiting[1])
    assert done["status"] == "completed"
    await act("close", close="1", closed_message="Back at noon.")
    await chat.send("response.create", input="stop 1")
    error = await chat.until("error")
    assert (error["code"], error["message"]) == ("queue_closed", "Back at noon.")
    await act("reopen", reopen="1")
    await act("capacity", worker_id=worker.worker_id, **{f"capacity:{worker.worker_id}": "0"})
    last = (await chat.ask("stop 1"))["response_id"]
    assert (await layer.waiting_list.place(last)).position == 1
    await act("capacity", worker_id=worker.worker_id, **{f"capacity:{worker.worker_id}": "1"})
    assert (await chat.end(response_id=last))["status"] == "completed"
    messages = [entry[2] async for entry in _entries(operator.user)]
    assert messages == [
        "Cancelled in the live queue.",
        "Paused.",
        "Cancelled in the live queue.",
        "Resumed.",
        "Closed to new prompts: Back at noon.",
        "Reopened.",
        "Ordered to run up to 0 at once.",
        "Ordered to run up to 1 at once.",
    ]


async def _entries(user: User) -> Any:
    async for e in LogEntry.objects.filter(user=user).order_by("pk"):
        yield (e.object_id, e.object_repr, e.change_message)
