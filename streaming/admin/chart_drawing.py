"""Charts drawn as SVG: small multiples, each with its own axis, and what they say in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from streaming.admin.chart_lines import area, joined, path, round_up, short, steps, x_of, y_of
from streaming.admin.chart_series import WINDOWS, Lines, Points, TimeWindow
from streaming.waiting_list.samples import SAMPLE_SECONDS

UNKNOWN = "–"


@dataclass(frozen=True, slots=True)
class ChartLine:
    """`path` and `area` are `d` attributes; the area may be empty. `last` and `most` are words.
    `values` are [x, words] wherever the words change, for whoever chooses a moment."""

    key: str
    name: str
    path: str
    area: str
    last: str
    most: str
    values: list[tuple[int, str]]


@dataclass(frozen=True, slots=True)
class Chart:
    """`top` is the value at the upper edge, in words; `summary` is for who does not see it. `note`
    says why there is nothing to see."""

    key: str
    title: str
    top: str
    lines: list[ChartLine]
    summary: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class ChartBoard:
    """All charts of a window up to `at`, in Unix time. `message` says why there is nothing to see;
    a board that is not `open` has not been read."""

    at: float
    window: TimeWindow
    charts: list[Chart]
    message: str
    open: bool = True

    @property
    def windows(self) -> list[TimeWindow]:
        """Return the windows that can be chosen."""
        return list(WINDOWS.values())

    @property
    def values(self) -> dict[str, str]:
        """Return the values of each line, by its key: `x words;x words`."""
        return {
            line.key: ";".join(f"{x} {words}" for x, words in line.values)
            for chart in self.charts
            for line in chart.lines
        }


@dataclass(frozen=True, slots=True)
class _Kind:
    key: str
    title: Promise
    lines: Sequence[tuple[str, Promise]]
    filled: frozenset[str] = frozenset()
    unit: Promise | None = None
    note: Promise | None = None


_P50, _P95 = gettext_lazy("p50"), gettext_lazy("p95")

KINDS = (
    _Kind(
        "running",
        gettext_lazy("Running"),
        (("capacity", gettext_lazy("Capacity")), ("running", gettext_lazy("Running"))),
        filled=frozenset({"running"}),
    ),
    _Kind(
        "waiting",
        gettext_lazy("Waiting"),
        (("waiting", gettext_lazy("Waiting")),),
        filled=frozenset({"waiting"}),
    ),
    _Kind(
        "wait",
        gettext_lazy("Queue time"),
        (("queue_p95", _P95), ("queue", _P50)),
        unit=gettext_lazy("%s s"),
    ),
    _Kind(
        "ttft",
        gettext_lazy("Time to first token"),
        (("ttft_p95", _P95), ("ttft", _P50)),
        unit=gettext_lazy("%s s"),
    ),
    _Kind(
        "speed",
        gettext_lazy("Tokens per second"),
        (("tokens", gettext_lazy("Tokens per second")),),
        filled=frozenset({"tokens"}),
    ),
    _Kind(
        "rejections",
        gettext_lazy("Rejections per minute"),
        (("rejected", gettext_lazy("Rejections per minute")),),
        filled=frozenset({"rejected"}),
        note=gettext_lazy("Kept for an hour only"),
    ),
)
"""What is drawn, in the order of the page."""


def drawn(lines: Lines, now: float, window: TimeWindow, message: str) -> ChartBoard:
    """Return the charts of these lines up to `now`, in Unix time; `message` says why there is
    nothing to see."""
    charts = [_chart(kind, lines, now, window) for kind in KINDS]
    return ChartBoard(now, window, charts, message)


def _chart(kind: _Kind, lines: Lines, now: float, window: TimeWindow) -> Chart:
    known = {key: lines[key] for key, _name in kind.lines if key in lines}
    values = [value for line in known.values() for _at, value in line.points if value]
    top = round_up(max(values, default=0.0))

    def words(value: float | None) -> str:
        if value is None:
            return UNKNOWN
        return str(kind.unit) % short(value) if kind.unit else short(value)

    drawn = [
        _line(key, str(name), known[key], top, now, window, words, key in kind.filled)
        for key, name in kind.lines
        if key in known
    ]
    text = _("%(name)s: last %(last)s, most %(most)s.")
    said = [text % {"name": one.name, "last": one.last, "most": one.most} for one in drawn]
    note = str(kind.note or "") if not known else ""
    return Chart(kind.key, str(kind.title), words(top), drawn, " ".join(said) or note, note)


def _line(
    key: str,
    name: str,
    line: Points,
    top: float,
    now: float,
    window: TimeWindow,
    words: Any,
    is_filled: bool,
) -> ChartLine:
    parts = steps(line.points, now, line.gap) if line.held else joined(line.points, line.gap)
    drawn = [[(x_of(at, now, window.span), y_of(v, top)) for at, v in part] for part in parts]
    known = [value for _at, value in line.points if value is not None]
    return ChartLine(
        key=key,
        name=name,
        path="".join(map(path, drawn)),
        area="".join(map(area, drawn)) if is_filled else "",
        last=words(known[-1] if known else None),
        most=words(max(known, default=None)),
        values=_said(parts, 0.0 if line.held else SAMPLE_SECONDS, now, window, words),
    )


def _said(
    parts: list[list[tuple[float, float]]],
    lasts: float,
    now: float,
    window: TimeWindow,
    words: Any,
) -> list[tuple[int, str]]:
    """Where the words change, and UNKNOWN where a part is over for `lasts` seconds."""
    said: list[tuple[int, str]] = []
    for part in parts:
        for at, value in part:
            if not said or said[-1][1] != words(value):
                said.append((x_of(at, now, window.span), words(value)))
        said.append((x_of(part[-1][0] + lasts, now, window.span) + 1, UNKNOWN))
    return said
