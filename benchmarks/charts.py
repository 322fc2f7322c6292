"""Line charts as SVG text: small files that a diff can read, and no library to install."""

from __future__ import annotations

import math
from html import escape

from benchmarks.report import Chart, shown

WIDTH, HEIGHT = 640, 360
LEFT, RIGHT, TOP, BOTTOM = 64, 170, 40, 48
COLOURS = ("#0b62c4", "#c2410c", "#15803d", "#7e22ce", "#a16207", "#0e7490", "#be123c", "#475569")
_DASHES = ("", "6 3", "2 3", "8 3 2 3")


class Axis:
    """Maps values to places between `start` and `end`, evenly or by their logarithms."""

    def __init__(self, values: list[float], start: float, end: float, log: bool) -> None:
        self.log = log and all(value > 0 for value in values)
        low, high = min(values), max(values)
        if not self.log:
            low = min(low, 0.0)
        if low == high:
            low, high = (low / 2, high * 2) if self.log else (low, high + 1)
        self.low, self.high = low, high
        self._start, self._end = start, end

    def place(self, value: float) -> float:
        """Return the place of a value between `start` and `end`."""
        low, high = self.low, self.high
        if self.log:
            value, low, high = math.log(value), math.log(low), math.log(high)
        return self._start + (value - low) / (high - low) * (self._end - self._start)

    def ticks(self) -> list[float]:
        """About five round numbers; powers of ten if the axis is logarithmic and wide enough."""
        if self.log:
            powers = range(math.ceil(math.log10(self.low)), math.floor(math.log10(self.high)) + 1)
            if len(powers) >= 2:
                return [10.0**power for power in powers]
        step = 10 ** math.floor(math.log10((self.high - self.low) / 4))
        step = next(s for s in (step, 2 * step, 5 * step, 10 * step)
                    if (self.high - self.low) / s <= 6)  # fmt: skip
        first = math.ceil(self.low / step)
        return [number * step for number in range(first, math.floor(self.high / step) + 1)]


def svg(chart: Chart) -> str:
    """The whole file. Points that are not finite are left out; so is a line without any."""
    lines = {
        name: [point for point in points if all(map(math.isfinite, point))]
        for name, points in chart.lines.items()
    }
    lines = {name: sorted(points) for name, points in lines.items() if points}
    body = [_text(WIDTH / 2, 22, chart.title, "middle", 15)]
    if lines:
        body += _plot(chart, lines)
    else:
        body.append(_text(WIDTH / 2, HEIGHT / 2, "nothing was measured", "middle"))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        f'font-family="sans-serif" role="img" aria-label="{escape(chart.title, quote=True)}">\n'
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>\n' + "\n".join(body) + "\n</svg>\n"
    )


def _plot(chart: Chart, lines: dict[str, list[tuple[float, float]]]) -> list[str]:
    every = [point for points in lines.values() for point in points]
    x = Axis([px for px, _ in every], LEFT, WIDTH - RIGHT, chart.log_x)
    y = Axis([py for _, py in every], HEIGHT - BOTTOM, TOP, chart.log_y)
    body = []
    for value in sorted({px for px, _ in every}) if chart.log_x else x.ticks():
        at = x.place(value)
        body.append(_line(at, HEIGHT - BOTTOM, at, TOP, "#e5e7eb"))
        body.append(_text(at, HEIGHT - BOTTOM + 16, shown(value), "middle"))
    for value in y.ticks():
        at = y.place(value)
        body.append(_line(LEFT, at, WIDTH - RIGHT, at, "#e5e7eb"))
        body.append(_text(LEFT - 6, at + 4, shown(value), "end"))
    body.append(_text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 10, chart.x_label, "middle"))
    middle = (TOP + HEIGHT - BOTTOM) / 2
    turned = f' transform="rotate(-90 16 {middle:g})"'
    body.append(_text(16, middle, chart.y_label, "middle", more=turned))
    for number, (name, points) in enumerate(lines.items()):
        colour = COLOURS[number % len(COLOURS)]
        dash = _DASHES[number % len(_DASHES)]
        path = " ".join(f"{x.place(px):.1f},{y.place(py):.1f}" for px, py in points)
        body.append(
            f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2" '
            f'stroke-dasharray="{dash}"/>'
        )
        body += [
            f'<circle cx="{x.place(px):.1f}" cy="{y.place(py):.1f}" r="3" fill="{colour}"/>'
            for px, py in points
        ]
        at = TOP + 10 + 18 * number
        body.append(_line(WIDTH - RIGHT + 10, at, WIDTH - RIGHT + 30, at, colour, dash, 2))
        body.append(_text(WIDTH - RIGHT + 36, at + 4, name))
    return body


def _line(
    x1: float, y1: float, x2: float, y2: float, colour: str, dash: str = "", width: int = 1
) -> str:
    return (
        f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}" '
        f'stroke-width="{width}" stroke-dasharray="{dash}"/>'
    )


def _text(
    x: float, y: float, text: str, anchor: str = "start", size: int = 11, more: str = ""
) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" '
        f'fill="#1f2937"{more}>{escape(text)}</text>'
    )
