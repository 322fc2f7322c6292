"""The prompt tokens of a step follow from what steps have taken."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streaming.engine.local.prefill_budget import (
    CROWD_SECONDS,
    LEAST_TOKENS,
    MAX_SLOWDOWN,
    READERS_PER_PROMPT,
    UNNOTICED_SECONDS,
    PrefillBudget,
)


def test_a_prompt_that_delays_nobody_is_read_in_large_steps() -> None:
    pace = PrefillBudget(512)
    pace.learn(4, 0, 0.02)
    pace.learn(4, 100, 1.0)
    assert pace.budget(decoding=0) == 512


@pytest.mark.parametrize(
    ("decode", "whole"),
    [(0.100, MAX_SLOWDOWN * 0.100), (0.020, UNNOTICED_SECONDS), (0.001, UNNOTICED_SECONDS)],
)
def test_a_step_that_reads_is_as_long_as_it_may_be(decode: float, whole: float) -> None:
    pace = PrefillBudget(512)
    for _ in range(100):
        pace.learn(4, 0, decode)
        read = pace.budget(decoding=4)
        pace.learn(4, read, decode + read * 0.0005)
    assert decode + pace.budget(decoding=4) * 0.0005 == pytest.approx(whole, rel=0.05)


@pytest.mark.parametrize(
    ("decoding", "reading", "whole"),
    [
        (8, 1, UNNOTICED_SECONDS),  # one more reader, however long the prompt
        (1, 1, UNNOTICED_SECONDS),
        (READERS_PER_PROMPT, 2, UNNOTICED_SECONDS),
        (READERS_PER_PROMPT, 3, 2 * UNNOTICED_SECONDS),
        (1, 30, CROWD_SECONDS),
    ],
)
def test_a_crowd_of_prompts_makes_steps_longer(decoding: int, reading: int, whole: float) -> None:
    pace = PrefillBudget(4096)
    for _ in range(100):
        pace.learn(decoding, 0, 0.010)
        read = pace.budget(decoding, reading)
        pace.learn(decoding, read, 0.010 + read * 0.0005)
    took = 0.010 + pace.budget(decoding, reading) * 0.0005
    assert took == pytest.approx(whole, rel=0.05)


def test_tokens_that_take_longer_are_fewer() -> None:
    pace = PrefillBudget(512)
    pace.learn(1, 0, 0.010)
    budgets = []
    for token_seconds in (0.0001, 0.0005, 0.001):
        for _ in range(40):
            read = pace.budget(decoding=1)
            pace.learn(1, read, 0.010 + read * token_seconds)
        budgets.append(pace.budget(decoding=1))
    assert budgets[0] > budgets[1] > budgets[2] >= LEAST_TOKENS


def test_before_anything_is_known() -> None:
    assert 1 <= PrefillBudget(512).budget(decoding=3) < 512
    assert PrefillBudget(8).budget(decoding=3) == 8


@given(
    st.integers(1, 4096),
    st.lists(st.tuples(st.integers(0, 64), st.integers(0, 4096), st.floats(1e-9, 1e3))),
    st.integers(0, 64),
    st.integers(0, 64),
)
def test_it_is_always_within_bounds(
    most: int, steps: list[tuple[int, int, float]], decoding: int, reading: int
) -> None:
    pace = PrefillBudget(most)
    for decoded, read, seconds in steps:
        pace.learn(decoded, read, seconds)
    assert min(LEAST_TOKENS, most) <= pace.budget(decoding, reading) <= most


def test_nothing_is_not_a_bound() -> None:
    with pytest.raises(ValueError, match="most"):
        PrefillBudget(0)
