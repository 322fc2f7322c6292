"""Lines of charts: points as SVG paths, values as short words.

x runs from 0 (the beginning of the window) to WIDTH (now), y from 0 (the maximum) down to HEIGHT
(nought).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence

from streaming.waiting_list.samples import SAMPLE_SECONDS, Sample

WIDTH = 3600

HEIGHT = 100

BIN = 60
"""Seconds of a bin of samples."""

GAP = 2.5 * SAMPLE_SECONDS
"""What is farther apart than so many seconds is not joined: nobody knows what was between."""


Point = tuple[float, float | None]
"""Unix time, and the value if there is one."""


def points_of(found: Iterable[Sample], value: Callable[[Sample], float | None]) -> list[Point]:
    """Return the value of each sample at its time; None where it has none."""
    return [(sample.at, finite(value(sample))) for sample in found]


def bins_of(found: Iterable[Sample], value: Callable[[Sample], float | None]) -> list[Point]:
    """The sum of each minute that has a sample, at its beginning."""
    sums: dict[float, float] = {}
    for sample in found:
        begin = sample.at // BIN * BIN
        sums[begin] = sums.get(begin, 0.0) + (finite(value(sample)) or 0.0)
    return sorted(sums.items())


def finite(value: float | None) -> float | None:
    """Return a value that can be drawn, None for any other."""
    return value if value is not None and math.isfinite(value) and value >= 0 else None


def joined(points: Iterable[Point], gap: float = GAP) -> list[list[tuple[float, float]]]:
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


def steps(bins: Iterable[Point], now: float, width: float = BIN) -> list[list[tuple[float, float]]]:
    """As `joined`, with each value held to the end of its bin of `width` seconds."""
    return [
        [edge for at, value in part for edge in ((at, value), (min(at + width, now), value))]
        for part in joined(bins, width * 1.001)
    ]


def x_of(at: float, now: float, span: float = WIDTH) -> int:
    """Return the x of a time, in the `span` seconds up to `now`."""
    return math.floor(max(0.0, WIDTH * (1 - (now - at) / span)) + 0.5)


def y_of(value: float, top: float) -> float:
    """Return the y of a value, to a tenth; `top` is the value at the upper edge."""
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
