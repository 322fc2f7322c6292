"""Decides who is in the next step. Only it owns `running` and says which row belongs to whom.

Decoding responses always occupy the rows 0..B-1, so that one step reads the cache as a view.
It does not touch tensors: it reports which rows must change places, and the caller moves them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from streaming.engine.local.sequence import Phase, TokenSequence


@dataclass(frozen=True, slots=True)
class Chunk:
    """`count` tokens of a prompt, to be read in this step."""

    sequence: TokenSequence
    count: int


@dataclass(frozen=True, slots=True)
class StepPlan:
    """`decode[i]` occupies row i."""

    decode: tuple[TokenSequence, ...]
    prefill: tuple[Chunk, ...]


class Scheduler:
    """Rows for `rows` responses and at most `prefill_budget` prompt tokens per step.

    `swap_rows(a, b, length)` is called before the two rows' occupants change places; `length`
    is how many cached tokens of either are worth keeping.
    """

    def __init__(
        self, rows: int, prefill_budget: int, swap_rows: Callable[[int, int, int], None]
    ) -> None:
        if rows < 1 or prefill_budget < 1:
            raise ValueError("rows and prefill_budget must be at least 1")
        self.prefill_budget = prefill_budget
        self._swap_rows = swap_rows
        self._rows: list[TokenSequence | None] = [None] * rows
        self._decoding = 0
        self._prefilling: list[TokenSequence] = []  # oldest first

    @property
    def running(self) -> list[TokenSequence]:
        return [sequence for sequence in self._rows if sequence is not None]

    @property
    def free(self) -> int:
        return self._rows.count(None)

    def admit(self, sequence: TokenSequence) -> None:
        """Give a row; the caller has checked `free`."""
        row = self._rows.index(None)
        self._rows[row] = sequence
        sequence.row, sequence.phase, sequence.cached = row, Phase.PREFILL, 0
        self._prefilling.append(sequence)

    def plan(self) -> StepPlan:
        """All that decode, and chunks of prompts within the budget.

        The oldest prompt may take half of the budget whatever its length, so that it is never
        starved; the rest goes to those with the least left to read, so that a short prompt does
        not wait behind a long one.
        """
        decode = tuple(s for s in self._rows[: self._decoding] if s is not None)
        left = self.prefill_budget
        counts: dict[TokenSequence, int] = {}
        if self._prefilling:
            oldest = self._prefilling[0]
            counts[oldest] = min(oldest.unread, (left + 1) // 2)
            left -= counts[oldest]
        for sequence in sorted(self._prefilling, key=lambda s: s.unread):
            already = counts.get(sequence, 0)
            count = min(sequence.unread - already, left)
            if count > 0:
                counts[sequence] = already + count
                left -= count
        return StepPlan(decode, tuple(Chunk(s, n) for s, n in counts.items()))

    def prefill_done(self, sequence: TokenSequence) -> None:
        """From the next step on the sequence decodes."""
        self._prefilling.remove(sequence)
        self._exchange(sequence.row, self._decoding)
        sequence.phase = Phase.DECODE
        self._decoding += 1

    def remove(self, sequence: TokenSequence) -> None:
        """Free the sequence's row at once."""
        if sequence.phase is Phase.DECODE:
            sequence.cached = 0  # nothing of it is worth moving
            self._exchange(sequence.row, self._decoding - 1)
            self._decoding -= 1
        else:
            self._prefilling.remove(sequence)
        self._rows[sequence.row] = None
        sequence.row = -1

    def clear(self) -> list[TokenSequence]:
        """Free every row and return who had one."""
        gone = self.running
        self._rows = [None] * len(self._rows)
        self._decoding = 0
        self._prefilling.clear()
        return gone

    def _exchange(self, a: int, b: int) -> None:
        if a == b:
            return
        first, second = self._rows[a], self._rows[b]
        self._swap_rows(a, b, max(_cached(first), _cached(second)))
        self._rows[a], self._rows[b] = second, first
        for row, sequence in ((a, second), (b, first)):
            if sequence is not None:
                sequence.row = row


def _cached(sequence: TokenSequence | None) -> int:
    return 0 if sequence is None else sequence.cached
