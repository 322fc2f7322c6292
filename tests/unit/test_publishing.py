"""What was heard is published, whoever takes it from the engine."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock
from uuid import uuid4

from streaming.engine.base import TextDelta
from streaming.worker.publishing import Publisher


async def test_the_last_word_before_an_engine_hangs_is_not_left_unsaid() -> None:
    """A look for cancelled responses takes it, and no later one comes to have it published."""
    made = Publisher(Mock(), Mock(), lambda: None)
    entry = SimpleNamespace(response_id=str(uuid4()))
    claim: Any = SimpleNamespace(lease=None, entry=entry, last_sequence=0, tokens=())
    running = made.add(claim)
    sink = made.listen()
    sink([TextDelta(running.response_id, "word", (1,))])  # while earlier ones are published
    made.end_unheeded(60)
    assert running.unsaid()
    assert made._news.is_set()
