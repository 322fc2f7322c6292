"""The page of the live queue in one language, and the frames by which it is kept up to date.

What it says is made here once, for the first page and for every frame after it. A frame has only
the parts that differ from those that were sent; whoever has got the same before, gets the same
text, however many they are. What somebody may do is not in it: the page's own templates say that.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from django.utils import translation

from streaming.live_queue import cells
from streaming.live_queue.cells import Look, Row
from streaming.live_queue.parts import Part

TABLES = ("workers", "running", "waiting", "owners")

_KEYS = {
    "workers": "worker_id",
    "running": "response_id",
    "waiting": "response_id",
    "owners": "owner",
}

_FRAMES_KEPT = 8
"""Of one state of the page, for watchers that were last sent different ones."""

_serials = count(1)

Rows = dict[str, Row]
"""The rows of a table by their keys, in order."""


@dataclass(frozen=True)
class Board:
    """The page at one time: its tables' rows, and its parts outside of them."""

    now: float
    tables: dict[str, Rows]
    page: dict[str, Part]
    serial: int = field(default_factory=_serials.__next__)
    _frames: dict[int, str | None] = field(default_factory=dict, repr=False)

    def frame(self, sent: Board | None) -> str | None:
        """Return a `queue.page` with what differs from the board `sent`, all for None; None if
        nothing does. Made once for all who were sent the same."""
        number = sent.serial if sent else 0
        if number not in self._frames:
            if len(self._frames) >= _FRAMES_KEPT:
                self._frames.clear()
            self._frames[number] = self._frame_after(sent)
        return self._frames[number]

    def _frame_after(self, sent: Board | None) -> str | None:
        before = sent.page if sent else {}
        page = {
            name: given.values
            for name, given in self.page.items()
            if not given.is_like(before.get(name))
        }
        tables = {
            name: changes
            for name in TABLES
            if (changes := _changes(sent.tables[name] if sent else None, self.tables[name]))
        }
        if sent and not page and not tables:
            return None
        frame = {"type": "queue.page", "now": round(self.now, 2), "whole": sent is None}
        return json.dumps(frame | {"page": page, "tables": tables}, separators=(",", ":"))


def _changes(before: Rows | None, rows: Rows) -> dict[str, Any]:
    """Return what differs, empty if nothing does: `rows` by key, each with the parts that differ
    (and with all and its names if it is new), `gone` keys, and `order`, all keys, where rows are
    elsewhere than behind those that stay."""
    known = before or {}
    changes: dict[str, Any] = {}
    changed = {key: values for key, row in rows.items() if (values := _news(known.get(key), row))}
    if changed:
        changes["rows"] = changed
    if gone := [key for key in known if key not in rows]:
        changes["gone"] = gone
    stay = [key for key in known if key in rows]
    if stay + [key for key in rows if key not in known] != list(rows):
        changes["order"] = list(rows)
    if before is None:
        changes.setdefault("rows", {})
    return changes


def _news(known: Row | None, row: Row) -> dict[str, Any]:
    if known is row:
        return {}
    if known is None or known.names != row.names:
        parts = {name: given.values for name, given in row.parts.items()}
        return {"names": row.names, "states": row.states, "parts": parts}
    parts = {
        name: given.values
        for name, given in row.parts.items()
        if not given.is_like(known.parts.get(name))
    }
    news: dict[str, Any] = {"parts": parts} if parts else {}
    if known.states != row.states:
        news["states"] = row.states
    return news


class Boards:
    """Makes the boards of one language, one after the other; what has not changed is not made
    again."""

    def __init__(self, language: str) -> None:
        self._language = language
        self._made: dict[str, dict[str, tuple[Any, Row]]] = {}

    def make(self, look: Look, now: float) -> Board:
        """Return the board of a look as `Moments.date` makes it, at `now` in Unix time."""
        with translation.override(self._language):
            paused = look["paused"]
            tables = {
                "workers": self._table(
                    "workers", look["workers"], lambda row: cells.worker(row, paused, now), paused
                ),
                "running": self._table(
                    "running", look["running"], lambda row: cells.running(row, now)
                ),
                "waiting": self._table(
                    "waiting", look["waiting"], lambda row: cells.waiting(row, now)
                ),
                "owners": self._table("owners", cells.owners(look), cells.owner),
            }
            return Board(now, tables, cells.page(look))

    def _table(
        self, name: str, rows: list[Look], make: Callable[[Look], Row], *also: object
    ) -> Rows:
        before, made = self._made.get(name, {}), {}
        table: Rows = {}
        for row in rows:
            key = row[_KEYS[name]]
            known = before.get(key)
            # The text of a clock goes on by itself: a row is what it was until its look differs.
            row_made = known[1] if known and known[0] == (row, also) else make(row)
            made[key] = (row, also), row_made
            table[key] = row_made
        self._made[name] = made
        return table
