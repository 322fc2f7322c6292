"""When each waiting response gets a place: seconds, from what the waiting list measured.

Pure arithmetic on a `Load`; knows no layer, no database and no clock. Three steps:

1. *Answer lengths* as a survival curve, by the product-limit estimator (Kaplan and Meier 1958):
   finished answers are observed lengths; running ones, and those that their `max_tokens` cut off,
   are lengths known only to be longer. Without the running ones the short answers, which finish
   first, would pass for typical; and a tight limit of one says nothing about the next. Beyond
   the longest finished answer the curve goes on with a constant hazard
   (Brown, Hollander and Korwar 1974), so that an answer longer than all before it is expected to
   go on for a while, though not always to its limit. Given the tokens generated so far, the
   curve yields what remains (mean residual life), cut off at the response's `max_tokens`.
2. *Pace*, in seconds per token from claim on, which includes reading the prompt: a trimmed mean
   weighted by tokens, of the newest finished responses and the running ones.
3. *List scheduling* (Graham 1966): whoever is first in the list takes the place that is free
   first. It is played through a few times and averaged, each time with other lengths from the
   curve. With the expected lengths alone all places would seem to become free together, and the
   next in line would be told to wait for an average answer, not for the first of many to end.
"""

from __future__ import annotations

import math
import zlib
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Sequence
from heapq import heapify, heapreplace
from itertools import accumulate
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from streaming.waiting_list.interface import Load, RunningLoad

ROUNDS = 7
"""How often the schedule is simulated. A prime number, as `_DEALS` needs."""

PACE_RECENT = 16
"""The number of newest finished responses that the pace is measured by, beside the running ones.
Few, because an hour with few running responses says little about a crowded one."""

TRIMMED = 0.25
"""The share of the weight that the trimmed mean of the pace leaves out at each end."""


def forecast(load: Load) -> dict[str, float]:
    """Return the seconds until each waiting response gets a place, by its id.

    They never decrease along the list. Empty where nothing is known: no live worker claims, no
    answer was finished yet (token limits say little about lengths), or no speed was measured.
    Running responses of workers that do not claim are left out, since they free no place.
    """
    pace = _pace(load)
    if pace is None or not load.recent or not any(cap > 0 for cap in load.capacities.values()):
        return {}
    lengths = Lengths(
        [tokens for tokens, _, limit in load.recent if not 0 < limit <= tokens],
        [running.tokens for running in load.running]
        + [tokens for tokens, _, limit in load.recent if 0 < limit <= tokens],
    )
    free_at = _free_at(load, lengths, pace)
    # Per response, a deal: which of its lengths it has in each round.
    seconds_of: dict[int, list[float]] = {}
    jobs: list[tuple[list[float], tuple[int, ...]]] = []
    for response_id, max_tokens in load.waiting:
        if max_tokens not in seconds_of:
            seconds_of[max_tokens] = [pace * tokens for tokens in lengths.remaining(0, max_tokens)]
        jobs.append((seconds_of[max_tokens], _deal(response_id)))
    waits = [0.0] * len(jobs)
    for round_index, heap in enumerate(free_at):
        heapify(heap)
        for index, (seconds, deal) in enumerate(jobs):
            start = heap[0]
            waits[index] += start
            heapreplace(heap, start + seconds[deal[round_index]])
    return {
        response_id: wait / ROUNDS
        for (response_id, _), wait in zip(load.waiting, waits, strict=True)
    }


def _free_at(load: Load, lengths: Lengths, pace: float) -> list[list[float]]:
    """Return, for each round, the seconds until each place of the claiming workers is free."""
    running_on: dict[str, list[RunningLoad]] = {worker_id: [] for worker_id in load.capacities}
    for running in load.running:
        if running.worker_id in running_on:
            running_on[running.worker_id].append(running)
    rounds: list[list[float]] = [[] for _ in range(ROUNDS)]
    for worker_id, places in load.capacities.items():
        ends: list[list[float]] = [[] for _ in range(ROUNDS)]
        for running in running_on[worker_id]:
            parts = lengths.remaining(running.tokens, running.max_tokens)
            for round_index, part in enumerate(_deal(running.response_id)):
                ends[round_index].append(pace * parts[part])
        for round_index, ending in enumerate(ends):
            # A worker that runs more than its capacity, which was lowered, frees no place first.
            kept = sorted(ending)[max(0, len(ending) - places) :]
            rounds[round_index] += kept + [0.0] * (places - len(kept))
    return rounds


def _pace(load: Load) -> float | None:
    """Return the seconds per token; None if nothing was measured."""
    recent = [(tokens, seconds) for tokens, seconds, _ in load.recent if tokens > 0 and seconds > 0]
    measured = [(seconds / tokens, tokens) for tokens, seconds in recent[-PACE_RECENT:]]
    for running in load.running:
        tokens = running.tokens - running.resumed
        if tokens > 0 and running.seconds > 0:
            measured.append((running.seconds / tokens, tokens))
    if not measured:
        return None
    measured.sort()
    whole = sum(tokens for _, tokens in measured)
    low, high = TRIMMED * whole, (1 - TRIMMED) * whole
    reached, kept, pace_sum = 0.0, 0.0, 0.0
    for pace, tokens in measured:
        inside = max(0.0, min(reached + tokens, high) - max(reached, low))
        reached += tokens
        kept += inside
        pace_sum += pace * inside
    return pace_sum / kept


class Lengths:
    """The survival curve of answer lengths: P(L > x), a step down at each finished length."""

    def __init__(self, finished: Sequence[int], unfinished: Sequence[int]) -> None:
        """`unfinished` are the tokens of answers that run on, or were cut off."""
        ended = Counter(finished)
        longer = sorted(unfinished)
        at_risk = len(finished)
        survival = 1.0
        steps, heights = [0], [1.0]
        for length in sorted(ended):
            known = at_risk + len(longer) - bisect_left(longer, length)
            survival *= 1 - ended[length] / known
            at_risk -= ended[length]
            steps.append(length)
            heights.append(survival)
        mean_beyond = (sum(finished) + sum(unfinished)) / max(1, len(finished))
        self._curve = _Curve(steps, heights, mean_beyond)
        self._beyond = _Curve([0], [1.0], mean_beyond)

    def remaining(self, generated: int, max_tokens: int) -> list[float]:
        """Return how many more tokens an answer with `generated` tokens may have.

        The distribution of the remainder is cut, in ascending order, into ROUNDS parts of equal
        probability, and the mean of each returned. A `max_tokens` of 0 is no limit.
        """
        limit = max_tokens if max_tokens > 0 else math.inf
        if generated >= limit:
            return [0.0] * ROUNDS
        last = self._curve.steps[-1]
        if generated > 0 and generated >= last:
            return self._beyond.parts(0, limit - generated)
        return self._curve.parts(generated, limit)


class _Curve:
    """A survival curve: `heights[i]` from `steps[i]` on.

    After the last step it decays exponentially, with `mean_beyond` as the mean of what follows.
    """

    def __init__(self, steps: list[int], heights: list[float], mean_beyond: float) -> None:
        self.steps = steps
        self._heights = heights
        self._depths = [-height for height in heights]  # ascending, for bisect
        self._mean_beyond = mean_beyond
        areas = (
            height * (step - before)
            for height, before, step in zip(heights, steps, steps[1:], strict=False)
        )
        self._areas = list(accumulate(areas, initial=0.0))  # up to each step
        self._cuts: dict[int, list[tuple[float, float, float]]] = {}

    def parts(self, start: int, limit: float) -> list[float]:
        """Return what `Lengths.remaining` does, for a start before the last step or at 0."""
        alive = self._heights[bisect_right(self.steps, start) - 1] if start else 1.0
        before, whole = self._area(start), self._area(limit)
        if start not in self._cuts:
            wheres = [self._where(alive * left) for left in _LEFT]
            self._cuts[start] = [
                (left, where, self._area(where)) for left, where in zip(_LEFT, wheres, strict=True)
            ]
        parts, reached = [], 0.0
        for left, cut, area in self._cuts[start]:
            if cut > limit:
                cut, area = limit, whole
            # The area is E[min(L, cut)], in which those longer than `cut` count as `cut`.
            total = (area - before) / alive - ((cut - start) * left if left else 0.0)
            parts.append(max(0.0, total - reached) * ROUNDS)
            reached = total
        return parts

    def _area(self, limit: float) -> float:
        """Return the area under the curve up to `limit`, which is E[min(L, limit)]."""
        index = bisect_right(self.steps, limit) - 1
        width = limit - self.steps[index]
        if index == len(self.steps) - 1:
            mean = self._mean_beyond
            width = -mean * math.expm1(-width / mean) if mean else 0.0
        return self._areas[index] + self._heights[index] * width

    def _where(self, height: float) -> float:
        """Return the length at which the curve has fallen to `height`."""
        index = bisect_left(self._depths, -height * (1 + 1e-9))
        if index < len(self.steps):
            return self.steps[index]
        if not height:
            return math.inf
        return self.steps[-1] + self._mean_beyond * math.log(self._heights[-1] / height)


_LEFT = [1 - part / ROUNDS for part in range(1, ROUNDS)] + [0.0]
"""The share of a distribution that is left after each of its parts."""

_DEALS = [
    tuple((start + stride * round_index) % ROUNDS for round_index in range(ROUNDS))
    for stride in range(1, ROUNDS)
    for start in range(ROUNDS)
]
"""Orders in which the parts of a distribution are assigned to the rounds: each part once, and two
responses with different strides have all combinations of parts (Latin hypercube sampling)."""


def _deal(response_id: str) -> tuple[int, ...]:
    """Return a response's deal, always the same one, so that its forecasts do not jitter."""
    return _DEALS[zlib.crc32(response_id.encode()) % len(_DEALS)]
