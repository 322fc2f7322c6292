"""A worker's status: one value, whatever is reported in which order."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streaming.system.transitions import InvalidTransition, checked
from streaming.waiting_list.interface import WorkerState
from streaming.worker.status import SERVING, TRANSITIONS, StatusTracker, WorkerStatus

REPORTS: dict[str, Callable[[StatusTracker], object]] = {
    "loads": lambda status: status.load(),
    "loads without an upstream": lambda status: status.load("away"),
    "hangs": lambda status: status.set_hangs(True),
    "gets on": lambda status: status.set_hangs(False),
    "is unavailable": lambda status: status.set_unavailable("away"),
    "is available": lambda status: status.set_unavailable(""),
    "is to drain": lambda status: status.set_drain(True),
    "is to claim": lambda status: status.set_drain(False),
    "stops": lambda status: status.stop(),
    "ends": lambda status: status.end(),
}


def tracked(*reports: str) -> StatusTracker:
    status = StatusTracker("w")
    for report in reports:
        REPORTS[report](status)
    return status


@pytest.mark.parametrize(
    ("reports", "status", "state"),
    [
        ("", WorkerStatus.STARTING, WorkerState.LOADING),
        ("is to drain", WorkerStatus.STARTING, WorkerState.LOADING),
        ("loads", WorkerStatus.READY, WorkerState.READY),
        ("is to drain, loads", WorkerStatus.DRAINING, WorkerState.DRAINING),
        ("loads without an upstream", WorkerStatus.UNAVAILABLE, WorkerState.LOADING),
        ("loads without an upstream, is to drain", WorkerStatus.DRAINING, WorkerState.DRAINING),
        ("loads, is to drain, hangs", WorkerStatus.HUNG, WorkerState.HUNG),
        ("loads, is to drain, hangs, gets on", WorkerStatus.DRAINING, WorkerState.DRAINING),
        ("loads, hangs, is unavailable, gets on", WorkerStatus.UNAVAILABLE, WorkerState.LOADING),
        ("stops, loads", WorkerStatus.STOPPING, WorkerState.DRAINING),
        ("loads, stops, hangs", WorkerStatus.STOPPING, WorkerState.DRAINING),
        ("loads, hangs, ends, stops", WorkerStatus.ENDING, WorkerState.DRAINING),
    ],
)
def test_of_several_facts_the_gravest_counts(
    reports: str, status: WorkerStatus, state: WorkerState
) -> None:
    found = tracked(*filter(None, reports.split(", "))).status
    assert (found, found.reported) == (status, state)


@given(st.lists(st.sampled_from([*REPORTS][2:]), max_size=12))
def test_no_order_of_reports_is_an_invalid_transition(reports: list[str]) -> None:
    status = tracked("loads", *reports)
    assert status.ending.is_set() == (status.status is WorkerStatus.ENDING)
    if {"stops", "ends"} & {*reports}:
        assert status.status not in SERVING


def test_only_the_table_s_transitions_are_made() -> None:
    for before, after in itertools.product(WorkerStatus, repeat=2):
        if after in TRANSITIONS[before]:
            assert checked(TRANSITIONS, "Worker w", before, after) is after
        else:
            with pytest.raises(InvalidTransition, match=f"Worker w is {before.name} and cannot"):
                checked(TRANSITIONS, "Worker w", before, after)


def test_whether_it_can_answer_is_news_only_when_it_changes() -> None:
    status = tracked("loads")
    assert status.set_unavailable("away")
    assert not status.set_unavailable("still away")
    assert status.unavailable_reason == "still away"
    assert status.set_unavailable("")
    assert not status.set_unavailable("")
