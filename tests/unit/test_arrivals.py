"""Prompts that come at once share a visit to the database's thread."""

from __future__ import annotations

import asyncio
from collections import deque
from uuid import UUID, uuid4

import pytest

from streaming import record
from streaming.arrivals import Arrivals


class Visits:
    """Stands for the database: each visit takes what is there, and lasts until it is let go."""

    def __init__(self) -> None:
        self.taken: list[list[UUID]] = []
        self.let_go = asyncio.Event()
        self.error: Exception | None = None

    async def mark_queued(self, accepted: deque[UUID]) -> None:
        self.taken.append(list(accepted))
        accepted.clear()
        await self.let_go.wait()
        if self.error:
            raise self.error


@pytest.fixture
def visits(monkeypatch: pytest.MonkeyPatch) -> Visits:
    visits = Visits()
    monkeypatch.setattr(record, "mark_queued", visits.mark_queued)
    return visits


async def test_who_is_accepted_during_a_visit_goes_with_the_next(visits: Visits) -> None:
    arrivals = Arrivals()
    first, *others = [uuid4() for _ in range(4)]
    marking = asyncio.create_task(arrivals.accept(first))
    await asyncio.sleep(0)
    for other in others:
        await arrivals.accept(other)  # at once
    assert visits.taken == [[first]]
    visits.let_go.set()
    await marking
    assert visits.taken == [[first], others]


async def test_a_visit_that_fails_does_not_end_the_next(visits: Visits) -> None:
    arrivals = Arrivals()
    visits.let_go.set()
    visits.error = OSError("away")
    with pytest.raises(OSError, match="away"):
        await arrivals.accept(uuid4())
    visits.error = None
    await arrivals.accept(last := uuid4())
    assert visits.taken[-1] == [last]


async def test_it_is_over_when_the_last_one_is_written() -> None:
    arrivals = Arrivals()
    await arrivals.over(0)  # nobody comes
    async with arrivals.one():
        waiting = asyncio.create_task(arrivals.over(60))
        async with arrivals.one():
            await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert not waiting.done()
    await waiting
    async with arrivals.one():
        await arrivals.over(0.01)  # no longer


async def test_so_many_are_written_at_once() -> None:
    arrivals = Arrivals()
    inside: list[int] = []

    async def write() -> None:
        async with arrivals.one():
            inside.append(1)
            assert len(inside) <= 4
            await asyncio.sleep(0)
            inside.pop()

    await asyncio.gather(*(write() for _ in range(20)))
    assert inside == []
