"""Tokens of a text that one step reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Span:
    """`tokens` to be read into cache row `row` from position `start`.

    The last `generated` of them belong to an answer that goes on. `total` is the length in tokens
    of the text that is being read, 0 if it is unknown.
    """

    row: int
    tokens: Sequence[int]
    start: int
    generated: int = 0
    total: int = 0

    @property
    def end(self) -> int:
        """Return the position after the last of the tokens."""
        return self.start + len(self.tokens)
