"""What runs, and what is heard of it: whoever takes it from the engine, and under which lease."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock
from uuid import uuid4

from streaming.engine.base import Finished, FinishReason, TextDelta
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
