"""Charts of the queue's last hour: lines drawn as SVG, and what they say in words.

`static/streaming/queue/queue-charts.js` draws the same again when samples come; what is changed
here is changed there. x is in seconds since an hour ago, y from 0 (the maximum) down to HEIGHT
(nought).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from asgiref.sync import async_to_sync
from channels.layers import get_channel_layer
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from streaming.admin.chart_lines import (
    SPAN,
    area,
    bins_of,
    joined,
    path,
    points_of,
    round_up,
    short,
    steps,
    x_of,
    y_of,
)
from streaming.system.outages import log_fault
from streaming.waiting_list import samples
from streaming.waiting_list.samples import Sample

logger = logging.getLogger(__name__)


UNKNOWN = "–"


@dataclass(frozen=True, slots=True)
class ChartLine:
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
    lines: list[ChartLine]
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
        key: (bins_of if kind.in_bins else points_of)(found, value)
        for key, _name, value in kind.lines
    }
    top = round_up(max((v for line in points.values() for _at, v in line if v), default=0.0))

    def words(value: float | None) -> str:
        if value is None:
            return UNKNOWN
        return str(kind.unit) % short(value) if kind.unit else short(value)

    lines = []
    for key, name, _value in kind.lines:
        known = [value for _at, value in points[key] if value is not None]
        parts = steps(points[key], now) if kind.in_bins else joined(points[key])
        drawn = [[(x_of(at, now), y_of(value, top)) for at, value in part] for part in parts]
        lines.append(
            ChartLine(
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
