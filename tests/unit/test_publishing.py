"""What runs, and what is heard of it: whoever takes it from the engine, and under which lease."""

from __future__ import annotations

import asyncio
import json
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock
from uuid import uuid4

import pytest

from streaming.engine.base import Finished, FinishReason, TextDelta
from streaming.waiting_list.interface import AppendCall
from streaming.worker.publishing import Publisher
from streaming.worker.running import RunningPhase
from streaming.worker.running_set import RunningSet
from streaming.worker.transcript import EventTime

ID = "00000000-0000-4000-8000-000000000001"


def claim(response_id: str = "") -> Any:
    entry = SimpleNamespace(response_id=response_id or str(uuid4()))
    return SimpleNamespace(lease=None, entry=entry, last_sequence=0, tokens=())


async def test_the_last_word_before_an_engine_hangs_is_not_left_unsaid() -> None:
    """A look for cancelled responses takes it, and no later one comes to have it published."""
    running_set = RunningSet(Mock(), Mock())
    made = Publisher(Mock(), Mock(), running_set, Mock())
    running = running_set.add(claim())
    running.mark_submitted()
    sink = made.listen()
    sink([TextDelta(running.response_id, "word", (1,))])  # while earlier ones are published
    made.end_unheeded(60)
    assert running.unpublished()
    assert made._news.is_set()


async def test_the_end_of_an_answer_that_came_while_the_list_was_away_is_published(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What could not be published is tried again as it was; what came meanwhile goes out after it,
    though the engine has nothing more to say."""
    monkeypatch.setattr("streaming.worker.publishing._RETRY_SECONDS", 0.0)
    published: list[AppendCall] = []
    has_failed = False

    async def append_many(calls: list[AppendCall]) -> list[int | None]:
        nonlocal has_failed
        if not has_failed:
            has_failed = True
            sink([TextDelta(running.response_id, "two", (2,))])
            sink([Finished(running.response_id, FinishReason.STOP)])
            raise ConnectionError("away")
        published.extend(calls)
        return [call.number for call in calls]

    running_set, ended = RunningSet(Mock(), Mock()), asyncio.Event()
    end_writer = Mock(begin=lambda running: ended.set())
    waiting_list = Mock(append_many=append_many)
    made = Publisher(Mock(shares_cores=False), waiting_list, running_set, end_writer)
    running: Any = running_set.add(claim())
    running.mark_submitted()
    sink = made.listen()
    sink([TextDelta(running.response_id, "one", (1,))])
    publishing = asyncio.create_task(made.publish_loop())
    await asyncio.wait_for(ended.wait(), 20)
    publishing.cancel()
    events = [json.loads(call.event) for call in published]
    assert [event["delta"] for event in events if "delta" in event] == ["one", "two"]
    assert events[-1]["type"] == "response.output_item.done"
    assert [call.number for call in published] == list(range(1, len(published) + 1))


async def test_what_was_generated_under_a_lost_lease_is_not_heard_under_the_next() -> None:
    engine, on_free = Mock(), Mock()
    running_set = RunningSet(engine, on_free)
    lost = running_set.add(claim(ID))
    lost.mark_submitted()
    running_set.lose(lost)
    engine.cancel.assert_called_once_with(ID)
    on_free.assert_called_once_with()
    again = running_set.add(claim(ID))
    left = asyncio.create_task(running_set.left_engine(ID))
    running_set.take(TextDelta(ID, "word", (1,)), EventTime())
    await asyncio.sleep(0)
    assert not left.done()
    running_set.take(Finished(ID, FinishReason.CANCELLED), EventTime())
    await asyncio.wait_for(left, 20)
    again.mark_submitted()
    assert not again.unpublished()
    running_set.take(TextDelta(ID, "word", (1,)), EventTime())
    assert again.unpublished()
    assert running_set.holds(again)
    assert not running_set.holds(lost)


async def test_what_an_engine_does_not_end_is_cut_short_and_its_own_end_not_heard() -> None:
    engine = Mock()
    running_set = RunningSet(engine, Mock())
    running = running_set.add(claim(ID))
    running_set.cancel(running)
    assert not engine.cancel.called  # it does not have it yet
    running.mark_submitted()
    running_set.cancel(running)
    assert not running_set.cut_short_unheeded(60)
    assert running_set.cut_short_unheeded(-1)
    assert running.phase is RunningPhase.FINISHED
    running_set.take(Finished(ID, FinishReason.STOP), EventTime())
    assert running.hold.counted is False  # as cancelled


async def test_only_what_the_engine_has_ended_stays_when_it_is_let_go() -> None:
    running_set = RunningSet(Mock(), Mock())
    claimed, generating, finished = (running_set.add(claim()) for _ in range(3))
    for running in (generating, finished):
        running.mark_submitted()
    running_set.take(Finished(finished.response_id, FinishReason.STOP), EventTime())
    assert running_set.let_go() == [claimed, generating]
    assert list(running_set) == [finished]
