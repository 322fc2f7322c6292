"""What of a look at the queue is news to whom."""

from __future__ import annotations

import copy
import json
from dataclasses import asdict
from typing import Any

import pytest

from streaming.live_queue.frames import SnapshotVersions, samples_frame
from streaming.waiting_list.interface import EntryRow, State, WorkerRow, WorkerState

PARTS = {"workers", "running", "waiting", "paused", "closed"}


def entry(name: str, state: State, **more: Any) -> dict[str, Any]:
    row = EntryRow(name, "user:1", "talk", state, None, "w1", 1, 5.0, 3, 64, 6.0)
    return asdict(row) | more


def look() -> dict[str, Any]:
    worker = WorkerRow("w1", 2, WorkerState.READY, 1, 0.5, {"model": "small"})
    return {
        "workers": [asdict(worker)],
        "running": [entry("r0", State.RUNNING, prompt_tokens=None)],
        "waiting": [
            entry("r1", State.WAITING, eta=60.0) | {"position": 1},
            entry("r2", State.HELD, eta=None),
        ],
        "paused": False,
        "closed": None,
    }


def news(before: dict[str, Any], after: dict[str, Any], elapsed: float = 0.5) -> set[str]:
    """The parts that whoever was told `before` is told so much later."""
    versions = SnapshotVersions()
    first = versions.next(before, 100.0)
    frame = versions.next(after, 100.0 + elapsed).frame(first.versions)
    if frame is None:
        return set()
    told: dict[str, Any] = json.loads(frame)
    assert told.pop("type") == "queue.snapshot"
    assert told == {name: after[name] for name in told}
    return set(told)


def test_the_first_frame_is_whole() -> None:
    frame = SnapshotVersions().next(look(), 100.0).frame({})
    assert frame is not None
    assert json.loads(frame) == {"type": "queue.snapshot", **look()}


def test_what_is_counted_on_is_no_news() -> None:
    after = look()
    after["workers"][0]["age"] = 4.5
    for row in after["running"] + after["waiting"]:
        row["since"] += 4
        row["asked"] += 4
    after["waiting"][0]["eta"] = 56.0
    assert news(look(), after, 4.0) == set()


@pytest.mark.parametrize(
    ("eta", "is_news"),
    [(50.0, False), (54.9, False), (45.2, False), (55.1, True), (44.5, True), (None, True)],
)
def test_an_eta_is_news_when_it_does_not_count_down(eta: float | None, is_news: bool) -> None:
    after = look()
    after["waiting"][0]["eta"] = eta
    assert news(look(), after, 10.0) == ({"waiting"} if is_news else set())


def test_an_eta_stays_at_nought() -> None:
    after = look()
    after["waiting"][0]["eta"] = 0.9
    assert news(look(), after, 300.0) == set()
    after["waiting"][0]["eta"] = 1.1
    assert news(look(), after, 300.0) == {"waiting"}


def test_a_drift_is_compared_with_what_was_told_not_with_the_look_before() -> None:
    versions = SnapshotVersions()
    first = versions.next(look(), 100.0)
    for step in range(1, 4):
        after = look()
        after["waiting"][0]["eta"] = 60.0 + 3 * step  # of a queue that stands still
        snapshot = versions.next(after, 100.0)
    assert set(json.loads(snapshot.frame(first.versions) or "")) == {"type", "waiting"}


@pytest.mark.parametrize(
    ("part", "change"),
    [
        ("workers", {"running": 2}),
        ("workers", {"details": {"model": "small", "tokens_per_second": 9.5}}),
        ("workers", {"orders": {"capacity": 1, "drain": False}}),
        ("running", {"tokens": 4}),
        ("running", {"prompt_tokens": 12}),
        ("waiting", {"position": 2}),
        ("waiting", {"owner": "user:2"}),
    ],
)
def test_a_changed_field_is_news_of_its_part_alone(part: str, change: dict[str, Any]) -> None:
    after = look()
    after[part][0] |= change
    assert news(look(), after) == {part}


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        ({"paused": True}, {"paused"}),
        ({"closed": "Back at nine."}, {"closed"}),
        ({"waiting": [], "running": []}, {"waiting", "running"}),
        ({"workers": []}, {"workers"}),
    ],
)
def test_a_changed_part_is_news(change: dict[str, Any], parts: set[str]) -> None:
    assert news(look(), look() | change) == parts
    assert news(look() | change, look()) == parts


def test_an_order_is_news() -> None:
    after = look()
    after["waiting"].reverse()
    assert news(look(), after) == {"waiting"}


def test_whoever_missed_snapshots_gets_what_changed_in_any() -> None:
    versions = SnapshotVersions()
    first = versions.next(look(), 100.0)
    changed = look() | {"paused": True}
    versions.next(changed, 100.1)
    changed["closed"] = "Back at nine."
    last = versions.next(copy.deepcopy(changed), 100.2)
    frame = json.loads(last.frame(first.versions) or "")
    assert frame == {"type": "queue.snapshot", "paused": True, "closed": "Back at nine."}
    assert last.frame(last.versions) is None


def test_all_is_told_again_when_it_shall_be_whole() -> None:
    versions = SnapshotVersions()
    first = versions.next(look(), 100.0)
    frame = versions.next(look(), 110.0, whole=True).frame(first.versions)
    assert set(json.loads(frame or "")) == PARTS | {"type"}


def test_each_part_is_written_once_for_all() -> None:
    snapshot = SnapshotVersions().next(look(), 100.0)
    assert snapshot._text("waiting") is snapshot._text("waiting")


def test_samples_say_whether_they_are_all() -> None:
    assert json.loads(samples_frame([{"at": 1.5}], whole=True)) == {
        "type": "queue.samples",
        "samples": [{"at": 1.5}],
        "whole": True,
    }
