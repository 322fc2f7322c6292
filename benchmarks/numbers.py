"""What is made of measured numbers: percentiles, ratios, slopes."""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Sequence

NOTHING = float("nan")
"""Stands for what was not measured; tables show it as a dash."""


def median(values: Sequence[float]) -> float:
    """Return the median; NOTHING of no values."""
    return statistics.median(values) if values else NOTHING


def percentile(values: Sequence[float], percent: float) -> float:
    """Between the two nearest values, in proportion; NOTHING of no values.

    Raises ValueError for a percentage outside 0 to 100.
    """
    if not 0 <= percent <= 100:
        raise ValueError(f"percent={percent} is not between 0 and 100")
    if not values:
        return NOTHING
    ordered = sorted(values)
    at = percent / 100 * (len(ordered) - 1)
    low = math.floor(at)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (at - low) * (ordered[high] - ordered[low])


def ratio(value: float, other: float) -> float:
    """`value / other`; NOTHING where that says nothing."""
    return value / other if other and math.isfinite(other) else NOTHING


def gaps(moments: Sequence[float]) -> list[float]:
    """The times between successive moments."""
    return [later - earlier for earlier, later in itertools.pairwise(moments)]


def slope(points: Sequence[tuple[float, float]]) -> float:
    """By least squares, in units of y for one of x; NOTHING if all stand at one x."""
    if len({x for x, _ in points}) < 2:
        return NOTHING
    return statistics.linear_regression(*zip(*points, strict=True)).slope
