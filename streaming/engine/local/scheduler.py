"""Decides who is in the next step. Only it owns `running`.

Decoding responses always occupy the rows 0..B-1, so that one step reads the cache as a view.
It does not touch tensors: it says which rows change places, and the caller moves them.
"""

from __future__ import annotations

from dataclasses import dataclass

from streaming.engine.local.prefix_cache import PrefixCache
from streaming.engine.local.sequence import SequencePhase, TokenSequence


@dataclass(frozen=True, slots=True)
class Chunk:
    """The next `count` tokens of a prompt, to be read in this step."""

    sequence: TokenSequence
    count: int


@dataclass(frozen=True, slots=True)
class StepPlan:
    """What a step does: `decode[i]` occupies row i and gets one token; `prefill` reads on."""

    decode: tuple[TokenSequence, ...]
    prefill: tuple[Chunk, ...]


class Scheduler:
    """Decides who runs in the `rows`, and how a step's prompt tokens are shared out."""

    def __init__(self, rows: PrefixCache) -> None:
        self._rows = rows
        self._decoding = 0
        self._prefilling: list[TokenSequence] = []  # oldest first

    @property
    def running(self) -> list[TokenSequence]:
        """Return the sequences that have a row."""
        return self._rows.occupants

    @property
    def free(self) -> int:
        """Return the number of rows that nobody has."""
        return self._rows.free

    @property
    def decoding(self) -> int:
        """Return how many sequences are in the next step with one token."""
        return self._decoding

    @property
    def reading(self) -> int:
        """Return how many sequences have a prompt that is not read yet."""
        return len(self._prefilling)

    @property
    def longest(self) -> int:
        """Return the length of the longest of these prompts in tokens, without the beginning that
        the row held."""
        return max((sequence.to_read for sequence in self._prefilling), default=0)

    def admit(self, sequence: TokenSequence) -> None:
        """Give the sequence a row; the caller has checked `free`."""
        self._rows.give(sequence)
        sequence.to_read = sequence.unread
        sequence.phase = SequencePhase.PREFILL
        self._prefilling.append(sequence)

    def read_again(self) -> None:
        """Put sequences back to reading that decode and have become so long that all their tokens
        have other positions, see `PrefixCache.is_outdated`."""
        outdated = [one for one in self._rows.occupants if self._rows.is_outdated(one)]
        for sequence in outdated:
            self._rows.exchange(sequence.row, self._decoding - 1)
            self._decoding -= 1
            self._rows.empty(sequence)
            sequence.to_read = sequence.unread
            sequence.phase = SequencePhase.PREFILL
            self._prefilling.append(sequence)

    def plan(self, budget: int) -> StepPlan:
        """Return all that decode, and chunks of prompts of `budget` tokens at most.

        The oldest prompt may take half of the budget whatever its length, so that it is never
        starved; the rest goes to those with the least left to read, so that a short prompt does
        not wait behind a long one.
        """
        decode = tuple(s for row in range(self._decoding) if (s := self._rows[row]) is not None)
        left = budget
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
        """Have the sequence decode from the next step on."""
        self._prefilling.remove(sequence)
        self._rows.exchange(sequence.row, self._decoding)
        sequence.phase = SequencePhase.DECODE
        self._decoding += 1

    def remove(self, sequence: TokenSequence, *, keep: bool = True) -> None:
        """Free the sequence's row at once. `keep` False: what it holds must not be used again."""
        if sequence.phase is SequencePhase.DECODE:
            self._rows.exchange(sequence.row, self._decoding - 1)
            self._decoding -= 1
        else:
            self._prefilling.remove(sequence)
        self._rows.take_back(sequence, keep=keep)

    def forget(self, sequence: TokenSequence) -> list[int]:
        """Drop what free rows hold that begin as this sequence does; return their numbers."""
        return self._rows.forget(sequence.tokens)

    def clear(self) -> list[TokenSequence]:
        """Free every row, forget what it holds, and return who had one."""
        gone = self.running
        self._rows.clear()
        self._decoding = 0
        self._prefilling.clear()
        return gone
