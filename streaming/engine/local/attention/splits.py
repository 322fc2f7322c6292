"""Where torch cuts an operation on single numbers for its threads.

It cuts the numbers of a tensor, not its rows, and where the cut is no multiple of a vector the
last few before it are computed one by one: `silu` and complex products then round otherwise, and
what a token becomes would depend on how many stand beside it and on the number of threads. A few
more rows, which belong to nobody, and the cuts fall where they do no harm.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

GRAIN = 32_768
"""Numbers that torch gives one thread at least (at::internal::GRAIN_SIZE)."""

VECTOR = 32
"""Numbers that are computed together at most."""

GELU_SHARED_FROM = 0x4000
"""GELU_MIN_ELEMENTS_FOR_MULTI_THREADING of torch's kernel."""

_MOST_SPARE = 256  # where no number of rows will do, the harm is a rounding


@dataclass(frozen=True, slots=True)
class Columns:
    """The columns of an operation: it has `numbers` of them in a row, in runs of `run` that are
    vectorised by themselves. Of more than `shared_from` numbers in all, each thread gets its
    share, however small (None: GRAIN or more)."""

    numbers: int
    run: int
    shared_from: int | None = None


def spare_rows(rows: int, threads: int, operations: Iterable[Columns]) -> int:
    """Return how many spare rows a step of `rows` rows needs on so many threads."""
    operations = list(operations)
    for spare in range(_MOST_SPARE):
        if all(_is_harmless(rows + spare, threads, each) for each in operations):
            return spare
    return 0


def _is_harmless(rows: int, threads: int, columns: Columns) -> bool:
    total = rows * columns.numbers
    parts = min(threads, -(-total // GRAIN))
    if columns.shared_from is not None and total > columns.shared_from:
        parts = threads
    step = -(-total // parts)
    return all(cut % columns.run % VECTOR == 0 for cut in range(step, total, step))
