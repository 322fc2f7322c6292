"""How often readers see an update where many answers run."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock
from uuid import UUID

import pytest

from streaming.engine.base import Engine
from streaming.engine.upstream import UpstreamEngine
from streaming.worker.publishing import MOST_PUBLISH_SECONDS, Publisher
from streaming.worker.running_set import RunningSet
from tests.support.fake_engine import FakeEngine
from tests.support.fake_upstream import Exchange, FakeUpstream
from tests.unit.engine.gathered import Gathered, ask

Start = Callable[..., Gathered]

PROMISED = 0.05
"""Seconds: a reader of one of 64 answers sees an update at least so often."""


def publisher(engine: Engine, running: int) -> Publisher:
    running_set = RunningSet(engine, Mock())
    for number in range(running):
        entry = SimpleNamespace(response_id=str(UUID(int=number)))
        claim: Any = SimpleNamespace(lease=None, entry=entry, last_sequence=0, tokens=())
        running_set.add(claim)
    return Publisher(engine, Mock(), running_set, Mock())


@pytest.mark.parametrize("running", [1, 8, 9, 64, 1000])
def test_an_engine_elsewhere_is_passed_on_at_once(running: int) -> None:
    engine: Any = UpstreamEngine("http://127.0.0.1:1/v1")
    engine._tasks = dict.fromkeys(range(running))
    assert publisher(engine, running).pause + engine._rhythm() <= PROMISED


def test_one_on_the_same_cores_is_not_disturbed() -> None:
    assert publisher(FakeEngine(), 64).pause == MOST_PUBLISH_SECONDS


def test_what_comes_between_two_reads_comes(start: Start, upstream: FakeUpstream) -> None:
    """More than are read as they come, each in its own pieces, to its own end."""

    async def say(exchange: Exchange) -> None:
        await exchange.begin()
        for number in range(30):
            await exchange.say(f"{exchange.last['content']}.{number} ")
        await exchange.end(completion=30)

    upstream.acts.extend([say] * 20)
    gathered = start(max_running=20)
    for number in range(20):
        gathered.engine.submit(ask(f"r{number}", str(number), max_tokens=40))
    for number in range(20):
        done: Any = gathered.wait(f"r{number}")
        assert gathered.text(f"r{number}") == "".join(f"{number}.{n} " for n in range(30))
        assert done.completion_tokens == 30
