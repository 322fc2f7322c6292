"""Cutting long lists of ids into what one statement takes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

ROWS_PER_STATEMENT = 200

Id = TypeVar("Id")


def portions(ids: Sequence[Id]) -> Iterator[Sequence[Id]]:
    """Yield the ids in order, `ROWS_PER_STATEMENT` at a time."""
    for start in range(0, len(ids), ROWS_PER_STATEMENT):
        yield ids[start : start + ROWS_PER_STATEMENT]
