"""The forecast: exact cases, what must hold for any load, and its error in simulated queues."""

from __future__ import annotations

import math
import random
import statistics
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from streaming.waiting_list.forecast import RANGE_LEAST, Estimate, estimates, forecast
from streaming.waiting_list.lengths import ROUNDS, Lengths


@dataclass(frozen=True)
class RunningLoad:
    response_id: str
    worker_id: str
    tokens: int
    max_tokens: int
    seconds: float
    resumed: int = 0


@dataclass(frozen=True)
class Load:
    running: list[RunningLoad] = field(default_factory=list)
    waiting: list[tuple[str, int]] = field(default_factory=list)
    capacities: dict[str, int] = field(default_factory=dict)
    recent: list[tuple[int, float, int]] = field(default_factory=list)


def waiting(count: int, max_tokens: int = 1000) -> list[tuple[str, int]]:
    return [(f"w{number}", max_tokens) for number in range(count)]


def etas(load: Load) -> list[float]:
    """In the order of the list; every waiting response must have one."""
    found = forecast(load)  # type: ignore[arg-type]
    assert list(found) == [response_id for response_id, _ in load.waiting]
    return list(found.values())


STEADY = [(100, 10.0, 1000)] * 20
"""All answers have 100 tokens, at 0.1 s each."""


# --- exact cases ---------------------------------------------------------------------------


def test_free_places_are_taken_at_once_and_the_rest_wait_for_their_turn() -> None:
    load = Load(waiting=waiting(5), capacities={"a": 1, "b": 1}, recent=STEADY)
    assert etas(load) == pytest.approx([0, 0, 10, 10, 20])


def test_a_running_response_frees_its_place_after_what_it_still_has_to_write() -> None:
    load = Load(
        running=[RunningLoad("r", "a", tokens=10, max_tokens=40, seconds=1.0)],
        waiting=waiting(3),
        capacities={"a": 1},
        recent=[(100, 10.0, 1000)] * 10_000,
    )
    # Its own limit ends it at 40; those behind it are expected to write 100 each.
    assert etas(load) == pytest.approx([3, 13, 23], rel=1e-3)


def test_token_limits_shorten_the_waiting_too() -> None:
    load = Load(
        waiting=[("w0", 1000), ("w1", 50), ("w2", 20), ("w3", 0)],
        capacities={"a": 1},
        recent=STEADY,
    )
    assert etas(load) == pytest.approx([0, 10, 15, 17])  # a limit of 0 is none


def test_the_place_that_is_free_first_is_taken_first() -> None:
    load = Load(
        running=[
            RunningLoad("late", "a", tokens=20, max_tokens=1000, seconds=2.0),
            RunningLoad("soon", "b", tokens=90, max_tokens=100, seconds=9.0),
        ],
        waiting=waiting(3),
        capacities={"a": 1, "b": 1},
        recent=[(100, 10.0, 1000)] * 10_000,
    )
    assert etas(load) == pytest.approx([1, 8, 11], rel=1e-2)


def test_lowered_places_are_free_only_when_enough_have_ended() -> None:
    load = Load(
        running=[RunningLoad(f"r{left}", "a", 1, 1 + left, 0.1) for left in (10, 20, 30)],
        waiting=waiting(1),
        capacities={"a": 1},
        recent=[(100, 10.0, 1000)] * 10_000,
    )
    assert etas(load) == pytest.approx([3], rel=1e-2)
    assert etas(replace(load, capacities={"a": 2})) == pytest.approx([2], rel=1e-2)


def test_a_worker_that_does_not_claim_frees_no_place() -> None:
    load = Load(
        running=[
            RunningLoad("drains", "gone", tokens=99, max_tokens=100, seconds=9.9),
            RunningLoad("runs", "a", tokens=50, max_tokens=100, seconds=5.0),
        ],
        waiting=waiting(1),
        capacities={"a": 1, "full": 0},
        recent=[(100, 10.0, 1000)] * 10_000,
    )
    assert etas(load) == pytest.approx([5], rel=1e-2)


def test_an_answer_longer_than_all_before_it_goes_on_for_a_while() -> None:
    load = Load(
        running=[RunningLoad("r", "a", tokens=400, max_tokens=10_000, seconds=40.0)],
        waiting=waiting(1),
        capacities={"a": 1},
        recent=STEADY,
    )
    (eta,) = etas(load)
    assert 0 < eta < 0.1 * (10_000 - 400) / 10
    (nearer,) = etas(replace(load, running=[replace(load.running[0], max_tokens=410)]))
    assert 0 < nearer <= 1.001  # its limit, ten tokens away


def test_the_pace_is_not_led_astray() -> None:
    """By stalled or unmeasurable answers, nor by tokens from before a worker took over."""
    load = Load(
        running=[RunningLoad("r", "a", tokens=90, max_tokens=100, seconds=0.1, resumed=89)],
        waiting=waiting(2),
        capacities={"a": 1},
        recent=[*STEADY, (100, 900.0, 1000), (100, 0.0, 1000), (0, 3.0, 1000)],
    )
    first, second = etas(load)
    assert 0 < first <= 1.001
    assert second - first == pytest.approx(10, rel=0.1)


def test_the_pace_follows_the_present() -> None:
    quiet, crowded = (100, 10.0, 1000), (100, 30.0, 1000)
    load = Load(waiting=waiting(2), capacities={"a": 1}, recent=[quiet] * 100 + [crowded] * 28)
    assert etas(load)[1] == pytest.approx(30)


# --- nothing to say ------------------------------------------------------------------------


RUNNING = [RunningLoad("r", "a", tokens=50, max_tokens=100, seconds=5.0)]


@pytest.mark.parametrize(
    "load",
    [
        Load(waiting=waiting(2), recent=STEADY, running=RUNNING),
        Load(waiting=waiting(2), recent=STEADY, capacities={"a": 0}),
        Load(waiting=waiting(2), capacities={"a": 2}),
        Load(waiting=waiting(2), capacities={"a": 1}, running=[replace(RUNNING[0], tokens=0)]),
        Load(waiting=waiting(2), capacities={"a": 1}, running=RUNNING),
        Load(waiting=waiting(2), capacities={"a": 1}, recent=[(0, 4.0, 1000)]),
        Load(capacities={"a": 1}, recent=STEADY, running=RUNNING),
    ],
    ids=["no worker", "no places", "no data", "not begun", "none ended", "no speed", "no queue"],
)
def test_nothing_is_said_without_grounds(load: Load) -> None:
    assert forecast(load) == {}  # type: ignore[arg-type]


# --- whatever the load ---------------------------------------------------------------------

counts = st.integers(0, 5000)
seconds = st.floats(0, 1e5)
worker_ids = st.sampled_from("abcd")


@st.composite
def loads(draw: st.DrawFn) -> Load:
    running = draw(
        st.lists(st.tuples(worker_ids, counts, st.integers(0, 4096), seconds, counts), max_size=12)
    )
    limits = draw(st.lists(st.integers(0, 4096), max_size=30))
    return Load(
        running=[
            RunningLoad(f"r{number}", worker_id, tokens, limit, since, min(tokens, resumed))
            for number, (worker_id, tokens, limit, since, resumed) in enumerate(running)
        ],
        waiting=[(f"w{number}", limit) for number, limit in enumerate(limits)],
        capacities=draw(st.dictionaries(worker_ids, st.integers(0, 6))),
        recent=draw(st.lists(st.tuples(counts, seconds, counts), max_size=40)),
    )


@given(loads())
def test_every_eta_is_a_number_and_grows_along_the_list(load: Load) -> None:
    found = list(forecast(load).values())  # type: ignore[arg-type]
    assert len(found) in (0, len(load.waiting))
    assert all(math.isfinite(eta) and eta >= 0 for eta in found)
    assert found == sorted(found)


@given(loads())
def test_the_range_has_the_estimate_in_it_and_grows_along_the_list(load: Load) -> None:
    found = list(estimates(load).values())  # type: ignore[arg-type]
    ended = [tokens for tokens, _, limit in load.recent if not 0 < limit <= tokens]
    knows = len(ended) >= RANGE_LEAST and any(ended)
    assert all((each.low is not None) == (each.high is not None) == knows for each in found)
    ranges = [(each.low, each.seconds, each.high) for each in found if each.low is not None]
    assert all(0 <= low <= mid <= high < math.inf for low, mid, high in ranges)  # type: ignore[operator]
    for row in zip(*ranges, strict=True):
        assert list(row) == sorted(row)  # type: ignore[type-var]
    assert {name: each.seconds for name, each in estimates(load).items()} == forecast(load)  # type: ignore[arg-type]


def test_answers_of_one_length_make_no_range_but_a_point() -> None:
    load = Load(waiting=waiting(3), capacities={"a": 1}, recent=STEADY)
    found = estimates(load)  # type: ignore[arg-type]
    for each in found.values():
        assert (each.low, each.high) == pytest.approx((each.seconds, each.seconds))
    few = estimates(replace(load, recent=STEADY[: RANGE_LEAST - 1]))  # type: ignore[arg-type]
    assert [each.low for each in few.values()] == [None] * 3


@given(loads())
def test_who_finds_a_free_place_does_not_wait(load: Load) -> None:
    found = list(forecast(load).values())  # type: ignore[arg-type]
    busy = [running.worker_id for running in load.running]
    free = sum(max(0, cap - busy.count(worker_id)) for worker_id, cap in load.capacities.items())
    assert not any(found[:free])


@given(loads(), worker_ids, st.integers(1, 5))
def test_more_places_make_nobody_wait_longer(load: Load, worker_id: str, more: int) -> None:
    busy = {running.worker_id for running in load.running}
    # A worker that claims again would bring its running responses with it.
    assume(worker_id in load.capacities or worker_id not in busy)
    before = forecast(load)  # type: ignore[arg-type]
    places = {**load.capacities, worker_id: load.capacities.get(worker_id, 0) + more}
    after = forecast(replace(load, capacities=places))  # type: ignore[arg-type]
    assert all(after[response_id] <= eta for response_id, eta in before.items())


@given(loads(), st.integers(0, 4096))
def test_who_comes_later_changes_nothing_for_those_before(load: Load, limit: int) -> None:
    before = forecast(load)  # type: ignore[arg-type]
    after = forecast(replace(load, waiting=[*load.waiting, ("late", limit)]))  # type: ignore[arg-type]
    assert all(after[response_id] == eta for response_id, eta in before.items())


# --- the lengths ---------------------------------------------------------------------------

finished_lengths = st.lists(st.integers(0, 3000), min_size=1, max_size=60)


@given(finished_lengths, st.integers(1, 4000))
def test_the_expected_length_is_the_mean_of_the_finished_up_to_the_limit(
    finished: list[int], limit: int
) -> None:
    parts = Lengths(finished, []).remaining(0, limit)
    assert len(parts) == ROUNDS
    assert parts == pytest.approx(sorted(parts))
    expected = statistics.mean(min(length, limit) for length in finished)
    assert statistics.mean(parts) == pytest.approx(expected, abs=1e-6)


@given(finished_lengths, st.data())
def test_the_expected_remainder_is_the_mean_of_those_that_were_longer(
    finished: list[int], data: st.DataObject
) -> None:
    generated = data.draw(st.integers(0, max(finished)))
    limit = data.draw(st.integers(generated + 1, 4000))
    longer = [length for length in finished if length > generated]
    assume(longer and generated)
    expected = statistics.mean(min(length, limit) - generated for length in longer)
    parts = Lengths(finished, []).remaining(generated, limit)
    assert statistics.mean(parts) == pytest.approx(expected, abs=1e-6)


@given(finished_lengths, st.lists(st.integers(0, 100_000), max_size=10), st.integers(0, 4096))
def test_no_remainder_passes_the_limit(
    finished: list[int], running: list[int], max_tokens: int
) -> None:
    lengths = Lengths(finished, running)
    for generated in (0, *running):
        parts = lengths.remaining(generated, max_tokens)
        assert all(math.isfinite(part) and part >= 0 for part in parts)
        if max_tokens:
            assert max(parts) <= max(0, max_tokens - generated) + 1e-6


def test_answers_still_running_are_evidence_of_long_ones() -> None:
    """The short ones finish first; alone, they would make every answer seem short."""
    early = statistics.mean(Lengths([10, 20], []).remaining(0, 0))
    aware = statistics.mean(Lengths([10, 20], [150, 150, 150]).remaining(0, 0))
    assert aware > 5 * early


def test_an_answer_cut_by_its_limit_says_nothing_against_longer_ones() -> None:
    cut = [(60, 6.0, 60), (100, 10.0, 100)] * 10
    load = Load(waiting=waiting(2, max_tokens=100), capacities={"a": 1}, recent=cut)
    assert 9 < etas(load)[1] <= 10
    whole = [(tokens, seconds, 1000) for tokens, seconds, _ in cut]
    assert etas(replace(load, recent=whole))[1] == pytest.approx(8)


# --- simulated queues ----------------------------------------------------------------------


@dataclass
class Simulated:
    number: int
    length: int
    max_tokens: int
    arrived: float
    prefill: float
    estimate: Estimate | None = None
    started: float = 0.0
    tokens: float = 0.0

    @property
    def eta(self) -> float | None:
        return self.estimate.seconds if self.estimate else None

    def as_load(self, now: float) -> RunningLoad:
        started = now - self.started
        return RunningLoad(str(self.number), "a", int(self.tokens), self.max_tokens, started)


def simulate(
    seed: int, places: int, length: Callable[[random.Random], float], *, bursts: bool
) -> list[Simulated]:
    """150 random arrivals at one worker, a little more than it can serve, in simulated time.

    All running responses get a token per step, and a step is longer the more of them there are;
    each reads its prompt for a while first. Everyone gets a forecast on arrival.
    """
    chance = random.Random(seed)
    crowded_step = 0.03 * (1 + 0.15 * (places - 1))
    mean_length = statistics.mean(min(1024, length(chance)) for _ in range(2000))
    between = (mean_length * crowded_step + 0.5) / places / 1.1
    coming: deque[Simulated] = deque()
    now = 0.0
    for number in range(150):
        factor = 1.0 if not bursts else 3.0 if int(now / 120) % 2 else 0.3
        now += chance.expovariate(factor / between)
        tokens = min(1024, max(1, int(length(chance))))
        coming.append(Simulated(number, tokens, 1024, now, prefill=chance.random()))

    now, queue, running, ended = 0.0, deque[Simulated](), list[Simulated](), list[Simulated]()
    recent: deque[tuple[int, float, int]] = deque(maxlen=128)
    while coming or queue or running:
        step = 0.03 * (1 + 0.15 * (len(running) - 1))
        ends = [each.prefill + (each.length - each.tokens) * step for each in running]
        until_arrival = coming[0].arrived - now if coming else math.inf
        passed = min([*ends, until_arrival])
        now += passed
        for each, end in zip(list(running), ends, strict=True):
            read = min(each.prefill, passed)
            each.prefill -= read
            each.tokens += (passed - read) / step
            if end == passed:
                running.remove(each)
                ended.append(each)
                recent.append((each.length, now - each.started, each.max_tokens))
        if until_arrival == passed:
            arrived = coming.popleft()
            queue.append(arrived)
            load = Load(
                running=[each.as_load(now) for each in running],
                waiting=[(str(each.number), each.max_tokens) for each in queue],
                capacities={"a": places},
                recent=list(recent),
            )
            arrived.estimate = estimates(load).get(str(arrived.number))  # type: ignore[arg-type]
        while queue and len(running) < places:
            queue[0].started = now
            running.append(queue.popleft())
    return ended


SKEWED: dict[str, Callable[[random.Random], float]] = {
    "lognormal": lambda chance: chance.lognormvariate(4.5, 0.8),
    "exponential": lambda chance: chance.expovariate(1 / 150),
}


@pytest.mark.parametrize("bursts", [False, True], ids=["steady", "bursts"])
@pytest.mark.parametrize("name", SKEWED)
@pytest.mark.parametrize("places", [2, 4, 8])
def test_the_median_error_on_arrival_is_under_a_quarter(
    places: int, name: str, bursts: bool
) -> None:
    errors, unknown, inside = [], 0, []
    for seed in range(6):
        for each in simulate(seed, places, SKEWED[name], bursts=bursts):
            wait = each.started - each.arrived
            if wait >= 5 and each.eta is None:
                unknown += 1
            elif wait >= 5 and each.eta is not None:
                errors.append(abs(each.eta - wait) / wait)
                estimate = each.estimate
                if estimate and estimate.low is not None and estimate.high is not None:
                    inside.append(estimate.low <= wait <= estimate.high)
    median = statistics.median(errors)
    print(
        f"{places} places, {name}, {'bursts' if bursts else 'steady'}: median error {median:.1%} "
        f"of {len(errors)} waits of 5 s and more; {unknown} had no forecast; "
        f"{statistics.mean(inside):.0%} of {len(inside)} ended within their range"
    )
    assert len(errors) > 200
    assert unknown < 0.05 * len(errors)
    assert median < 0.25
    assert len(inside) > 0.9 * len(errors)
    assert 0.7 < statistics.mean(inside) < 0.95  # about the 10th to the 90th percentile
