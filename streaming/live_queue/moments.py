"""Ages, waits and ETAs as moments, which stand still while the seconds go on by themselves."""

from __future__ import annotations

from typing import Any

from streaming.live_queue.frames import ETA_TOLERANCE

SLACK = 1.0
"""Seconds: a look takes its time, and a moment that differs by less is the same."""

_TABLES = ("workers", "running", "waiting")

_SIGNS = {"age": -1, "since": -1, "asked": -1, "eta": 1}


class Moments:
    """The moments of all rows, as they were said last."""

    def __init__(self) -> None:
        self._said: dict[tuple[str, str], float] = {}

    def date(self, look: dict[str, Any], now: float) -> dict[str, Any]:
        """Return a look (as of `LiveQueue.look`) whose seconds are moments, with `now` in seconds
        of Unix time. A moment that has not changed is the very one that was said before."""
        said: dict[tuple[str, str], float] = {}

        def dated(row: dict[str, Any]) -> dict[str, Any]:
            key = row.get("response_id") or row["worker_id"]
            moments = {}
            for name, sign in _SIGNS.items():
                seconds = row.get(name)
                if seconds is None:
                    continue
                moment = self._same(name, (key, name), round(now + sign * seconds, 1), now)
                moments[name] = said[key, name] = moment
            return row | moments

        tables = {name: [dated(row) for row in look[name]] for name in _TABLES}
        self._said = said
        return look | tables

    def _same(self, name: str, key: tuple[str, str], moment: float, now: float) -> float:
        before = self._said.get(key)
        if before is None:
            return moment
        if name == "eta":
            # What is due stays due, and a new ETA is one only if it differs by enough.
            counted, (seconds, share) = max(0.0, before - now), ETA_TOLERANCE
            is_same = abs(max(0.0, moment - now) - counted) < max(seconds, share * counted)
        else:
            is_same = abs(moment - before) < SLACK
        return before if is_same else moment
