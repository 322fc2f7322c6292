"""The number of threads follows what steps cost, on machines made up."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest

from streaming.engine.local.forward.thread_tuner import LAST, ThreadTuner


def taken(
    threads: ThreadTuner, cost: Callable[[int], float], steps: int, tokens: int = 8
) -> list[int]:
    """The numbers that so many steps took, where `cost` says how long a step is with a number."""
    numbers = []
    for _ in range(steps):
        number = threads.choose(tokens, 100)
        numbers.append(number)
        threads.learn(tokens, 100, cost(number))
    return numbers


def usual(numbers: list[int]) -> int:
    return max(set(numbers), key=numbers.count)


@pytest.mark.parametrize(("most", "best"), [(1, 1), (2, 1), (2, 2), (6, 4), (6, 6), (16, 1)])
def test_the_fastest_number_is_found_and_kept(most: int, best: int) -> None:
    threads = ThreadTuner(most)

    def cost(number: int) -> float:
        return 1.0 + abs(number - best) / 4

    taken(threads, cost, 200)
    numbers = taken(threads, cost, 1000)
    assert usual(numbers) == best
    assert numbers.count(best) > 950
    assert all(1 <= number <= most for number in numbers)


def test_it_turns_when_the_machine_does() -> None:
    threads = ThreadTuner(2)
    assert usual(taken(threads, lambda number: 2 / number, 1000)) == 2
    crowded = taken(threads, lambda number: 1.2 if number == 1 else 5.0, 3 * LAST)
    assert crowded.index(1) < 20  # at once, not at the next trial that was due
    assert crowded[20:].count(2) < 10
    quiet = taken(threads, lambda number: 2 / number, 6 * LAST)
    assert usual(quiet[2 * LAST :]) == 2


def test_a_number_that_is_hopeless_is_tried_for_one_step() -> None:
    threads = ThreadTuner(2)
    numbers = taken(threads, lambda number: 1.0 if number == 2 else 3.0, 500)
    ones = [index for index, number in enumerate(numbers) if number == 1]
    assert ones
    assert all(later - earlier > 1 for earlier, later in itertools.pairwise(ones))


def test_sizes_of_steps_have_their_own_numbers() -> None:
    threads = ThreadTuner(2)
    for _ in range(100):
        taken(threads, lambda number: number, 1, tokens=1)
        taken(threads, lambda number: 1 / number, 1, tokens=300)
    assert usual(taken(threads, lambda number: number, 100, tokens=1)) == 1
    assert usual(taken(threads, lambda number: 1 / number, 100, tokens=300)) == 2


def test_what_steps_that_come_often_find_helps_those_that_come_seldom() -> None:
    threads = ThreadTuner(2)

    def seldom_and_often(cost: Callable[[int], float], rounds: int) -> list[int]:
        seldom = []
        for _ in range(rounds):
            taken(threads, cost, 60)
            seldom += taken(threads, cost, 3, tokens=300)
        return seldom

    crowded = seldom_and_often(lambda number: 1.2 if number == 1 else 5.0, 200)
    assert usual(crowded[300:]) == 1
    quiet = seldom_and_often(lambda number: 1.2 / number, 20)
    assert quiet[-30:] == [2] * 30


def test_a_new_size_begins_with_what_held_for_the_last_one() -> None:
    threads = ThreadTuner(2)
    assert usual(taken(threads, lambda number: number, 1000)) == 1
    assert taken(threads, lambda number: number, 20, tokens=300) == [1] * 20


def test_noise_does_not_make_it_wander() -> None:
    threads = ThreadTuner(4)
    noise = iter(range(10_000))
    numbers = taken(threads, lambda number: 1.0 + (next(noise) * 7 % 5) / 100, 2000)
    assert numbers.count(4) > 1900


def test_steps_that_are_made_equally_long_are_compared_by_their_tokens() -> None:
    threads = ThreadTuner(2)
    ones = 0
    for _ in range(400):
        number = threads.choose(40, 100)
        ones += number == 1
        threads.learn(58 if number == 2 else 34, 100, 0.08)
        threads.learn(1, 1, 0.01)  # another size
    assert ones < 40


def test_there_is_at_least_one() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        ThreadTuner(0)
