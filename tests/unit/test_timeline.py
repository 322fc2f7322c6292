"""A response's life as a drawing: where its phases lie, and what is said of them."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest

from streaming.admin import timeline, timeline_drawing
from streaming.admin.durations import tokens_per_second, words
from streaming.models import Response, Status

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


def response(
    started: float | None = 1,
    first: float | None = 2,
    finished: float | None = 6,
    **fields: Any,
) -> Response:
    def moment(seconds: float | None) -> datetime | None:
        return None if seconds is None else BEGIN + timedelta(seconds=seconds)

    status = Status.COMPLETED if finished is not None else Status.IN_PROGRESS
    return Response(
        **{"status": status, "attempt": 1, **fields},
        created_at=BEGIN,
        started_at=moment(started),
        first_token_at=moment(first),
        finished_at=moment(finished),
    )


def phases(found: Response, now: float = 100) -> list[tuple[str, float]]:
    life = timeline.life_of(found, BEGIN + timedelta(seconds=now))
    return [(phase.kind, phase.seconds) for phase in life.phases]


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (response(), [("waiting", 1), ("reading", 1), ("answering", 4)]),
        (response(first=None), [("waiting", 1), ("running", 5)]),
        (response(None, None), [("waiting", 6)]),
        (response(None, 2), [("waiting", 2), ("answering", 4)]),
        (response(None, None, None), [("waiting", 100)]),
        (response(1, None, None), [("waiting", 1), ("reading", 99)]),
        (response(1, 2, None), [("waiting", 1), ("reading", 1), ("answering", 98)]),
        (response(0, 0, 0), [("waiting", 0), ("reading", 0), ("answering", 0)]),
    ],
)
def test_phases_follow_from_the_moments_that_are_known(
    found: Response, expected: list[tuple[str, float]]
) -> None:
    assert phases(found) == expected
    assert timeline_drawing.large(found)
    assert timeline_drawing.small(found)


def test_a_clock_that_goes_backward_makes_no_negative_phase() -> None:
    found = response(5, 3, 4)
    life = timeline.life_of(found)
    assert [phase.seconds for phase in life.phases] == [5, 0, 0]
    assert life.skewed
    assert timeline.SKEWED in timeline_drawing.large(found)
    assert not timeline.life_of(response()).skewed
    assert timeline.SKEWED not in timeline_drawing.large(response())
    assert phases(response(None, None, -3)) == [("waiting", 0)]
    assert phases(response(None, None, None), now=-3) == [("waiting", 0)]


@pytest.mark.parametrize(
    "seconds",
    [
        [1, 1, 4],
        [0, 0, 0],
        [0, 0, 1],
        [1e-9, 1e9, 1e-9],
        [1e-9, 1, 50],
        [5],
        [0],
        [1e12] * 4,
    ],
)
@pytest.mark.parametrize("width", [96, 704])
def test_places_fill_the_width_side_by_side(seconds: list[float], width: float) -> None:
    places = timeline_drawing.layout(seconds, width)
    x = 0.0
    for place in places:
        assert place.x == pytest.approx(x)
        assert place.width >= timeline_drawing.LEAST - 1e-6
        x += place.width
    assert x == pytest.approx(width)


def test_places_are_in_proportion() -> None:
    assert [place.width for place in timeline_drawing.layout([1, 1, 4], 60)] == [10, 10, 40]
    assert [place.width for place in timeline_drawing.layout([0, 0], 60)] == [30, 30]
    narrow, *rest = [place.width for place in timeline_drawing.layout([0, 1, 3], 83)]
    assert (narrow, rest) == (3, [20, 60])
    # The second only falls below the least once the first has taken its own.
    assert [p.width for p in timeline_drawing.layout([0.0, 3.0, 97.0], 100)] == [3, 3, 94]


def test_more_phases_than_room_share_it() -> None:
    assert [place.width for place in timeline_drawing.layout([1, 2, 3, 4], 8)] == [2, 2, 2, 2]
    assert timeline_drawing.layout([], 100) == []


def test_labels_that_would_cover_each_other_stand_in_rows() -> None:
    assert timeline_drawing.label_rows([(0, 50), (100, 150), (200, 250)]) == [0, 0, 0]
    assert timeline_drawing.label_rows([(0, 50), (40, 90), (45, 95), (100, 150)]) == [0, 1, 2, 0]


def test_labels_of_the_drawing_neither_leave_it_nor_meet() -> None:
    for found in (response(), response(0, 0, 0), response(1e-3, 1e6, 1e6), response(9, 9.01, 9.02)):
        html = timeline_drawing.large(found)
        _, _, width, height = map(float, re.findall(r'viewBox="(.*?)"', html)[0].split())
        spans: dict[str, list[tuple[float, float]]] = {}
        texts = re.findall(r'class="cs-label"[^>]* x="(.*?)" y="(.*?)">(.*?)<', html)
        assert len(texts) == 4
        for x, y, text in texts:
            half = len(text) * timeline_drawing.LETTER / 2
            assert float(x) - half >= -0.01
            assert float(x) + half <= width + 0.01
            assert float(y) < height
            spans.setdefault(y, []).append((float(x) - half, float(x) + half))
        for row in spans.values():
            row.sort()
            assert all(left[1] <= right[0] for left, right in pairwise(row))


def test_the_drawing_is_said_in_words() -> None:
    html = timeline_drawing.large(response(attempt=2, restarts=1))
    said = "Waiting 1.00 s, reading the prompt 1.00 s, answering 4.00 s, 6.00 s in all."
    assert f"<title>{said} Attempt 2: " in html
    assert "The waiting list forgot it once" in html
    assert said in timeline_drawing.small(response())
    assert "so far" in timeline_drawing.small(response(1, None, None))


def test_the_drawing_keeps_to_the_content_policy() -> None:
    for html in (timeline_drawing.large(response()), timeline_drawing.small(response())):
        assert " style=" not in html
        assert "<style" not in html


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (None, "–"),
        (0, "0 ms"),
        (0.0004, "0 ms"),
        (0.34, "340 ms"),
        (0.9996, "1.00 s"),
        (1.234, "1.23 s"),
        (9.996, "10.0 s"),
        (59.94, "59.9 s"),
        (59.96, "1 min 0 s"),
        (245, "4 min 5 s"),
        (3599.6, "1 h 0 min"),
        (11520, "3 h 12 min"),
        (86399.9, "1 d 0 h"),
        (12 * 86400 + 3 * 3600, "12 d 3 h"),
        (1e9, "11574 d 1 h"),
    ],
)
def test_durations_in_words(seconds: float | None, expected: str) -> None:
    assert words(seconds) == expected


def test_tokens_per_second_count_from_the_first_token() -> None:
    assert tokens_per_second(response(completion_tokens=9)) == 2
    for unknown in (
        response(completion_tokens=1),
        response(first=None, completion_tokens=9),
        response(finished=None, completion_tokens=9),
        response(completion_tokens=9, attempt=2),
        response(finished=2, completion_tokens=9),
    ):
        assert tokens_per_second(unknown) is None
