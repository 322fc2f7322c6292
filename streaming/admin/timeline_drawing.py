"""A response's life as a small drawing: SVG with classes and presentation attributes alone.

The colours are in `admin-history.css`. What it shows is also said in words.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.utils.html import format_html, format_html_join

from streaming.admin.durations import words
from streaming.admin.timeline import PHASES, SKEWED, Life, life_of, notes, sentence
from streaming.models import Response

WIDTH = 720.0
"""Of the large drawing, in SVG units, which are pixels where there is room."""


EDGE = 8.0


SMALL_WIDTH = 96.0


LEAST = 3.0
"""What a phase is wide at least, however short: it must be seen."""


LETTER = 6.3
"""How wide a letter of a label is, roughly."""


@dataclass(frozen=True, slots=True)
class Bar:
    """Where something is drawn, in SVG units."""

    x: float
    width: float


def layout(seconds: Sequence[float], width: float, least: float = LEAST) -> list[Bar]:
    """Places side by side that fill a width in proportion; none below `least`, for it is there.

    Without any duration all are equally wide.
    """
    if not seconds:
        return []
    least = min(least, width / len(seconds))
    total = sum(seconds)
    widths = [width / len(seconds)] * len(seconds)
    if total > 0:
        # What is too narrow gets the least, and the others share the rest, until all are seen.
        small: set[int] = set()
        while True:
            share = sum(value for i, value in enumerate(seconds) if i not in small)
            room = width - least * len(small)
            widths = [
                least if i in small else room * (value / share) for i, value in enumerate(seconds)
            ]
            narrow = {i for i, value in enumerate(widths) if value < least - 1e-9}
            if not narrow:
                break
            small |= narrow
    places, x = [], 0.0
    for value in widths:
        places.append(Bar(x, value))
        x += value
    return places


def label_rows(labels: Sequence[tuple[float, float]]) -> list[int]:
    """For each label (left and right end, from left to right) a row where it covers none."""
    ends: list[float] = []
    rows = []
    for left, right in labels:
        row = next((i for i, end in enumerate(ends) if end <= left), len(ends))
        ends[row:] = [right + LETTER, *ends[row + 1 :]]
        rows.append(row)
    return rows


def small(response: Response) -> str:
    """A bar for a table's column; its title says the same."""
    life = life_of(response)
    places = layout([phase.seconds for phase in life.phases], SMALL_WIDTH)
    said = sentence(response, life)
    return format_html(
        '<svg class="cs-bar" width="{}" height="10" viewBox="0 0 {} 10" role="img" '
        'aria-label="{}"><title>{}</title>{}</svg>',
        round(SMALL_WIDTH),
        round(SMALL_WIDTH),
        said,
        said,
        _rects(life, places, y=1, height=8, left=0),
    )


def large(response: Response) -> str:
    """The drawing with its labels, and a table of the same."""
    life = life_of(response)
    places = layout([phase.seconds for phase in life.phases], WIDTH - 2 * EDGE)
    ticks = [EDGE + place.x for place in places] + [WIDTH - EDGE]
    names = [moment.name for moment in life.moments]
    extents = [_extent(x, name) for x, name in zip(ticks, names, strict=True)]
    rows = label_rows(extents)
    height = 56 + 15 * (max(rows) + 1)
    drawing = format_html(
        '<svg class="cs-life" width="{w}" height="{h}" viewBox="0 0 {w} {h}" role="img" '
        'aria-label="{said}"><title>{said}</title>{rects}{marks}{lengths}</svg>',
        w=round(WIDTH),
        h=height,
        said=sentence(response, life),
        rects=_rects(life, places, y=20, height=20, left=EDGE),
        marks=_marks(ticks, extents, rows, names),
        lengths=_lengths(life, places),
    )
    said = [*([SKEWED] if life.skewed else []), *notes(response)]
    return format_html(
        '<div class="cs-timeline"><div class="cs-scroll" tabindex="0" role="region" '
        'aria-label="Timeline">{}</div>{}{}</div>',
        drawing,
        _table(life),
        format_html_join("", '<p class="cs-note">{}</p>', ((note,) for note in said)),
    )


def _rects(life: Life, places: Sequence[Bar], y: int, height: int, left: float) -> str:
    rects: list[tuple[Any, ...]] = [
        (phase.kind, f"{left + place.x:.2f}", y, f"{place.width:.2f}", height)
        for phase, place in zip(life.phases, places, strict=True)
    ]
    return format_html_join("", '<rect class="cs-{}" x="{}" y="{}" width="{}" height="{}"/>', rects)


def _extent(x: float, text: str) -> tuple[float, float]:
    """Left and right end of a moment's label: around it, but inside the drawing."""
    width = len(text) * LETTER
    left = min(max(x - width / 2, 0), WIDTH - width)
    return left, left + width


def _marks(
    ticks: Sequence[float],
    extents: Sequence[tuple[float, float]],
    rows: Sequence[int],
    names: Sequence[str],
) -> str:
    """A line down from each moment, and its name at the end of it, over other moments' lines."""
    lines = [(f"{x:.2f}", f"{x:.2f}", 47 + 15 * row) for x, row in zip(ticks, rows, strict=True)]
    labels = [
        (f"{(left + right) / 2:.2f}", 58 + 15 * row, name)
        for (left, right), row, name in zip(extents, rows, names, strict=True)
    ]
    return format_html(
        "{}{}",
        format_html_join("", '<line class="cs-tick" x1="{}" y1="16" x2="{}" y2="{}"/>', lines),
        format_html_join(
            "", '<text class="cs-label" text-anchor="middle" x="{}" y="{}">{}</text>', labels
        ),
    )


def _lengths(life: Life, places: Sequence[Bar]) -> str:
    """Above each phase that has room for it, how long it was. The table says all of them."""
    found = []
    for phase, place in zip(life.phases, places, strict=True):
        text = words(phase.seconds)
        if len(text) * LETTER <= place.width:
            found.append((f"{EDGE + place.x + place.width / 2:.2f}", text))
    return format_html_join(
        "", '<text class="cs-length" text-anchor="middle" x="{}" y="12">{}</text>', found
    )


def _table(life: Life) -> str:
    rows = [
        (
            phase.kind,
            PHASES[phase.kind],
            f"{phase.begin.name} to {phase.end.name}",
            words(phase.seconds),
        )
        for phase in life.phases
    ]
    body = format_html_join(
        "",
        '<tr><th scope="row"><svg class="cs-key" width="10" height="10" aria-hidden="true">'
        '<rect class="cs-{}" width="10" height="10"/></svg> {}</th><td>{}</td>'
        '<td class="cs-number">{}</td></tr>',
        rows,
    )
    return format_html(
        '<table class="cs-phases"><tbody>{}<tr><th scope="row">{}</th><td></td>'
        '<td class="cs-number">{}</td></tr></tbody></table>',
        body,
        "so far" if life.open else "in all",
        words(life.seconds),
    )
