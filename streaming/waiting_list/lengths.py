"""How long answers become: the survival curve of their lengths in tokens.

Pure arithmetic; knows no clock and no list. `forecast` says by which estimators, and why.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Sequence
from itertools import accumulate

ROUNDS = 7
"""Into how many parts of equal probability a distribution is cut, and how often the forecast's
schedule is simulated. A prime number, as the forecast's deals need."""


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
