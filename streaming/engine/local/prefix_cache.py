"""The rows of the cache: who has which, and what the free ones still hold.

A row that is given back keeps its keys and values until its place is needed, the one that was
given back first before the others. A newcomer whose tokens begin as some row's do need not have
that prefix read again: the next turn of a conversation, another answer to the same prompt, a
system prompt that many share. (Kwon et al. 2023, arXiv:2309.06180, share blocks of a prefix;
whole rows are enough where rows are few.)

Where a token's keys and values follow from its text alone (see `Decoder.is_exact`), those of an
answer are not those of the same words in a prompt: rounded otherwise, they would make the next
answer another one than it is when nothing is held any more.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from streaming.engine.local.sequence import TokenSequence

LEAST_PREFIX = 16
"""A shorter common beginning (any chat template's first words) is not worth a copy."""


class PrefixCache:
    """Gives the `count` rows of the cache to sequences, and says what free rows still hold.

    `swap(a, b, length)` and `copy(source, target, length)` move what the first `length` tokens of
    a row have in the cache. `apart`: what was generated can be gone on from by its own answer
    only, and not by a prompt with the same words. `holds(length, reach)`: whether a row that has
    had `reach` tokens can go on after the first `length` of them. `turns_at`: a text of more
    tokens has other positions than one of fewer, and neither can go on from the other.
    """

    def __init__(
        self,
        count: int,
        swap: Callable[[int, int, int], None],
        copy: Callable[[int, int, int], None],
        *,
        apart: bool = False,
        holds: Callable[[int, int], bool] = lambda length, reach: True,
        turns_at: int | None = None,
    ) -> None:
        self._swap, self._copy, self._apart = swap, copy, apart
        self._holds, self._turns_at = holds, turns_at
        self._count = count
        self.clear()

    def clear(self) -> None:
        """Take all rows back, and drop what they hold."""
        self._rows = [_Row() for _ in range(self._count)]
        self._clock = 0

    @property
    def occupants(self) -> list[TokenSequence]:
        """Return the sequences that have a row, in the order of the rows."""
        return [row.occupant for row in self._rows if row.occupant is not None]

    @property
    def free(self) -> int:
        """Return the number of rows that nobody has."""
        return sum(row.is_free for row in self._rows)

    def __getitem__(self, row: int) -> TokenSequence | None:
        return self._rows[row].occupant

    def give(self, sequence: TokenSequence) -> None:
        """Give the sequence a free row, with the longest beginning of it that any row holds. It
        goes on in the row that holds this itself, if most of what that row holds is the same.

        The last token is never taken over: what follows it is only known by reading it. Raises
        IndexError if no row is free.
        """
        wanted, rows = sequence.tokens[:-1], self._rows
        free = [number for number, row in enumerate(rows) if row.is_free]
        if not free:
            raise IndexError("no row is free")
        target = min(free, key=lambda number: rows[number].given_back)
        length, alike, source = max(
            ((*self._common(sequence, row, wanted), number) for number, row in enumerate(rows)),
            key=lambda found: (found[0], found[1], rows[found[2]].is_free),
        )
        if length < LEAST_PREFIX:
            length = 0
        elif rows[source].is_free and 2 * alike >= len(rows[source].left):
            target = source  # most of what it holds goes on in this sequence
        elif source != target:
            self._copy(source, target, length)
        reach = 0 if not length else rows[source].reach
        rows[target].occupant, rows[target].left = sequence, []
        rows[target].reached, rows[target].is_long = reach, self._is_long(sequence)
        sequence.row, sequence.cached = target, length

    def _is_long(self, sequence: TokenSequence) -> bool:
        return self._turns_at is not None and len(sequence.tokens) > self._turns_at

    def is_outdated(self, sequence: TokenSequence) -> bool:
        """Return whether a sequence was read as a short one and has become a long one."""
        return self._is_long(sequence) and not self._rows[sequence.row].is_long

    def empty(self, sequence: TokenSequence) -> None:
        """Drop what the sequence's row holds of it."""
        row = self._rows[sequence.row]
        row.reached, row.is_long = 0, self._is_long(sequence)
        sequence.cached = 0

    def take_back(self, sequence: TokenSequence, *, keep: bool = True) -> None:
        """Free the sequence's row. `keep` False: what it holds must not be used again."""
        row, self._clock = self._rows[sequence.row], self._clock + 1
        row.reached = row.reach
        row.occupant = None
        row.left = sequence.tokens[: sequence.cached] if keep else []
        row.left_prompt = sequence.prompt_tokens
        row.given_back = self._clock if keep else 0
        sequence.row = -1

    def _common(self, sequence: TokenSequence, row: _Row, wanted: Sequence[int]) -> tuple[int, int]:
        """How many of the tokens `wanted` for a sequence need not be read where it begins in this
        row, and how many are alike."""
        alike = length = _common(wanted, row.held)
        if self._apart and sequence.prompt_tokens != row.prompt_tokens:
            length = min(alike, sequence.prompt_tokens, row.prompt_tokens)
        if not self._holds(length, row.reach) or row.is_long != self._is_long(sequence):
            length = 0
        return length, alike

    def forget(self, tokens: Sequence[int]) -> list[int]:
        """Drop what free rows hold from which a sequence with these tokens would get its
        beginning; return their numbers."""
        alike = [
            number
            for number, row in enumerate(self._rows)
            if row.is_free and _common(tokens, row.left) >= LEAST_PREFIX
        ]
        for number in alike:
            self._rows[number].left, self._rows[number].given_back = [], 0
        return alike

    def exchange(self, a: int, b: int) -> None:
        """Exchange two rows, with all that they hold."""
        if a == b:
            return
        first, second = self._rows[a], self._rows[b]
        self._swap(a, b, max(len(first.held), len(second.held)))
        self._rows[a], self._rows[b] = second, first
        for number, row in ((a, second), (b, first)):
            if row.occupant:
                row.occupant.row = number


@dataclass(slots=True)
class _Row:
    """A row of the cache. `left` are the tokens that it still holds while it is free, the first
    `left_prompt` of them of a prompt; `given_back` is when it became free, by a counter.
    `reached` is the number of tokens that it had before its occupant went on after fewer.
    `is_long`: it was read as a text of more than `PrefixCache.turns_at` tokens."""

    occupant: TokenSequence | None = None
    left: list[int] = field(default_factory=list)
    left_prompt: int = 0
    given_back: int = 0
    reached: int = 0
    is_long: bool = False

    @property
    def is_free(self) -> bool:
        return self.occupant is None

    @property
    def held(self) -> list[int]:
        """Return the tokens whose keys and values are in the cache."""
        occupant = self.occupant
        return self.left if occupant is None else occupant.tokens[: occupant.cached]

    @property
    def reach(self) -> int:
        """Return the most tokens that the row has had since it was empty."""
        occupant = self.occupant
        return max(self.reached, len(self.left) if occupant is None else occupant.cached)

    @property
    def prompt_tokens(self) -> int:
        """Return how many of them, and of those to come, are a prompt's."""
        return self.left_prompt if self.occupant is None else self.occupant.prompt_tokens


def _common(a: Sequence[int], b: Sequence[int]) -> int:
    """How many tokens two sequences begin with in common."""
    length = min(len(a), len(b))
    if a[:length] == b[:length]:
        return length
    return next(at for at in range(length) if a[at] != b[at])
