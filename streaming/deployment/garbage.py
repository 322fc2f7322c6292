"""When Python collects garbage in a server: not while a crowd comes, but when one has left."""

from __future__ import annotations

import gc

_THRESHOLDS = 5000, 10, 50
"""As `gc.set_threshold`. With Python's own it would walk over everything again and again while a
crowd comes, half a second each time with some thousand sockets."""

_ENDED = 1000
"""Ended connections, which leave garbage in circles, after which it is collected: when no more end,
or when five times as many have."""


class GarbageCollection:
    """Collects what ended connections leave behind; `look` about once a second."""

    def __init__(self) -> None:
        self._ended_before = 0

    def start(self) -> None:
        """Turn Python's own collection on, of what is made from now on: no collection need walk
        over what has been loaded, and hold up the event loop."""
        gc.freeze()
        gc.set_threshold(*_THRESHOLDS)
        gc.enable()

    def look(self, ended: int, present: int) -> bool:
        """Collect if it is time: `ended` connections have ended since the last time, `present` are
        open. Return whether it was."""
        enough = max(_ENDED, present // 4)
        is_time = ended > 5 * enough or (ended > enough and ended == self._ended_before)
        self._ended_before = 0 if is_time else ended
        if is_time:
            gc.collect()
        return is_time
