"""How decoding rows are cut into calls."""

from __future__ import annotations

import itertools

import torch
from hypothesis import given
from hypothesis import strategies as st

from streaming.engine.local.attention.dense import decode_calls
from streaming.engine.local.attention.partition import partition


def cost(lengths: list[int], cuts: list[tuple[int, int]], call: int) -> int:
    return sum(call + (last - first) * max(lengths[first:last]) for first, last in cuts)


@given(st.lists(st.integers(1, 5000), max_size=8), st.integers(0, 600))
def test_rows_are_cut_at_the_least_cost(lengths: list[int], call: int) -> None:
    parts = partition(lengths, call)
    bounds = [0, *(last for _, last in parts)]
    assert parts == list(itertools.pairwise(bounds))
    assert bounds[-1] == len(lengths)
    if not lengths:
        return
    best = min(
        cost(lengths, list(itertools.pairwise([0, *cuts, len(lengths)])), call)
        for size in range(len(lengths))
        for cuts in itertools.combinations(range(1, len(lengths)), size)
    )
    # when all together wastes less than one call, the other ways are not looked at
    assert cost(lengths, parts, call) <= best + call


def test_equal_rows_need_no_mask() -> None:
    (rows,) = decode_calls([40, 40, 40], torch.float32, torch.device("cpu"))
    assert (rows.first, rows.last, rows.length, rows.mask) == (0, 3, 40, None)


def test_a_short_row_does_not_pay_for_a_long_one() -> None:
    parts = list(decode_calls([30, 35, 4000, 33], torch.float32, torch.device("cpu")))
    assert [(part.first, part.last, part.length) for part in parts] == [
        (0, 2, 35),
        (2, 3, 4000),
        (3, 4, 33),
    ]
    assert parts[0].mask is not None
    assert parts[0].mask[0, 0, 0].isneginf().tolist() == [False] * 30 + [True] * 5
