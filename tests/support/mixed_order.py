"""The order in which files are given to several test processes."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

WAITING = ("tests/e2e/", "tests/faults/")
"""Tests of servers and browsers: two thirds of their time is spent waiting."""

SECONDS = Path(__file__).with_name("file_seconds.json")
"""What files take that take long; `python -m tests.support.file_seconds` writes it."""

NOT_LONG = 3.0
"""Seconds of a file that is not among them."""


def mix(items: list[pytest.Item]) -> None:
    """Put the long files first, and spread those that wait evenly, by the time they take, between
    those that compute: so the processes of a run end together, and seldom compute all at once or
    wait all at once. Within a file nothing changes; one process takes the files as they stand."""
    if "PYTEST_XDIST_WORKER" not in os.environ:
        return
    files: dict[str, list[pytest.Item]] = {}
    for item in items:
        files.setdefault(item.nodeid.split("::")[0], []).append(item)
    seconds = json.loads(SECONDS.read_text())
    items[:] = [item for path in order(list(files), seconds) for item in files[path]]


def order(paths: Sequence[str], seconds: Mapping[str, float]) -> list[str]:
    """Return the files as they are to begin; `seconds` are those of the long ones."""
    waiting = [path for path in paths if path.startswith(WAITING)]
    computing = [path for path in paths if not path.startswith(WAITING)]
    placed = [*_placed(waiting, seconds), *_placed(computing, seconds)]
    return [path for _, path in sorted(placed, key=lambda each: each[0])]


def _placed(paths: Sequence[str], seconds: Mapping[str, float]) -> Iterator[tuple[float, str]]:
    """Each file with the part of the time of all that has passed in the middle of it."""
    took = {path: seconds.get(path, NOT_LONG) for path in paths}
    whole, passed = sum(took.values()), 0.0
    for path in sorted(paths, key=lambda path: -took[path]):
        yield (passed + took[path] / 2) / whole, path
        passed += took[path]
