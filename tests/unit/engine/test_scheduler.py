"""Rows, budget and order under any sequence of operations."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from streaming.engine.base import GenerationRequest, SamplingParams
from streaming.engine.local.answers.detokenizer import Detokenizer
from streaming.engine.local.prefix_cache import PrefixCache
from streaming.engine.local.scheduler import Scheduler, StepPlan
from streaming.engine.local.sequence import SequencePhase, TokenSequence

ROWS, BUDGET = 4, 10
numbers = itertools.count(1000)


def sequence(name: str, tokens: int | list[int]) -> TokenSequence:
    """With its own tokens, or as many that nobody else has."""
    if isinstance(tokens, int):
        tokens = [next(numbers) for _ in range(tokens)]
    request = GenerationRequest(name, (), SamplingParams(max_tokens=9, seed=0))
    return TokenSequence(request, tokens, len(tokens), Detokenizer(lambda part: ""))


class Machine:
    """Carries out plans on rows of tokens instead of tensors."""

    def __init__(self) -> None:
        self.rows: list[list[int]] = [[] for _ in range(ROWS)]
        self.scheduler = Scheduler(PrefixCache(ROWS, self.swap, self.copy))

    def copy(self, source: int, target: int, length: int) -> None:
        self.rows[target][:length] = self.rows[source][:length]

    def swap(self, a: int, b: int, length: int) -> None:
        first, second = self.rows[a][:length], self.rows[b][:length]
        self.rows[a][:length], self.rows[b][:length] = second, first

    def step(self) -> StepPlan:
        plan = self.scheduler.plan(BUDGET)
        for row, one in enumerate(plan.decode):
            assert one.row == row
            self.write(one, 1)
            one.tokens.append(next(numbers))
        for chunk in plan.prefill:
            self.write(chunk.sequence, chunk.count)
        for chunk in plan.prefill:
            if not chunk.sequence.unread:
                self.scheduler.prefill_done(chunk.sequence)
                chunk.sequence.tokens.append(next(numbers))
        return plan

    def write(self, one: TokenSequence, count: int) -> None:
        part = slice(one.cached, one.cached + count)
        self.rows[one.row][part] = one.tokens[part]
        one.cached += count

    def check(self) -> None:
        running = self.scheduler.running
        assert len({one.row for one in running}) == len(running) == ROWS - self.scheduler.free
        for one in running:
            assert self.rows[one.row][: one.cached] == one.tokens[: one.cached]
            assert one.cached < len(one.tokens)
        decoding = sorted(one.row for one in running if one.phase is SequencePhase.DECODE)
        assert decoding == list(range(len(decoding)))


actions = st.lists(
    st.one_of(
        st.tuples(st.just("admit"), st.integers(1, 35)),
        st.tuples(st.just("again"), st.integers(0, 60)),
        st.tuples(st.just("remove"), st.integers(0, ROWS - 1)),
        st.tuples(st.just("step"), st.just(0)),
    ),
    max_size=60,
)


@given(actions)
def test_rows_stay_whole_and_every_decoding_row_is_in_every_step(
    operations: list[tuple[str, int]],
) -> None:
    machine = Machine()
    seen: list[TokenSequence] = []
    for number, (operation, value) in enumerate(operations):
        running = machine.scheduler.running
        if operation == "admit" and machine.scheduler.free:
            machine.scheduler.admit(one := sequence(f"s{number}", value))
            seen.append(one)
        elif operation == "again" and machine.scheduler.free and seen:
            # what begins as somebody did, up to some token, and goes on otherwise
            earlier = seen[value % len(seen)]
            tokens = [*earlier.tokens[:value], next(numbers)]
            machine.scheduler.admit(one := sequence(f"s{number}", tokens))
            seen.append(one)
        elif operation == "remove" and value < len(running):
            machine.scheduler.remove(running[value], keep=value % 2 == 0)
        elif operation == "step":
            decoding = {one for one in running if one.phase is SequencePhase.DECODE}
            reading = [one for one in running if one.phase is SequencePhase.PREFILL]
            plan = machine.step()
            assert set(plan.decode) == decoding
            read = sum(chunk.count for chunk in plan.prefill)
            assert read <= BUDGET
            assert bool(read) == bool(reading)
        machine.check()
    left = machine.scheduler.running
    assert machine.scheduler.clear() == left
    assert machine.scheduler.free == ROWS


def test_a_short_prompt_does_not_wait_for_a_long_one_nor_starve_it() -> None:
    machine = Machine()
    long = sequence("long", 1000)
    machine.scheduler.admit(long)
    for number in range(3):
        machine.scheduler.admit(sequence(f"short{number}", 5))
    counts = {chunk.sequence.id: chunk.count for chunk in machine.step().prefill}
    assert counts == {"long": 5, "short0": 5}
    for _ in range(3):
        before = long.cached
        machine.step()
        assert long.cached >= before + BUDGET // 2
    assert {one.id for one in machine.scheduler.plan(BUDGET).decode} == {
        "short0",
        "short1",
        "short2",
    }


def test_an_only_prompt_takes_the_whole_budget() -> None:
    machine = Machine()
    machine.scheduler.admit(sequence("only", 25))
    assert [machine.step().prefill[0].count for _ in range(3)] == [10, 10, 5]
    assert not machine.step().prefill
