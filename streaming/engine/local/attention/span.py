"""Tokens of a text that one step reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Span:
    """`tokens` to be read into `row` from position `start`; the last `generated` of them are those
    of an answer that goes on. `total` is the length of what is being read, if it is known."""

    row: int
    tokens: Sequence[int]
    start: int
    generated: int = 0
    total: int = 0
