"""Charts of the queue's last hour: lines drawn as SVG, and what they say in words.

`static/streaming/queue/queue-charts.js` draws the same again when samples come; what is changed
here is changed there. x is in seconds since an hour ago, y from 0 (the maximum) down to HEIGHT
(nought).
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from asgiref.sync import async_to_sync
from channels.layers import get_channel_layer
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from streaming.system.outages import log_fault
from streaming.waiting_list import samples
from streaming.waiting_list.samples import SAMPLE_SECONDS, Sample

logger = logging.getLogger(__name__)

SPAN = 3600
HEIGHT = 100
BIN = 60
GAP = 2.5 * SAMPLE_SECONDS
"""What is farther apart than so many seconds is not joined: nobody knows what was between."""

UNKNOWN = "–"

Point = tuple[float, float | None]
"""Unix time, and the value if there is one."""


@dataclass(frozen=True, slots=True)
class Line:
    """`path` and `area` are `d` attributes; the area may be empty. `last` and `most` are words."""

    key: str
    name: str
    path: str
    area: str
    last: str
    most: str


@dataclass(frozen=True, slots=True)
class Chart:
    """`top` is the value at the upper edge, in words; `summary` is for who does not see it."""

    key: str
    title: str
    top: str
    lines: list[Line]
    summary: str


@dataclass(frozen=True, slots=True)
class Board:
    """All charts up to `at`, in Unix time. `message` says why there is nothing to see."""

    at: float
    charts: list[Chart]
    message: str


@dataclass(frozen=True, slots=True)
class _Kind:
    key: str
    title: Promise
    lines: Sequence[tuple[str, Promise, Callable[[Sample], float | None]]]
    filled: frozenset[str] = frozenset()
    unit: Promise | None = None
    in_bins: bool = False


_KINDS = (
    _Kind(
        "load",
        gettext_lazy("Running and waiting"),
        (
            ("capacity", gettext_lazy("Capacity"), lambda sample: sample.capacity),
            ("running", gettext_lazy("Running"), lambda sample: sample.running),
            ("waiting", gettext_lazy("Waiting"), lambda sample: sample.waiting),
        ),
        filled=frozenset({"running"}),
    ),
    _Kind(
        "speed",
        gettext_lazy("Tokens per second"),
        # The first sample after a pause knows of no time in which something could happen.
        (
            (
                "tokens",
                gettext_lazy("Tokens per second"),
                lambda sample: sample.tokens_per_second if sample.seconds else None,
            ),
        ),
        filled=frozenset({"tokens"}),
    ),
    _Kind(
        "wait",
        gettext_lazy("Queue time"),
        (("queue", gettext_lazy("Queue time"), lambda sample: sample.queue_seconds),),
        unit=gettext_lazy("%s s"),
    ),
    _Kind(
        "rejections",
        gettext_lazy("Rejections per minute"),
        (
            (
                "rejected",
                gettext_lazy("Rejections per minute"),
                lambda sample: sum(sample.rejected.values()),
            ),
        ),
        filled=frozenset({"rejected"}),
        in_bins=True,
    ),
)


def read() -> Board:
    """The charts as they are now. When the channel layer does not answer they are empty, and say
    so."""
    try:
        layer: Any = get_channel_layer()
        found = async_to_sync(samples.read)(layer.waiting_list)
    except Exception as error:
        log_fault(logger, error, "The samples of the queue could not be read.")
        return board([], time.time(), _("The samples could not be read."))
    return board(found, time.time())


def board(found: Sequence[Sample], now: float, message: str = "") -> Board:
    """Charts of the samples (the oldest first) of the hour up to `now`, or up to the newest
    sample where clocks differ."""
    now = max([now, *(sample.at for sample in found[-1:])])
    recent = [sample for sample in found if sample.at > now - SPAN]
    if not message and not recent:
        message = _("No samples yet")
    return Board(now, [_chart(kind, recent, now) for kind in _KINDS], message)


def _chart(kind: _Kind, found: Sequence[Sample], now: float) -> Chart:
    points = {
        key: (_bins if kind.in_bins else _points)(found, value) for key, _name, value in kind.lines
    }
    top = round_up(max((v for line in points.values() for _at, v in line if v), default=0.0))

    def words(value: float | None) -> str:
        if value is None:
            return UNKNOWN
        return str(kind.unit) % short(value) if kind.unit else short(value)

    lines = []
    for key, name, _value in kind.lines:
        known = [value for _at, value in points[key] if value is not None]
        parts = _steps(points[key], now) if kind.in_bins else _joined(points[key])
        drawn = [[(_x(at, now), _y(value, top)) for at, value in part] for part in parts]
        lines.append(
            Line(
                key=key,
                name=str(name),
                path="".join(map(path, drawn)),
                area="".join(map(area, drawn)) if key in kind.filled else "",
                last=words(known[-1] if known else None),
                most=words(max(known, default=None)),
            )
        )
    return Chart(
        key=kind.key,
        title=str(kind.title),
        top=words(top),
        lines=lines,
        summary=" ".join(
            _("%(name)s: last %(last)s, most %(most)s.")
            % {"name": line.name, "last": line.last, "most": line.most}
            for line in lines
        ),
    )


def _points(found: Iterable[Sample], value: Callable[[Sample], float | None]) -> list[Point]:
    return [(sample.at, _finite(value(sample))) for sample in found]


def _bins(found: Iterable[Sample], value: Callable[[Sample], float | None]) -> list[Point]:
    """The sum of each minute that has a sample, at its beginning."""
    sums: dict[float, float] = {}
    for sample in found:
        begin = sample.at // BIN * BIN
        sums[begin] = sums.get(begin, 0.0) + (_finite(value(sample)) or 0.0)
    return sorted(sums.items())


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) and value >= 0 else None


def _joined(points: Iterable[Point], gap: float = GAP) -> list[list[tuple[float, float]]]:
    """The points in parts, cut where nothing is known for longer, or a clock was set back."""
    parts: list[list[tuple[float, float]]] = []
    before = -math.inf
    for at, value in points:
        if value is None:
            continue
        if not 0 <= at - before <= gap:
            parts.append([])
        parts[-1].append((at, value))
        before = at
    return parts


def _steps(bins: Iterable[Point], now: float) -> list[list[tuple[float, float]]]:
    """As `_joined`, with each value held to the end of its minute."""
    return [
        [edge for at, value in part for edge in ((at, value), (min(at + BIN, now), value))]
        for part in _joined(bins, BIN)
    ]


def _x(at: float, now: float) -> int:
    return math.floor(max(0.0, SPAN - (now - at)) + 0.5)


def _y(value: float, top: float) -> float:
    return math.floor((HEIGHT - value / top * HEIGHT) * 10 + 0.5) / 10


def path(points: Sequence[tuple[int, float]]) -> str:
    """A `d` attribute; one point alone becomes a dot, with round ends."""
    if not points:
        return ""
    rest = "L" + " ".join(f"{x} {y:g}" for x, y in points[1:]) if len(points) > 1 else "h0"
    return f"M{points[0][0]} {points[0][1]:g}{rest}"


def area(points: Sequence[tuple[int, float]]) -> str:
    """A `d` attribute of what is below the points."""
    if len(points) < 2:
        return ""
    line = " ".join(f"{x} {y:g}" for x, y in points)
    return f"M{points[0][0]} {HEIGHT}L{line} {points[-1][0]} {HEIGHT}Z"


def round_up(value: float) -> float:
    """The next number of one digit and noughts: 1, 8, 40. What is less than 1 is little."""
    if value <= 1:
        return 1
    step = 10.0 ** math.floor(math.log10(value))
    return next(
        (d * step for d in (1, 2, 3, 4, 5, 6, 8) if d * step >= value * (1 - 1e-9)), 10 * step
    )


def short(value: float) -> str:
    """A number as a chart says it: 0.3, 8.5, 120, 9,999 as 9999, 12,345 as 12.3k."""
    if value >= 1e15:
        return f"{value:.1e}"
    for size, suffix in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size and value >= 10_000:
            return _number(value / size, 100) + suffix
    return _number(value, 10)


def _number(value: float, exact_below: float) -> str:
    rounded = math.floor(value * 10 + 0.5) / 10
    return f"{rounded:g}" if rounded < exact_below else f"{math.floor(value + 0.5)}"
