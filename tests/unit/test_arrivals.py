"""Prompts that come at once share a visit to the database's thread."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from uuid import UUID, uuid4

import pytest

from streaming.lifecycle.arrivals import Arrivals
from streaming.record import standing


class Visits:
    """Stands for the database's thread: a visit begins, and ends, when it is let."""

    def __init__(self) -> None:
        self.taken: list[list[UUID]] = []
        self.begin, self.end = asyncio.Event(), asyncio.Event()
        self.error: Exception | None = None

    async def mark_queued(self, response_ids: Iterable[UUID], slots: Mapping[UUID, str]) -> None:
        await self.begin.wait()
        if self.error:
            raise self.error
        self.taken.append(list(response_ids))
        await self.end.wait()


@pytest.fixture
def visits(monkeypatch: pytest.MonkeyPatch) -> Visits:
    visits = Visits()
    monkeypatch.setattr(standing, "mark_queued", visits.mark_queued)
    return visits


async def test_a_visit_takes_along_all_that_are_accepted_before_it_begins(visits: Visits) -> None:
    arrivals = Arrivals()
    first, *others = together = [uuid4() for _ in range(4)]
    marking = asyncio.create_task(arrivals.mark_queued(first))
    await asyncio.sleep(0)
    for other in others:
        await arrivals.mark_queued(other)  # at once
    visits.begin.set()
    await asyncio.sleep(0)
    assert visits.taken == [together]
    late = asyncio.create_task(arrivals.mark_queued(last := uuid4()))
    await asyncio.sleep(0)
    assert visits.taken == [together, [last]]
    visits.end.set()
    await asyncio.gather(marking, late)


@pytest.mark.parametrize("how", ["fails", "is cancelled"])
async def test_a_visit_that_is_lost_does_not_keep_the_next(visits: Visits, how: str) -> None:
    arrivals = Arrivals()
    visits.error = OSError("away")
    first = asyncio.create_task(arrivals.mark_queued(uuid4()))
    await asyncio.sleep(0)
    await arrivals.mark_queued(uuid4())  # the reconciler marks both
    if how == "fails":
        visits.begin.set()
        with pytest.raises(OSError, match="away"):
            await first
    else:
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
    visits.error = None
    visits.begin.set()
    visits.end.set()
    await arrivals.mark_queued(last := uuid4())
    assert visits.taken[-1] == [last]


async def test_it_is_over_when_the_last_one_is_written() -> None:
    arrivals = Arrivals()
    await arrivals.all_written(0)  # nobody comes
    async with arrivals.writing():
        waiting = asyncio.create_task(arrivals.all_written(60))
        async with arrivals.writing():
            await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert not waiting.done()
    await waiting
    async with arrivals.writing():
        await arrivals.all_written(0.01)  # no longer


async def test_so_many_are_written_at_once() -> None:
    arrivals = Arrivals()
    inside: list[int] = []

    async def write() -> None:
        async with arrivals.writing():
            inside.append(1)
            assert len(inside) <= 4
            await asyncio.sleep(0)
            inside.pop()

    await asyncio.gather(*(write() for _ in range(20)))
    assert inside == []
