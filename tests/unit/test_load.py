"""What somebody who asks now would meet: of which load what is told, and to whom, how often."""

from __future__ import annotations

import asyncio
import json
from types import SimpleNamespace
from typing import Any
from unittest.mock import AsyncMock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streaming.delivery.queue_position import PositionUpdates, QueuePosition
from streaming.delivery.queue_status import QueueStatus, load_as_met
from streaming.delivery.viewers import Viewers
from streaming.protocol.server_events import QueueLoad
from streaming.sockets import load_updates
from streaming.sockets.load_updates import LEAST_SECONDS, MOST_PER_POLL, LoadUpdates, outline
from streaming.waiting_list.forecast import Estimate, estimates
from streaming.waiting_list.interface import Load, RunningLoad

STEADY = [(90 + number, 9.0 + number / 10, 1000) for number in range(20)]


def load(waiting: int, running: int = 1, places: int = 1, before: int | None = None) -> Load:
    return Load(
        running=[RunningLoad(f"r{n}", "w", 10, 1000, 1.0) for n in range(running)],
        waiting=[(f"w{n}", 1000) for n in range(waiting)],
        capacities={"w": places},
        recent=STEADY,
        before_newcomer=waiting if before is None else before,
    )


@given(st.integers(0, 20), st.integers(0, 4), st.integers(0, 4), st.data())
def test_who_asks_now_waits_as_the_one_who_would_stand_there(
    waiting: int, running: int, places: int, data: st.DataObject
) -> None:
    before = data.draw(st.integers(0, waiting))
    given_load = load(waiting, running, places, before)
    met = load_as_met(given_load, "ready")
    assert (met.waiting, met.running, met.capacity) == (waiting, running, places)
    if before < places - running:
        assert (met.eta_low_seconds, met.eta_seconds, met.eta_high_seconds) == (0, 0, 0)
    elif not places:
        assert met.eta_seconds is met.eta_low_seconds is met.eta_high_seconds is None
    else:
        assert met.eta_low_seconds <= met.eta_seconds <= met.eta_high_seconds  # type: ignore[operator]
        if before < waiting:  # as long as the one who has that place now
            stands = list(estimates(given_load).values())[before]
            assert met.eta_seconds == pytest.approx(stands.seconds, abs=0.06)


@pytest.mark.parametrize("service", ["loading", "paused", "draining", "away"])
def test_nothing_is_promised_where_no_worker_takes_prompts(service: Any) -> None:
    met = load_as_met(load(0, running=0), service)
    assert (met.eta_seconds, met.eta_low_seconds, met.eta_high_seconds) == (None, None, None)


def test_a_free_place_is_known_before_any_answer_has_ended() -> None:
    empty = Load([], [], {"w": 2}, [])
    assert load_as_met(empty, "ready").eta_seconds == 0
    assert load_as_met(Load([], [], {"w": 0}, []), "ready").eta_seconds is None


def test_small_changes_are_none() -> None:
    def told(waiting: int = 3, running: int = 2, eta: float | None = 60.0) -> Any:
        return outline(
            "ready",
            QueueLoad(waiting=waiting, running=running, capacity=4, eta_seconds=eta),
        )

    assert told() == told(running=3) == told(eta=62.0)
    assert told(waiting=1234) == told(waiting=1233)
    different = [told(), told(waiting=4), told(running=4), told(eta=90.0), told(eta=None)]
    assert len(set(different)) == len(different)


def test_a_new_range_is_news_of_a_place(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    clock = SimpleNamespace(monotonic=lambda: now)
    monkeypatch.setattr("streaming.delivery.queue_position.time", clock)
    updates = PositionUpdates("00000000-0000-0000-0000-000000000001")

    def place(*estimate: float) -> QueuePosition:
        return QueuePosition.at(4, 9, 1, "ready", Estimate(*estimate))

    updates.note_sent(place(60, 40, 90))
    now += 10
    assert not updates.is_due(place(50, 30, 80))  # what a clock at the reader shows, too
    assert updates.is_due(place(50, 30, 120))
    assert updates.is_due(QueuePosition.at(4, 9, 1, "ready", Estimate(50)))


class Socket:
    def __init__(self) -> None:
        self.told: list[dict[str, Any]] = []

    async def send_load(self, text: str) -> None:
        self.told.append(json.loads(text))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    clock = SimpleNamespace(now=1000.0)
    fake = SimpleNamespace(monotonic=lambda: clock.now)
    monkeypatch.setattr(load_updates, "time", fake)
    return clock


async def updates_of(monkeypatch: pytest.MonkeyPatch, now: dict[str, int]) -> tuple[Any, Any]:
    """An update's register and its layer, whose queue has `now["waiting"]` prompts."""
    reads: list[int] = []

    async def service() -> str:
        return "ready"

    async def read() -> QueueLoad:
        reads.append(1)
        return QueueLoad(waiting=now["waiting"], running=1, capacity=1)

    status = SimpleNamespace(service=service, load=read)
    viewers = SimpleNamespace(queue_status=status)
    monkeypatch.setattr(Viewers, "here", classmethod(lambda cls, layer: viewers))
    updates = LoadUpdates()
    updates._task = SimpleNamespace(cancel=lambda: None)  # type: ignore[assignment]
    # A class of its own, since a SimpleNamespace has no hash.
    return updates, type("Layer", (), {"reads": reads})()


async def test_who_knows_it_is_not_told_again(
    monkeypatch: pytest.MonkeyPatch, clock: SimpleNamespace
) -> None:
    now = {"waiting": 2}
    updates, layer = await updates_of(monkeypatch, now)
    socket = Socket()
    updates.enter(socket, layer, "ready", QueueLoad(waiting=2, running=1, capacity=1))
    clock.now += 2 * LEAST_SECONDS
    await updates._poll()
    assert socket.told == []
    now["waiting"] = 3
    await updates._poll()
    await updates._poll()
    assert [each["load"]["waiting"] for each in socket.told] == [3]
    now["waiting"] = 4
    await updates._poll()  # too early
    assert len(socket.told) == 1
    clock.now += LEAST_SECONDS
    await updates._poll()
    assert [each["load"]["waiting"] for each in socket.told] == [3, 4]
    updates.leave(socket)
    assert len(updates) == 0


async def test_ten_thousand_idle_sockets_are_told_in_turn(
    monkeypatch: pytest.MonkeyPatch, clock: SimpleNamespace
) -> None:
    now = {"waiting": 0}
    updates, layer = await updates_of(monkeypatch, now)
    sockets = [Socket() for _ in range(10_000)]
    for socket in sockets:
        updates.enter(socket, layer, "ready", QueueLoad(waiting=0, running=1, capacity=1))
    for poll in range(25):
        clock.now += LEAST_SECONDS
        now["waiting"] = poll + 1
        before = sum(len(socket.told) for socket in sockets)
        await updates._poll()
        assert sum(len(socket.told) for socket in sockets) - before == MOST_PER_POLL
    assert len(layer.reads) == 25  # one for all of them
    assert {len(socket.told) for socket in sockets} == {1}  # in turn: nobody twice


async def test_a_crowd_that_comes_at_once_is_told_by_one_reading() -> None:
    """As after a restart: each of thousands would walk through all that waits."""
    read = 0

    class Waiting:
        async def load(self) -> Load:
            nonlocal read
            read += 1
            await asyncio.sleep(0)
            return load(3)

        async def workers(self) -> list[Any]:
            await asyncio.sleep(0)
            return []

    status = QueueStatus(SimpleNamespace(waiting_list=Waiting()))  # type: ignore[arg-type]
    told = await asyncio.gather(*(status.load() for _ in range(50)))
    assert {each.waiting for each in told} == {3}
    assert read == 1


async def test_a_queue_that_does_not_answer_is_asked_again() -> None:
    class Waiting:
        load = AsyncMock(side_effect=[OSError("away"), load(3)])
        workers = AsyncMock(return_value=[])

    status = QueueStatus(SimpleNamespace(waiting_list=Waiting()))  # type: ignore[arg-type]
    with pytest.raises(OSError, match="away"):
        await status.load()
    assert (await status.load()).waiting == 3
