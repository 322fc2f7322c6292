"""The order in which files are given to several test processes."""

from __future__ import annotations

import os
from itertools import groupby

import pytest

WAITING = ("tests/e2e/", "tests/faults/")
"""Tests of servers and browsers: two thirds of their time is spent waiting."""


def mix(items: list[pytest.Item]) -> None:
    """Spread the files that wait evenly between those that compute, so that the processes of a run
    seldom compute all at once or wait all at once. Within a file nothing changes; one process
    takes the files as they stand."""
    if "PYTEST_XDIST_WORKER" not in os.environ:
        return
    files = [list(group) for _, group in groupby(items, lambda item: item.nodeid.split("::")[0])]
    waiting = [file for file in files if file[0].nodeid.startswith(WAITING)]
    computing = [file for file in files if not file[0].nodeid.startswith(WAITING)]
    placed = [
        ((number + 0.5) / len(kind), file)
        for kind in (waiting, computing)
        for number, file in enumerate(kind)
    ]
    placed.sort(key=lambda each: each[0])
    items[:] = [item for _, file in placed for item in file]
