"""The live queue as the page first shows it: what the search finds, in words.

The browser then does the same by itself: `static/streaming/queue/queue_cells.js` for the words,
`queue_filter.js` for the search.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from streaming.admin.orders import SHORT_ID
from streaming.waiting_list.interface import State, WorkerState

MOST_SHOWN = 500
"""Waiting rows on the page; the search looks through all."""

MOST_SEARCHED = 200
"""Characters of a search that count."""

NOTHING = "–"

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Counts:
    """The queue in five numbers, whatever is searched; `queue.js` counts the same."""

    workers: int
    running: int
    capacity: int
    waiting: int
    held: int


@dataclass(frozen=True, slots=True)
class Tables:
    """What the page's tables show. `found` of `total` rows match; `more` says how many of those
    that wait are not shown, and is empty when all are."""

    workers: list[Row]
    running: list[Row]
    waiting: list[Row]
    found: int
    total: int
    more: str


def counts(look: dict[str, Any]) -> Counts:
    """`look`: what `LiveQueue.look` answers."""
    held = sum(row["state"] == State.HELD for row in look["waiting"])
    return Counts(
        workers=len(look["workers"]),
        running=len(look["running"]),
        capacity=sum(row["capacity"] for row in look["workers"]),
        waiting=len(look["waiting"]) - held,
        held=held,
    )


def tables(look: dict[str, Any], query: str) -> Tables:
    """`look`: what `LiveQueue.look` answers; `query`: words, each of which a row must have."""
    terms = query[:MOST_SEARCHED].casefold().split()
    all_paused = look["paused"]
    workers = [row for row in look["workers"] if _has(terms, _worker_words(row, all_paused))]
    running = [row for row in look["running"] if _has(terms, _entry_words(row))]
    waiting = [row for row in look["waiting"] if _has(terms, _entry_words(row))]
    return Tables(
        workers=[worker_row(row, all_paused) for row in workers],
        running=[running_row(row) for row in running],
        waiting=[waiting_row(row) for row in waiting[:MOST_SHOWN]],
        found=len(workers) + len(running) + len(waiting),
        total=len(look["workers"]) + len(look["running"]) + len(look["waiting"]),
        more=_more(len(waiting) - MOST_SHOWN),
    )


def _has(terms: Iterable[str], words: Iterable[object]) -> bool:
    text = "\n".join(str(word) for word in words).casefold()
    return all(term in text for term in terms)


def _worker_words(row: Row, all_paused: bool) -> list[object]:
    states = [row["state"], state_word(row["state"])]
    if row["paused"] or all_paused:
        states += ["paused", state_word("paused")]
    details = row["details"]
    names = [details.get(name, "") for name in ("host", "model", "device", "dtype")]
    return [row["worker_id"], *names, *states]


def _entry_words(row: Row) -> list[object]:
    names = [row[name] for name in ("response_id", "owner", "conversation_id", "worker_id")]
    return [*names, row["state"], state_word(row["state"])]


def _more(count: int) -> str:
    if count <= 0:
        return ""
    text = ngettext(
        "%(count)d more is not shown; the search looks through all.",
        "%(count)d more are not shown; the search looks through all.",
        count,
    )
    return text % {"count": count}


# --- rows ---


def worker_row(row: Row, all_paused: bool) -> Row:
    """Return a worker's row, its cells in words."""
    details = row["details"]
    rows, rate = details.get("rows"), details.get("tokens_per_second")
    running = {"running": row["running"], "capacity": row["capacity"]}
    return {
        **row,
        "model": details.get("model", NOTHING),
        "device": " · ".join(str(details[name]) for name in ("device", "dtype") if name in details),
        "state_word": state_word(row["state"]),
        "is_paused": row["paused"] or all_paused,
        "share": _("%(running)d of %(capacity)d") % running,
        "rows": rows_word(rows) if rows is not None and rows != row["capacity"] else "",
        "rate": NOTHING if rate is None else f"{rate:.1f}",
        "memory": _memory(details),
        "beat": _("%(duration)s ago") % {"duration": duration(row["age"])},
        "most": row["capacity"] if rows is None else rows,
        "can_drain": row["state"] != WorkerState.DRAINING,
        "can_undrain": row["orders"]["drain"],
    }


def rows_word(count: int) -> str:
    """Return how many rows a worker has."""
    return ngettext("%(count)d row", "%(count)d rows", count) % {"count": count}


def _memory(details: dict[str, Any]) -> str:
    used, whole = details.get("kv_bytes_used"), details.get("kv_bytes")
    if not whole:
        return NOTHING
    return _("%(used)s of %(whole)s") % {"used": size(used or 0), "whole": size(whole)}


def running_row(row: Row) -> Row:
    """Return a running response's row, its cells in words."""
    tokens, limit, since = row["tokens"], row["max_tokens"], row["since"]
    # What earlier attempts said counts as tokens, but not the time that they took.
    rate = tokens / since if row["attempt"] == 1 and tokens and since else None
    return {
        **_named(row),
        "prompt": NOTHING if row["prompt_tokens"] is None else row["prompt_tokens"],
        "progress": f"{tokens} / {limit}" if limit else str(tokens),
        "rate": NOTHING if rate is None else f"{rate:.1f}",
        "time": duration(since),
    }


def waiting_row(row: Row) -> Row:
    """Return a waiting response's row, its cells in words."""
    eta = row["eta"]
    return {
        **_named(row),
        "place": row["position"] or place_word(row["state"]),
        "place_title": "" if row["position"] else place_title(row["state"]),
        "waited": duration(row["asked"]),
        "wait": "—" if eta is None else time_left(eta),
    }


def _named(row: Row) -> Row:
    return {
        **row,
        "short": row["response_id"][:SHORT_ID],
        "conversation": row["conversation_id"][:SHORT_ID],
    }


# --- words ---


def state_word(state: str) -> str:
    """A state of a worker or a response, as operators read it."""
    words = {
        "loading": _("loading"),
        "ready": _("ready"),
        "hung": _("hung"),
        "draining": _("draining"),
        "paused": _("paused"),
        "running": _("running"),
        "waiting": _("waiting"),
        "held": _("held"),
    }
    return words.get(state, state)


def place_word(state: str) -> str:
    """In the place of a position that a waiting response does not have."""
    return state_word("held") if state == State.HELD else _("back")


def place_title(state: str) -> str:
    """Return why a waiting response has no position."""
    if state == State.HELD:
        return _("Waits for the previous answer of its conversation")
    return _("Came back from a lost worker, and is ahead of all others")


def duration(seconds: float) -> str:
    """Whole seconds: `12 s`, `4 min 5 s`, `3 h 12 min`, `2 d 3 h`."""
    whole = max(0, math.floor(seconds))
    minutes, hours, days = whole // 60, whole // 3600, whole // 86400
    if not minutes:
        return _("%(seconds)d s") % {"seconds": whole}
    if not hours:
        return _("%(minutes)d min %(seconds)d s") % {"minutes": minutes, "seconds": whole % 60}
    if not days:
        return _("%(hours)d h %(minutes)d min") % {"hours": hours, "minutes": minutes % 60}
    return _("%(days)d d %(hours)d h") % {"days": days, "hours": hours % 24}


def time_left(seconds: float) -> str:
    """Until something is expected; `soon` when that is now or was before."""
    return duration(math.ceil(seconds)) if seconds > 0 else _("soon")


def size(count: float) -> str:
    """Bytes: `512 B`, `1.5 MiB`, `12 GiB`."""
    units = ["B", "KiB", "MiB", "GiB", "TiB"]
    while count >= 1024 and len(units) > 1:
        count /= 1024
        del units[0]
    digits = 1 if units[0] != "B" and count < 10 else 0
    return f"{count:.{digits}f} {units[0]}"
