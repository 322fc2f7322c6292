"""Charts of the last hour: where their lines run, and what they say."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.template.loader import render_to_string

from streaming.admin import chart_lines
from streaming.admin.chart_drawing import UNKNOWN, ChartBoard, ChartLine
from streaming.admin.chart_lines import round_up, short
from streaming.admin.chart_series import WINDOWS, of_record
from streaming.admin.charts import board
from streaming.record.series import Series
from streaming.waiting_list.samples import Sample

NOW = 1_800_000_000.0  # the beginning of a minute


def sample(ago: float, **values: Any) -> Sample:
    fields: dict[str, Any] = {
        "at": NOW - ago, "seconds": 10.0, "running": 0, "waiting": 0, "workers": 1, "capacity": 4,
        "tokens": 0, "tokens_per_second": 0.0, "queue_seconds": None, "accepted": 0,
        "rejected": {}, "accepted_in_all": 0, "rejected_in_all": {},
    }  # fmt: skip
    return Sample(**{**fields, **values})


def line(shown: ChartBoard, key: str) -> ChartLine:
    return next(line for chart in shown.charts for line in chart.lines if line.key == key)


def top(shown: ChartBoard, key: str) -> str:
    return next(chart.top for chart in shown.charts if chart.key == key)


def test_without_samples_it_says_so() -> None:
    shown = board([], NOW)
    assert shown.message == "No samples yet"
    for chart in shown.charts:
        if chart.key == "ttft":
            continue  # of the record
        assert [(one.path, one.area, one.last, one.most) for one in chart.lines] == [
            ("", "", UNKNOWN, UNKNOWN)
        ] * len(chart.lines)


def test_samples_of_an_hour_ago_are_no_samples() -> None:
    assert board([sample(3600)], NOW).message == "No samples yet"
    assert board([sample(3599)], NOW).message == ""


def test_one_sample_is_a_dot_at_its_time() -> None:
    shown = board([sample(600, running=2)], NOW)
    assert line(shown, "running").path == "M3000 50h0"  # of the capacity of four
    assert line(shown, "running").area == ""
    assert line(shown, "waiting").path == "M3000 100h0"
    assert (line(shown, "running").last, line(shown, "running").most) == ("2", "2")
    assert line(shown, "queue").path == ""


def test_a_line_runs_from_the_past_to_now() -> None:
    shown = board([sample(20, waiting=1), sample(10, waiting=8), sample(0, waiting=3)], NOW)
    waiting = line(shown, "waiting")
    assert waiting.path == "M3580 87.5L3590 0 3600 62.5"
    assert (waiting.last, waiting.most) == ("3", "8")
    assert waiting.area == "M3580 100L3580 87.5 3590 0 3600 62.5 3600 100Z"
    assert line(shown, "running").area == "M3580 100L3580 100 3590 100 3600 100 3600 100Z"
    assert (top(shown, "waiting"), top(shown, "running")) == ("8", "4")  # each its own axis


def test_missing_samples_are_gaps() -> None:
    found = [sample(ago, running=4) for ago in (300, 290, 280, 100, 90)]
    running = line(board(found, NOW), "running")
    assert running.path == "M3300 0L3310 0 3320 0M3500 0L3510 0"
    assert running.area.count("M") == running.area.count("Z") == 2


def test_a_late_sample_is_no_gap() -> None:
    assert line(board([sample(24), sample(0)], NOW), "running").path.count("M") == 1
    assert line(board([sample(26), sample(0)], NOW), "running").path.count("M") == 2


def test_values_are_joined_over_one_missing_but_not_over_more() -> None:
    waits = [1.0, None, 2.0, None, None, 0.5, None]
    found = [sample(60 - 10 * n, queue_seconds=wait) for n, wait in enumerate(waits)]
    queue = line(board(found, NOW), "queue")
    assert queue.path == "M3540 50L3560 0M3590 75h0"
    assert (queue.last, queue.most) == ("0.5 s", "2 s")


def test_a_clock_that_was_set_back_draws_no_line_backwards() -> None:
    found = [sample(20, running=4), sample(10), sample(15, running=4), sample(5)]
    assert line(board(found, NOW), "running").path == "M3580 0L3590 100M3585 0L3595 100"


def test_a_sample_that_knows_no_interval_has_no_speed() -> None:
    found = [sample(20, seconds=0.0), sample(10, tokens_per_second=12.34)]
    tokens = line(board(found, NOW), "tokens")
    assert (tokens.path, tokens.last) == ("M3590 38.3h0", "12")


def test_rejections_are_counted_by_the_minute() -> None:
    found = [
        *(sample(ago, rejected={"queue_full": 1, "user_limit": 1}) for ago in (120, 110, 70)),
        sample(60),
        sample(5, rejected={"queue_full": 3}),
    ]
    rejected = line(board(found, NOW - 5), "rejected")
    assert (rejected.last, rejected.most) == ("3", "6")
    # Two minutes that hang together, of which the second ends now.
    assert rejected.path == "M3485 0L3545 0 3545 50 3600 50"
    assert rejected.area == "M3485 100L3485 0 3545 0 3545 50 3600 50 3600 100Z"


def test_minutes_without_samples_are_gaps() -> None:
    rejected = line(board([sample(300), sample(60)], NOW), "rejected")
    assert rejected.path == "M3300 100L3360 100M3540 100L3600 100"


def test_a_clock_that_is_behind_the_samples_does_not_hide_them() -> None:
    shown = board([sample(0, running=1)], NOW - 30)
    assert shown.at == NOW
    assert line(shown, "running").path.startswith("M3600 ")


@pytest.mark.parametrize("value", [0.0, 1e-9, 0.3, 1e6, 1e15, 1e300, 1.7e308])
def test_any_value_stays_within_the_chart(value: float) -> None:
    found = [sample(10, tokens_per_second=value), sample(0, tokens_per_second=value / 2)]
    tokens = line(board(found, NOW), "tokens")
    ys = [float(y) for y in re.findall(r"\d+ ([\d.e-]+)", tokens.path)]
    assert len(ys) == 2
    assert all(0 <= y <= chart_lines.HEIGHT for y in ys)
    assert len(tokens.last) < 10
    assert len(top(board(found, NOW), "speed")) < 10


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1.0])
def test_what_is_no_number_is_a_gap(value: float) -> None:
    found = [sample(10, tokens_per_second=value), sample(0, tokens_per_second=1.0)]
    assert line(board(found, NOW), "tokens").path == "M3600 0h0"


def test_a_whole_hour_is_light() -> None:
    found = [sample(10 * n, running=n % 5, waiting=n % 97) for n in reversed(range(360))]
    shown = board(found, NOW)
    assert line(shown, "waiting").path.count(" ") == 2 * 360 - 2
    assert len(
        render_to_string("admin/streaming/response/queue_charts.html", {"charts": shown})
    ) < (40_000)


@pytest.mark.parametrize(
    ("value", "rounded"),
    [(0, 1), (0.07, 1), (1, 1), (1.2, 2), (7, 8), (9, 10), (61, 80), (95, 100)],
)
def test_the_maximum_is_round(value: float, rounded: float) -> None:
    assert round_up(value) == pytest.approx(rounded)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"), (0.04, "0"), (0.25, "0.3"), (3, "3"), (9.96, "10"), (12.5, "13"),
        (9999, "9999"), (12_345, "12.3k"), (999_999, "1000k"), (2_500_000, "2.5M"),
        (1e15, "1.0e+15"),
    ],
)  # fmt: skip
def test_numbers_are_short(value: float, text: str) -> None:
    assert short(value) == text


def test_what_is_drawn_is_said_too() -> None:
    found = [sample(10, running=2, waiting=9), sample(0, running=1, waiting=3)]
    html = render_to_string(
        "admin/streaming/response/queue_charts.html", {"charts": board(found, NOW)}
    )
    for key, summary in (
        ("running", "Capacity: last 4, most 4. Running: last 1, most 2."),
        ("waiting", "Waiting: last 3, most 9."),
    ):
        assert f'<desc id="chart-{key}-desc">{summary}</desc>' in html
    assert "style=" not in html
    assert f'data-now="{NOW}"' in html


def test_what_was_so_at_a_moment_is_said_where_it_changes() -> None:
    waits = {300: 2, 290: 2, 280: 3, 20: 3, 10: 3}
    found = [sample(ago, waiting=n) for ago, n in waits.items()]
    waiting = line(board(found, NOW), "waiting")
    assert waiting.values == [
        (3300, "2"),
        (3320, "3"),
        (3331, UNKNOWN),
        (3580, "3"),
        (3601, UNKNOWN),
    ]


def test_a_shorter_window_has_the_same_lines_wider() -> None:
    shown = board([sample(300), sample(150, running=2), sample(0)], NOW, window=WINDOWS["5m"])
    assert line(shown, "running").path == "M1800 50h0M3600 100h0"
    assert shown.window.began == "5 min ago"


def test_the_record_has_what_is_older_and_no_refusals() -> None:
    start, width = NOW - 86_400, 900.0
    known = Series(
        start,
        width,
        load={90: (2, 80), 91: (1, 40)},
        tokens={90: 9000},
        wait={90: (10.0, 60.0)},
        ttft={91: (0.5, 2.0)},
    )
    lines = of_record(known, ttft_alone=False)
    assert lines["running"].points == [(start + 81_000, 2), (start + 81_900, 1)]
    assert lines["tokens"].points == [(start + 81_000, 10.0)]
    assert lines["queue_p95"].points == [(start + 81_000, 60.0)]
    assert "rejected" not in lines
    assert "capacity" not in lines
    assert set(of_record(known, ttft_alone=True)) == {"ttft", "ttft_p95"}


def test_bins_begin_at_multiples_and_the_present_one_is_the_last() -> None:
    for window in WINDOWS.values():
        start = window.start(NOW + 17)
        assert start % window.bin_seconds == 0
        assert start <= NOW + 17 - window.span
        last = start + (window.bins - 1) * window.bin_seconds
        assert last <= NOW + 17 < last + window.bin_seconds
