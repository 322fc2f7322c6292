"""A second try for what depends on how busy the machine is."""

from __future__ import annotations

from pathlib import Path

import pytest

# Real browsers and real servers beside each other on two cores. Whatever passes only the second
# time stands in the summary as RERUN: something to look at. All other tests have one try.
ROOMS = [Path(__file__).parents[1] / room for room in ("e2e", "faults")]


# A whole run of tests in itself, which says which of them failed.
LONG = "test_on_postgresql.py"


def allow(items: list[pytest.Item]) -> None:
    """Have each test of those rooms run once more after it has failed."""
    for item in items:
        if item.path.name != LONG and any(item.path.is_relative_to(room) for room in ROOMS):
            item.add_marker(pytest.mark.flaky(reruns=1))
