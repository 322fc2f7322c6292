"""What the live queue says in words: states, durations, sizes, shares. In the active language.

Of these the browser says durations alone by itself (`static/streaming/queue/queue_clock.js`), since
they go on between two frames.
"""

from __future__ import annotations

import math

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from streaming.waiting_list.interface import State

NOTHING = "–"


_STATES = {
    "loading": lambda: _("loading"),
    "ready": lambda: _("ready"),
    "hung": lambda: _("hung"),
    "draining": lambda: _("draining"),
    "paused": lambda: _("paused"),
    "running": lambda: _("running"),
    "waiting": lambda: _("waiting"),
    "held": lambda: _("held"),
}

_SOURCES = {"chat": lambda: _("Chat"), "api": lambda: _("API"), "name": lambda: _("Title")}


def state_word(state: str) -> str:
    """A state of a worker or a response, as operators read it."""
    return _STATES[state]() if state in _STATES else state


def source_word(source: str) -> str:
    """By which door a prompt came; a dash if the record does not say."""
    return _SOURCES[source]() if source in _SOURCES else source or NOTHING


def place_word(state: str) -> str:
    """In the place of a position that a waiting response does not have."""
    return state_word("held") if state == State.HELD else _("back")


def place_title(state: str) -> str:
    """Return why a waiting response has no position."""
    if state == State.HELD:
        return _("Waits for the previous answer of its conversation")
    return _("Came back from a lost worker, and is ahead of all others")


def share(part: int, whole: int) -> str:
    """Return `2 of 4`."""
    return _("%(running)d of %(capacity)d") % {"running": part, "capacity": whole}


def rows_word(count: int) -> str:
    """Return how many rows a worker has."""
    return ngettext("%(count)d row", "%(count)d rows", count) % {"count": count}


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


def ago(seconds: float) -> str:
    """Return how long ago something was."""
    return _("%(duration)s ago") % {"duration": duration(seconds)}


def size(count: float) -> str:
    """Bytes: `512 B`, `1.5 MiB`, `12 GiB`."""
    units = ["B", "KiB", "MiB", "GiB", "TiB"]
    while count >= 1024 and len(units) > 1:
        count /= 1024
        del units[0]
    digits = 1 if units[0] != "B" and count < 10 else 0
    return f"{count:.{digits}f} {units[0]}"


def memory(used: float, whole: float) -> str:
    """Return how much of a memory is used, a dash if it has none."""
    if not whole:
        return NOTHING
    return _("%(used)s of %(whole)s") % {"used": size(used), "whole": size(whole)}


def characters(count: int) -> str:
    """Return the length of a prompt: `940`, `12.3k`."""
    return str(count) if count < 10_000 else f"{count / 1000:.1f}k"


def more_waiting(count: int) -> str:
    """Return that so many rows are not shown; empty for none."""
    if count <= 0:
        return ""
    text = ngettext(
        "%(count)d more is not shown; the search looks through all.",
        "%(count)d more are not shown; the search looks through all.",
        count,
    )
    return text % {"count": count}
