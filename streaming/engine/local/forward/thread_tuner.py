"""How many threads a step takes on a CPU: what was faster lately, found by trying.

A step is some 200 parallel regions of a few hundred microseconds each, and all threads wait for
the last one at the end of each. On idle cores two threads nearly halve a step of many rows, and
gain little with one row. Beside other busy processes the slowest thread is one that has lost its
core for milliseconds, again and again: two threads were measured to take five times as long as
one. No number is right for both, and which one it is changes while a server runs.

A hill climb over powers of two (a bandit with two arms at a time): now and then a few steps take
half or twice the threads, and the faster number stays. When more threads have become faster for
steps of one size, those of others that take fewer are tried again, too.
"""

from __future__ import annotations

from collections import deque
from statistics import fmean

TRIAL = 4
"""Steps that a number is tried for."""

FIRST, LAST = 64, 256
"""Steps from one trial to the next: doubled while nothing changes. What was found better is left
again, or gone on from, at the next trial after TRIAL steps."""

_BETTER = 0.85  # of the time before: less may be noise, and a wrong number costs more
_WORSE = 1.1  # times as long so far: no further step is needed to know
_JUMP = 1.5  # times as long as before: something else has begun to run
_FIXED = 16
"""What a step costs whatever it computes, in tokens. Costs are compared by the token:
`PrefillBudget` gives a slow step fewer of them, and all steps would seem to take equally long."""


class ThreadTuner:
    """Chooses the number of threads, `most` (the number of cores) at most. Steps of different
    sizes have numbers of their own: of so many tokens, which look at so many in all (each to the
    next power of two)."""

    def __init__(self, most: int) -> None:
        if most < 1:
            raise ValueError("most must be at least 1")
        self._most = most
        self._climbs: dict[tuple[int, int], _Climb] = {}
        self._last: _Climb | None = None

    def choose(self, tokens: int, seen: int) -> int:
        """Return the number of threads for a step of `tokens` tokens, which see `seen` in all."""
        return self._climb(tokens, seen).number

    def learn(self, tokens: int, seen: int, seconds: float) -> None:
        """Note that such a step took `seconds`."""
        climb = self._climb(tokens, seen)
        if climb.learn(seconds / (tokens + _FIXED)):
            # What held it back is gone, from all. Steps that come seldom would find out late.
            for other in self._climbs.values():
                other.doubt(climb.number)

    def _climb(self, tokens: int, seen: int) -> _Climb:
        size = tokens.bit_length(), seen.bit_length()
        if size not in self._climbs:
            self._climbs[size] = _Climb(self._most, self._last)
        self._last = self._climbs[size]
        return self._last


class _Climb:
    """`like` is where to begin: what held for steps of another size."""

    def __init__(self, most: int, like: _Climb | None = None) -> None:
        self._numbers = [*(1 << power for power in range((most - 1).bit_length())), most]
        self._now: int = like._now if like else len(self._numbers) - 1
        self._tried: int | None = None
        self._costs: deque[float] = deque(maxlen=TRIAL)  # of the number that holds
        self._trial: list[float] = []
        self._usual = 0.0  # what it cost over a longer time
        self._upwards = False
        self._interval: int = like._interval if like else FIRST
        self._left = self._interval

    @property
    def number(self) -> int:
        return self._numbers[self._now if self._tried is None else self._tried]

    def doubt(self, number: int) -> None:
        """Try more threads soon: another size has found so many faster than fewer."""
        if self._tried is None and self.number < number:
            self._costs.clear()
            self._left, self._interval, self._upwards = 0, FIRST, True

    def learn(self, cost: float) -> bool:
        """Note a step's cost per token; return whether it made more threads the number that
        holds."""
        held = self._now
        if self._tried is not None:
            self._judge(cost)
        else:
            self._note(cost)
        return self._now > held

    def _note(self, cost: float) -> None:
        self._costs.append(cost)
        if len(self._costs) < TRIAL:
            return
        mean = fmean(self._costs)
        if mean > _JUMP * self._usual > 0:
            self._left, self._interval = 0, FIRST
            self._usual = mean
        self._usual = mean if not self._usual else 0.9 * self._usual + 0.1 * mean
        self._left -= 1
        if self._left <= 0:
            self._try()

    def _try(self) -> None:
        self._left = self._interval
        ways = (1, -1) if self._upwards else (-1, 1)
        others = [self._now + way for way in ways if 0 <= self._now + way < len(self._numbers)]
        if others:
            self._tried = others[0]
            self._trial = []

    def _judge(self, cost: float) -> None:
        assert self._tried is not None
        self._trial.append(cost)
        before = fmean(self._costs)
        mean = fmean(self._trial)
        if len(self._trial) < TRIAL and mean < _WORSE * before:
            return
        better = len(self._trial) == TRIAL and mean < _BETTER * before
        self._upwards = (self._tried > self._now) is better  # on that way, or the other one
        if better:
            self._now, self._usual = self._tried, mean
            self._costs.extend(self._trial)  # in the place of all the others
            self._interval, self._left = FIRST, 0
        else:
            self._interval = self._left = min(2 * self._interval, LAST)
        self._tried = None
