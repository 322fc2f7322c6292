"""Notices what hangs: a step of an engine, an event loop. Ends a process that nothing else can.

It knows neither engines nor queues. Time is counted in looks, never by a clock alone: a process
that was stopped, or a machine that slept, has missed its looks, and has not hung.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import os
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from types import TracebackType
from typing import Any, NoReturn, TypeVar

logger = logging.getLogger(__name__)

_LOOK_SECONDS = 1.0
_LEAST_LOOKS = 5
"""Looks in a row that do not all fall into a pause, as one may."""

_SAYING_SECONDS = 5.0
"""Most seconds for the last lines of a log: what hangs may be the place where they go."""

_FRAMES_SHOWN = 40

T = TypeVar("T")


class EngineHangs(RuntimeError):
    """An engine does not return, and its thread cannot be ended but with the process."""


class StandsHere(Exception):
    """Is never raised: with it, a log shows a thread as it shows an error."""


class Standstill:
    """Counts the looks in a row that found something at work and no further than before.

    `look_seconds` are to pass between two looks; `limit` of them make `seconds` (0: never).
    """

    def __init__(self, seconds: float) -> None:
        self.look_seconds = min(_LOOK_SECONDS, seconds / _LEAST_LOOKS) or _LOOK_SECONDS
        self.limit = math.ceil(seconds / self.look_seconds) or sys.maxsize
        self.looks = 0
        self._progress: int | None = None

    @property
    def is_suspicious(self) -> bool:
        """Whether it has stood still for some looks already."""
        return self.looks >= _LEAST_LOOKS

    def look(self, progress: int | None) -> int:
        """Look once. Return how many looks in a row, this one included, saw this `progress`; None
        is idle."""
        stands = progress is not None and progress == self._progress
        self._progress = progress
        self.looks = self.looks + 1 if stands else 0
        return self.looks


def where(thread_id: int) -> tuple[type[StandsHere], StandsHere, TracebackType | None]:
    """Return where a thread stands, as `exc_info` of a log line."""
    frame, trace = sys._current_frames().get(thread_id), None
    for _ in range(_FRAMES_SHOWN if frame else 0):
        if frame:
            trace = TracebackType(trace, frame, frame.f_lasti, frame.f_lineno or 1)
            frame = frame.f_back
    said = "the thread stands where its last line says" if trace else "there is no such thread"
    return StandsHere, StandsHere(said), trace


async def in_thread(function: Callable[..., T], *args: object) -> T:
    """Return what `function` returns, called in a thread of its own. Unlike those of
    `asyncio.to_thread`, no end of the process waits for it."""
    done: Future[T] = Future()
    done.set_running_or_notify_cancel()  # so that nobody else cancels it

    def run() -> None:
        try:
            done.set_result(function(*args))
        except BaseException as error:
            done.set_exception(error)

    threading.Thread(target=run, name="chatstream-call", daemon=True).start()
    return await asyncio.wrap_future(done)


class LoopWatch:
    """Ends the process when its event loop stands still, from a thread of its own.

    After `seconds` it says where the loop's thread stands, after twice as long the process ends
    with status 1. It watches until the process has ended: an ending that hangs is one, too.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, seconds: float) -> None:
        self._loop = loop
        self._thread_id = threading.get_ident()
        self._answers = 0
        self._standstill = Standstill(seconds)

    def start(self) -> None:
        """Begin to watch. To be called in the loop's thread."""
        threading.Thread(target=self._watch, name="chatstream-watchdog", daemon=True).start()

    def _watch(self) -> None:
        standstill = self._standstill
        while standstill.looks < 2 * standstill.limit:
            with contextlib.suppress(RuntimeError):  # it is closed: the process is about to end
                self._loop.call_soon_threadsafe(self._answer)
            time.sleep(standstill.look_seconds)
            if standstill.look(self._answers) == standstill.limit:
                seconds = standstill.limit * standstill.look_seconds
                stands = where(self._thread_id)
                _say(logging.ERROR, "The event loop has stood still for %d s.", seconds, at=stands)
        leave("The event loop stands still; the process ends.")

    def _answer(self) -> None:
        self._answers += 1


def leave(text: str, status: int = 1) -> NoReturn:
    """End this process now, whatever its threads do: nothing runs any more, no `finally`, no
    `atexit`. What had to be done in order is done, or is hopeless."""
    _say(logging.CRITICAL, "%s", text)
    os._exit(status)


def _say(level: int, text: str, *args: object, at: Any = None) -> None:
    """Log it and write out what is buffered, and wait for that only so long."""

    def say() -> None:
        logger.log(level, text, *args, exc_info=at)
        sys.stdout.flush()
        sys.stderr.flush()

    saying = threading.Thread(target=say, daemon=True)
    saying.start()
    saying.join(_SAYING_SECONDS)
