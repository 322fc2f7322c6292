"""What free rows still hold is used again, and nothing else is lost by it."""

from __future__ import annotations

from typing import Any

import pytest

from streaming.engine.base import GenerationRequest, SamplingParams
from streaming.engine.local.answers.detokenizer import Detokenizer
from streaming.engine.local.prefix_cache import LEAST_PREFIX, PrefixCache
from streaming.engine.local.sequence import TokenSequence

SYSTEM = list(range(1, 1 + 2 * LEAST_PREFIX))


def sequence(tokens: list[int]) -> TokenSequence:
    request = GenerationRequest("r", (), SamplingParams(max_tokens=9, seed=0))
    return TokenSequence(request, list(tokens), len(tokens), Detokenizer(lambda part: ""))


class Recorded:
    """Rows that say what was copied and swapped."""

    def __init__(self, count: int, *, apart: bool = False, **more: Any) -> None:
        self.copies: list[tuple[int, int, int]] = []
        self.swaps: list[tuple[int, int, int]] = []
        self.rows = PrefixCache(
            count,
            lambda *swap: self.swaps.append(swap),
            lambda *copy: self.copies.append(copy),
            apart=apart,
            **more,
        )

    def give(self, tokens: list[int]) -> TokenSequence:
        self.rows.give(one := sequence(tokens))
        return one

    def answer(self, tokens: list[int]) -> int:
        """Somebody comes, reads all and goes; their row."""
        one = self.give(tokens)
        row, one.cached = one.row, len(tokens)
        self.rows.take_back(one)
        return row


def test_the_next_turn_takes_the_row_of_the_last_one() -> None:
    recorded = Recorded(3)
    turn = list(range(100, 200))
    row = recorded.answer(turn)
    recorded.answer(list(range(300, 400)))
    following = recorded.give([*turn, 7, 8])
    assert (following.row, following.cached) == (row, 100)
    assert not recorded.copies


def test_the_last_token_is_always_read() -> None:
    recorded = Recorded(2)
    turn = list(range(100, 200))
    recorded.answer(turn)
    assert recorded.give(turn).cached == 99


def test_a_system_prompt_is_copied_and_stays_where_it_is() -> None:
    recorded = Recorded(3)
    row = recorded.answer([*SYSTEM, *range(500, 600)])
    other = recorded.give([*SYSTEM, *range(700, 720)])
    assert other.row != row
    assert recorded.copies == [(row, other.row, len(SYSTEM))]
    assert other.cached == len(SYSTEM)
    again = recorded.give([*SYSTEM, *range(500, 600), 9])
    assert (again.row, again.cached) == (row, len(SYSTEM) + 100)


def test_a_prefix_is_copied_from_somebody_who_still_runs() -> None:
    recorded = Recorded(2)
    running = recorded.give([*SYSTEM, *range(500, 600)])
    running.cached = 60
    other = recorded.give([*SYSTEM, *range(500, 600)])
    assert other.cached == 60
    assert recorded.copies == [(running.row, other.row, 60)]


def test_the_row_given_back_first_is_taken_first() -> None:
    recorded = Recorded(3)
    rows = [recorded.answer(list(range(start, start + 50))) for start in (100, 200, 300)]
    assert sorted(rows) == [0, 1, 2]  # what nobody had comes before what holds something
    assert recorded.give(list(range(900, 950))).row == rows[0]
    assert recorded.give(list(range(200, 251))).cached == 50


def test_a_short_beginning_is_read_again() -> None:
    recorded = Recorded(2)
    recorded.answer([*SYSTEM[: LEAST_PREFIX - 1], *range(500, 600)])
    assert recorded.give([*SYSTEM[: LEAST_PREFIX - 1], *range(700, 720)]).cached == 0
    assert not recorded.copies


def test_what_is_not_to_be_kept_is_not_used() -> None:
    recorded = Recorded(2)
    bad = recorded.give(list(range(100, 200)))
    bad.cached = 100
    recorded.rows.take_back(bad, keep=False)
    assert recorded.give(list(range(100, 201))).cached == 0


def test_an_exchange_moves_all_that_both_hold() -> None:
    recorded = Recorded(2)
    row = recorded.answer(list(range(100, 180)))
    running = recorded.give(list(range(300, 330)))
    running.cached = 30
    recorded.rows.exchange(row, running.row)
    assert recorded.swaps == [(row, 1 - row, 80)]
    assert running.row == row
    assert recorded.give(list(range(100, 181))).cached == 80


def test_no_row_is_free() -> None:
    recorded = Recorded(1)
    recorded.give([1, 2])
    with pytest.raises(IndexError, match="no row is free"):
        recorded.give([3, 4])


def test_clear_forgets_everything() -> None:
    recorded = Recorded(2)
    recorded.answer(list(range(100, 200)))
    recorded.give([1, 2])
    recorded.rows.clear()
    assert recorded.rows.free == 2
    assert recorded.give(list(range(100, 201))).cached == 0


def test_what_was_generated_is_no_beginning_of_a_prompt() -> None:
    """It is read again, in the row that has it; an answer that goes on need not read it."""
    recorded = Recorded(3, apart=True)
    prompt, answer = list(range(100, 140)), list(range(500, 600))
    recorded.rows.give(one := sequence(prompt))
    row = one.row
    one.tokens += answer
    one.cached = len(one.tokens) - 1
    recorded.rows.take_back(one)

    recorded.rows.give(goes_on := sequence(prompt))
    assert goes_on.cached == len(prompt) - 1  # regenerated: the last one is always read
    recorded.rows.take_back(goes_on, keep=False)

    continued = sequence(prompt)
    continued.tokens += answer[:30]
    recorded.rows.give(continued)
    assert continued.cached == len(prompt) + 29
    recorded.rows.take_back(continued, keep=False)

    turn = recorded.give([*prompt, *answer, 7, 8])
    assert (turn.row, turn.cached) == (row, len(prompt))


def test_a_prompt_is_no_beginning_of_an_answer() -> None:
    recorded = Recorded(2, apart=True)
    prompt, answer = list(range(100, 140)), list(range(500, 600))
    recorded.answer([*prompt, *answer])
    continued = sequence(prompt)
    continued.tokens += answer
    recorded.rows.give(continued)
    assert continued.cached == len(prompt)
