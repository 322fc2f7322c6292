"""Warnings that a crowd may cause, each in the log once a minute at most."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

logger = logging.getLogger(__name__)

_PAUSE_SECONDS = 60.0
"""Least seconds between two lines of one message."""


class ThrottledWarnings:
    """Logs each warning once a minute at most, with how often it was due meanwhile."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._said: dict[str, tuple[float, int]] = {}  # when, and how often it was due since

    def warn(self, message: str, args: tuple[object, ...] = ()) -> None:
        """Log `message` with `args`, or count it; a further `%s` at its end is for the count."""
        now = self._clock()
        at, unsaid = self._said.get(message, (now - _PAUSE_SECONDS, 0))
        if now - at < _PAUSE_SECONDS:
            self._said[message] = (at, unsaid + 1)
            return
        self._said[message] = (now, 0)
        logger.warning(message, *args, f" ({unsaid:,} more since it was last said.)" * (unsaid > 0))
