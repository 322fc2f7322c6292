"""Samples of the queue: what is told between one and the next."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

import pytest

from streaming.waiting_list import samples
from streaming.waiting_list.channel_layers import MemoryChannelLayer
from streaming.waiting_list.interface import REFUSALS, Counters
from streaming.waiting_list.samples import Sample, percentile, sample

NONE = dict.fromkeys(REFUSALS, 0)


def counters(at: float, **values: object) -> Counters:
    present = Counters(
        at=at, running=1, waiting=2, workers=1, capacity=4,
        accepted=0, rejected=NONE, tokens=0, waits=[],
    )  # fmt: skip
    return replace(present, **values)  # type: ignore[arg-type]


def test_the_first_sample_knows_no_interval() -> None:
    first = sample(counters(100.0, accepted=7, tokens=50, waits=[(0.5, 2.0)]), None)
    assert (first.at, first.seconds, first.running, first.waiting) == (100.0, 0.0, 1, 2)
    assert (first.tokens, first.tokens_per_second) == (50, 0.0)
    assert (first.accepted, first.accepted_in_all, first.queue_seconds) == (0, 7, None)
    assert first.rejected == NONE


def test_a_sample_tells_what_happened_since_the_last() -> None:
    before = sample(counters(100.0, accepted=7, tokens=50, rejected=NONE | {"queue_full": 3}), None)
    waits = [(50.0, 90.0), (9.0, 1.0), (5.0, 2.0), (1.0, 7.0)]
    now = counters(
        110.0, accepted=9, tokens=150, rejected=NONE | {"queue_full": 4, "user_limit": 2},
        waits=waits,
    )  # fmt: skip
    second = sample(now, before)
    assert (second.seconds, second.accepted, second.tokens_per_second) == (10.0, 2, 10.0)
    assert second.rejected == NONE | {"queue_full": 1, "user_limit": 2}
    assert second.queue_seconds == 2.0  # of the three claims within ten seconds


@pytest.mark.parametrize(
    "lost", [{"accepted": 6}, {"tokens": 49}, {"rejected": NONE}], ids=lambda lost: next(iter(lost))
)
def test_a_list_that_lost_its_memory_begins_anew(lost: dict[str, object]) -> None:
    kept = {"accepted": 7, "tokens": 50, "rejected": NONE | {"queue_full": 3}}
    before = sample(counters(100.0, **kept), None)
    after = sample(counters(110.0, **(kept | lost)), before)
    assert (after.seconds, after.accepted, after.tokens_per_second) == (0.0, 0, 0.0)
    assert min(after.rejected.values()) == 0


def test_a_clock_that_is_set_back_begins_anew() -> None:
    before = sample(counters(100.0), None)
    assert sample(counters(90.0, tokens=10), before).tokens_per_second == 0.0


async def test_one_of_many_takes_them_and_not_too_often(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    kept = MemoryChannelLayer(clock=lambda: now).waiting_list
    monkeypatch.setattr("streaming.waiting_list.memory.operating.time.time", lambda: now)
    assert await samples.take_in_turn(kept, "a") is True
    assert await samples.take_in_turn(kept, "b") is False
    now += 4.0
    assert await samples.take_in_turn(kept, "a") is False  # a moment ago
    now += 6.0
    assert await samples.take_in_turn(kept, "a") is True
    now += 16.0
    assert await samples.take_in_turn(kept, "b") is True
    assert [s.at for s in await samples.read(kept)] == [1000.0, 1010.0, 1026.0]
    assert [s.seconds for s in await samples.read(kept, 2)] == [10.0, 16.0]


async def test_what_cannot_be_read_is_left_out() -> None:
    kept = MemoryChannelLayer().waiting_list
    good = sample(counters(1.0), None)
    for text in ("", "[]", "{}", "null", json.dumps({**asdict(good), "of another version": 1})):
        await kept.sample(text)
    await kept.sample(json.dumps(asdict(good)))
    read: list[Sample] = await samples.read(kept)
    assert read == [good]


@pytest.mark.parametrize(
    ("values", "expected"), [([3.0], 3.0), ([1.0, 2.0], 2.0), ([*map(float, range(1, 21))], 19.0)]
)
def test_a_percentile_is_of_the_nearest_rank(values: list[float], expected: float) -> None:
    assert percentile(values[::-1], 95) == expected
