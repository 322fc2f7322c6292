"""What was heard is published, whoever takes it from the engine."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock
from uuid import uuid4

from streaming.engine.base import TextDelta
from streaming.worker.publishing import Publisher
from streaming.worker.running_set import RunningSet


async def test_the_last_word_before_an_engine_hangs_is_not_left_unsaid() -> None:
    """A look for cancelled responses takes it, and no later one comes to have it published."""
    running_set = RunningSet(Mock(), Mock())
    made = Publisher(Mock(), Mock(), running_set, Mock())
    entry = SimpleNamespace(response_id=str(uuid4()))
    claim: Any = SimpleNamespace(lease=None, entry=entry, last_sequence=0, tokens=())
    running = running_set.add(claim)
    running.mark_submitted()
    sink = made.listen()
    sink([TextDelta(running.response_id, "word", (1,))])  # while earlier ones are published
    made.end_unheeded(60)
    assert running.unpublished()
    assert made._news.is_set()
