"""Which rows of very different lengths are read by one kernel call."""

from __future__ import annotations

from collections.abc import Sequence


def partition(lengths: Sequence[int], call: int) -> list[tuple[int, int]]:
    """Return neighbours to be read together, as (first, last): the cheapest way to cut, where a
    part costs `call` plus its count times its longest."""
    count = len(lengths)
    if not count:
        return []
    if count * max(lengths) - sum(lengths) <= call:
        return [(0, count)]
    best = [0] * (count + 1)  # cost of the first i
    cut = [0] * (count + 1)
    for last in range(1, count + 1):
        longest, cheapest = 0, None
        for first in range(last - 1, -1, -1):
            longest = max(longest, lengths[first])
            cost = best[first] + call + (last - first) * longest
            if cheapest is None or cost < cheapest:
                cheapest, cut[last] = cost, first
        best[last] = cheapest or 0
    parts = []
    while count:
        parts.append((cut[count], count))
        count = cut[count]
    return parts[::-1]
