"""What a layer with a window keeps of a row, and how far the row can go back."""

from __future__ import annotations

import pytest
import torch

from streaming.engine.local.attention import ring_slots
from streaming.engine.local.attention.cache import SlotCache
from streaming.engine.local.attention.ring_slots import RingSlots
from streaming.engine.local.attention.slots import Slots
from tests.unit.engine.test_prefix_cache import Recorded

WINDOW, ROOM = 8, 16


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ring_slots, "LEAST_SPARE", WINDOW)


@pytest.fixture
def ring() -> RingSlots:
    slots = RingSlots(2, 100, WINDOW)
    slots.allocate(1, 1, 1, torch.float32, torch.device("cpu"))
    return slots


def numbered(start: int, end: int) -> torch.Tensor:
    return torch.arange(start, end, dtype=torch.float32)[None, :, None]


def before(ring: RingSlots, row: int, start: int) -> list[float]:
    keys, values = ring.before(row, start)
    assert torch.equal(keys, values)
    return list(keys.flatten().tolist())


@pytest.mark.parametrize("chunks", [[5, 1, 1, 3], [30], [16, 16, 1], [40, 3, 20]])
def test_it_keeps_the_window(ring: RingSlots, chunks: list[int]) -> None:
    at = 0
    for count in chunks:
        ring.put(1, at, numbered(at, at + count), numbered(at, at + count))
        at += count
        assert before(ring, 1, at) == list(range(max(0, at - WINDOW + 1), at))
    assert ring.keys.shape[2] == ROOM


def test_a_row_goes_back_as_far_as_its_window_is_there(ring: RingSlots) -> None:
    ring.put(0, 0, numbered(0, 50), numbered(0, 50))
    reusable = [length for length in range(51) if ring.holds(length, 50)]
    assert reusable == list(range(50 - (ROOM - WINDOW) - 1, 51))
    for length in reusable:
        assert before(ring, 0, length) == list(range(length - WINDOW + 1, length))
    assert all(ring.holds(length, ROOM) for length in range(ROOM + 1))


def test_rows_change_places_and_are_copied_whole(ring: RingSlots) -> None:
    ring.put(0, 0, numbered(0, 50), numbered(0, 50))
    ring.put(1, 0, numbered(60, 65), numbered(60, 65))
    ring.swap(0, 1, 50)
    assert before(ring, 1, 50) == list(range(43, 50))
    assert before(ring, 0, 5) == list(range(60, 65))
    ring.copy(1, 0, 48)
    assert before(ring, 0, 48) == list(range(41, 48))


def test_only_layers_with_a_window_have_rings() -> None:
    rows = SlotCache(3, 2, 100, windows=[0, WINDOW, 90])
    assert [type(slots) for slots in rows.slots] == [Slots, RingSlots, Slots]
    assert rows.holds(45, 50)
    assert not rows.holds(20, 50)


def test_a_prefix_whose_window_is_gone_is_read_again() -> None:
    held = SlotCache(1, 3, 1000, windows=[WINDOW]).holds
    recorded = Recorded(3, holds=held)
    turn = list(range(100, 200))
    row = recorded.answer(turn)
    assert recorded.give([*turn[:60], 7, 8]).cached == 0
    following = recorded.give([*turn[:95], 7, 8])
    assert (following.row, following.cached) == (row, 95)


def test_what_a_row_once_reached_is_remembered() -> None:
    """It went on after fewer tokens than it had; the places of older ones are still the newer
    ones'."""
    held = SlotCache(1, 3, 1000, windows=[WINDOW]).holds
    recorded = Recorded(3, holds=held)
    turn = list(range(100, 200))
    recorded.answer(turn)
    recorded.rows.take_back(recorded.give([*turn[:95], 7]))  # cancelled before it read anything
    assert recorded.give([*turn[:88], 7, 8]).cached == 0
    assert recorded.give([*turn[:93], 7, 8]).cached == 93


def test_texts_that_are_read_otherwise_are_no_beginnings_of_each_other() -> None:
    recorded = Recorded(3, turns_at=120)
    turn = list(range(100, 200))
    recorded.answer(turn)
    assert recorded.give([*turn, *range(30)]).cached == 0
    assert recorded.give([*turn, *range(10)]).cached == 100
