"""Operators change limits at run time: kept, heeded by all, decided by the list."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from channels.layers import get_channel_layer

from streaming.lifecycle import limits as in_force
from streaming.lifecycle.limits import LimitsInForce
from streaming.models import Limit
from streaming.record import limits
from streaming.waiting_list.interface import WorkerBeat, WorkerState
from tests.integration.conftest import ChatClient, eventually
from tests.integration.queue_actions.conftest import Operator, Queue
from tests.support.fake_engine import FakeEngine

pytestmark = pytest.mark.django_db(transaction=True)
PAGE = "/admin/streaming/response/limits/"


def test_a_limit_is_set_shown_and_reset(memory_queue: Queue, operator: Operator) -> None:
    operator.act("limit", limit="max_waiting", value="7")
    assert operator.said == ["“Waiting, of all owners together” is 7 now."]
    row = Limit.objects.get(pk="max_waiting")
    assert (row.value, row.changed_by) == (7, operator.user.username)
    page = operator.get(PAGE).content.decode()
    assert f"{operator.user.username}, {row.changed_at:%Y-%m-%d %H:%M}" in page
    assert 'value="7"' in page
    assert "CHATSTREAM_MAX_WAITING" in page
    operator.act("limit", limit="max_waiting", value="7")
    assert operator.said == ["“Waiting, of all owners together” is 7 already."]
    operator.act("limit", limit="max_waiting", reset="1")
    operator.act("limit", limit="max_waiting", reset="1")
    assert operator.said == ["“Waiting, of all owners together” is as the setting says."]
    assert not Limit.objects.exists()
    assert [message for _, _, message in operator.log()] == [
        "Limit max_waiting set to 7 (was 100).",
        "Limit max_waiting reset to its setting, 100 (was 7).",
    ]


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("max_running", "0", "“0” is not allowed: “Running at once, for each worker” is 1 to 256."),
        ("max_waiting", "-1", "is 0 to 100000."),
        ("max_waiting", "100001", "is 0 to 100000."),
        ("max_per_owner", "3.5", "“3.5” is not allowed"),
        ("max_per_owner", "9" * 100, "is not allowed"),
        ("max_per_owner", "", "“” is not allowed"),
        ("secret_key", "1", "the form does not say which limit"),
    ],
)
def test_what_is_out_of_range_is_refused_by_name(
    memory_queue: Queue, operator: Operator, name: str, value: str, said: str
) -> None:
    operator.act("limit", limit=name, value=value)
    assert len(operator.said) == 1
    assert said in operator.said[0]
    assert not Limit.objects.exists()
    assert operator.log() == []


def test_workers_that_will_not_run_as_many_are_named(
    memory_queue: Queue, operator: Operator
) -> None:
    memory_queue.beat("host:1", rows=4)
    memory_queue.beat("host:2", rows=64)
    memory_queue.beat("host:3", rows=64)
    memory_queue.call("order", "host:3", capacity=2)
    operator.act("limit", limit="max_running", value="8")
    assert operator.said == [
        "“Running at once, for each worker” is 8 now.",
        "Worker host:1 runs 4 at most: CHATSTREAM_MAX_ROWS gives it more.",
        "Worker host:3 keeps its own number, 2, until it ends.",
    ]


async def test_the_list_decides_by_it_in_a_burst(queue: Queue) -> None:
    layer = get_channel_layer()
    beat = WorkerBeat("host:1", 1, WorkerState.READY, 600)
    await layer.waiting_list.heartbeat(beat)  # type: ignore[attr-defined]
    await limits.change("max_waiting", 2, "boss")
    chats = [ChatClient(address=f"10.0.0.{number}") for number in range(8)]
    for chat in chats:
        await chat.connect()

    async def ask(chat: ChatClient) -> str:
        await chat.send("response.create", input="stop 1")
        event = await chat.next()
        if event["type"] == "response.created":
            event = await chat.next()
        return str(event.get("code", event["type"]))

    said = await asyncio.gather(*map(ask, chats))
    assert sorted(said) == ["queue_full"] * 5 + ["response.queued"] * 3
    await limits.change("max_waiting", 3, "boss")
    LimitsInForce.here(layer).forget()
    assert [await ask(chat) for chat in chats[:1] * 2] == ["response.queued", "queue_full"]
    await limits.reset("max_waiting")
    await limits.change("max_per_owner", 1, "boss")
    LimitsInForce.here(layer).forget()
    late = ChatClient(address="10.0.0.9")
    await late.connect()
    assert [await ask(late), await ask(late)] == ["response.queued", "user_limit"]
    for chat in (*chats, late):
        await chat.leave()


async def test_another_process_and_a_later_one_heed_it(
    memory_queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(in_force, "FRESH_SECONDS", 0.0)
    monkeypatch.setattr(in_force, "_STALE_SECONDS", 0.0)
    other = LimitsInForce()
    assert (await other.admission()).max_waiting == 100
    await limits.change("max_waiting", 5, "boss")
    assert (await other.admission()).max_waiting == 5
    assert (await LimitsInForce().admission()).max_waiting == 5


async def test_a_database_that_is_away_changes_nothing(
    memory_queue: Queue, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(in_force, "FRESH_SECONDS", 0.0)
    monkeypatch.setattr(in_force, "_STALE_SECONDS", 0.0)
    known = LimitsInForce()
    await limits.change("max_waiting", 5, "boss")
    assert (await known.admission()).max_waiting == 5

    async def away() -> Any:
        raise OSError("away")

    monkeypatch.setattr(limits, "read_all", away)
    assert [(await known.admission()).max_waiting for _ in range(3)] == [5, 5, 5]
    assert caplog.text.count("The limits that operators have changed are not known.") == 1


async def test_a_value_of_another_version_is_no_limit(memory_queue: Queue) -> None:
    await limits.change("max_running", 100_000, "boss")
    assert await LimitsInForce().changed() == {}


async def test_a_worker_runs_as_many_from_its_first_claim_on(start_worker: Any, layer: Any) -> None:
    await limits.change("max_running", 1, "boss")
    worker = await start_worker(FakeEngine(max_running=4))
    assert worker.capacity == 1
    await limits.change("max_running", 3, "boss")

    async def listed() -> list[int]:
        return [row.capacity for row in await layer.waiting_list.workers()]

    async def has_three() -> bool:
        return await listed() == [3]

    await eventually(has_three)
    await layer.waiting_list.order(worker.worker_id, capacity=2)  # one worker's own comes first

    async def has_two() -> bool:
        return worker.capacity == 2 and await listed() == [2]

    await eventually(has_two)
    await limits.reset("max_running")
    await limits.change("max_running", 4, "boss")
    assert await listed() == [2]
