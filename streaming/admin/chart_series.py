"""What the charts of the live queue show: windows of time, and the points of each line.

The last hour comes from the samples, which every process shares. What they do not hold, the time to
the first token and everything older, comes from the record.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy

from streaming.admin.chart_lines import BIN, GAP, Point, bins_of, finite, points_of
from streaming.record.series import Series
from streaming.waiting_list.samples import Sample


@dataclass(frozen=True, slots=True)
class TimeWindow:
    """The `span` seconds up to now. The record's bins have `bin_seconds`; a window that
    `is_sampled` has all else from the samples. `began` is its left end, in words."""

    key: str
    span: int
    bin_seconds: int
    name: Promise
    began: Promise
    is_sampled: bool = False

    @property
    def bins(self) -> int:
        """Return how many bins of the record there are, the present one included."""
        return self.span // self.bin_seconds + 1

    def start(self, now: float) -> float:
        """Return the beginning of the first bin; it is a multiple of a bin, so that bins stay what
        they are while time goes on."""
        return (math.floor(now / self.bin_seconds) - self.bins + 1) * float(self.bin_seconds)


WINDOWS = {
    window.key: window
    for window in (
        TimeWindow("5m", 300, 30, gettext_lazy("5 min"), gettext_lazy("5 min ago"), True),
        TimeWindow("1h", 3600, 60, gettext_lazy("1 h"), gettext_lazy("60 min ago"), True),
        TimeWindow("24h", 86_400, 900, gettext_lazy("24 h"), gettext_lazy("24 h ago")),
        TimeWindow("7d", 604_800, 7_200, gettext_lazy("7 d"), gettext_lazy("7 d ago")),
    )
}

DEFAULT = WINDOWS["1h"]


@dataclass(frozen=True, slots=True)
class Points:
    """The points of a line. What is more than `gap` seconds apart is not joined; `held` values are
    those of whole bins of as many seconds."""

    points: Sequence[Point]
    gap: float = GAP
    held: bool = False


Lines = Mapping[str, Points]
"""The points of lines by their keys; a line of which nothing is kept is missing."""


_SAMPLED: Mapping[str, Callable[[Sample], float | None]] = {
    "running": lambda sample: sample.running,
    "capacity": lambda sample: sample.capacity,
    "waiting": lambda sample: sample.waiting,
    # The first sample after a pause knows of no time in which something could happen.
    "tokens": lambda sample: sample.tokens_per_second if sample.seconds else None,
    "queue": lambda sample: sample.queue_seconds,
    "queue_p95": lambda sample: sample.queue_p95,
}


def of_samples(found: Sequence[Sample]) -> dict[str, Points]:
    """Return the lines that samples (the oldest first) have."""
    lines = {key: Points(points_of(found, value)) for key, value in _SAMPLED.items()}
    rejected = bins_of(found, lambda sample: sum(sample.rejected.values()))
    return lines | {"rejected": Points(rejected, BIN, held=True)}


def of_record(series: Series, *, ttft_alone: bool) -> dict[str, Points]:
    """Return the lines that the record has. It keeps no refusals, and no capacity."""
    width = series.width

    def line(values: Mapping[int, float]) -> Points:
        points = [(series.start + n * width, finite(v)) for n, v in sorted(values.items())]
        return Points(points, width, held=True)

    lines = {
        "ttft": line({n: p50 for n, (p50, _p95) in series.ttft.items()}),
        "ttft_p95": line({n: p95 for n, (_p50, p95) in series.ttft.items()}),
    }
    if ttft_alone:
        return lines
    return lines | {
        "running": line({n: running for n, (running, _waiting) in series.load.items()}),
        "waiting": line({n: waiting for n, (_running, waiting) in series.load.items()}),
        "queue": line({n: p50 for n, (p50, _p95) in series.wait.items()}),
        "queue_p95": line({n: p95 for n, (_p50, p95) in series.wait.items()}),
        "tokens": line({n: count / width for n, count in series.tokens.items()}),
    }
