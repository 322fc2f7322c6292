"""Run what strangers wrote, or patterns over what they wrote, where nobody else waits for it.

Lexers, Markdown rules and chat templates are programs whose time their input chooses, and a
regular expression holds the interpreter's lock while it runs. Here they run in processes that are
killed when their time is over. This module knows nothing of what runs in them.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import multiprocessing
import os
import resource
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Future
from concurrent.futures.process import BrokenProcessPool
from typing import Any, ParamSpec, TypeVar

from pebble import ProcessExpired, ProcessPool

P = ParamSpec("P")
T = TypeVar("T")

_NICENESS = 5
"""Below the engine and the event loop, which have readers that wait."""

_ATTEMPTS = (1, 2)
"""A pool breaks, and is made anew, when one of its processes is killed while it does nothing."""

_preloaded: set[str] = set()


class Overrun(Exception):
    """A call did not end in its time or its memory, its process died, or too many calls wait."""


def preload(*modules: str) -> None:
    """Have `modules` imported once, by the process that all others are forked from, so that one
    that replaces a killed one is there at once. Of use before the first call only."""
    _preloaded.update(modules)


class BoundedPool:
    """`processes` that run one call each, for `seconds` at most and in `memory_bytes`.

    At most `most_open` calls are open at once. The processes start with the first call; when this
    one dies they end with the call that they are in. Safe to use from any thread.
    """

    def __init__(
        self, processes: int, *, seconds: float, most_open: int = 256, memory_bytes: int = 2**30
    ) -> None:
        self._processes = processes
        self._seconds = seconds
        self._memory_bytes = memory_bytes
        self._room = threading.BoundedSemaphore(most_open)
        self._lock = threading.Lock()
        self._pool: ProcessPool | None = None

    def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Return what a module's function returns. Blocks, for twice `seconds` at most.

        Raises Overrun, and whatever the function raises.
        """
        call = functools.partial(_timed, self._seconds, function, *args, **kwargs)
        for attempt in _ATTEMPTS:
            future = self._submit(call)
            with _as_overrun(future, attempt):
                return future.result(2 * self._seconds)
        raise AssertionError("the last attempt raises")

    async def arun(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """`run` for an event loop, which goes on meanwhile."""
        call = functools.partial(_timed, self._seconds, function, *args, **kwargs)
        for attempt in _ATTEMPTS:
            future = self._submit(call)
            with _as_overrun(future, attempt):
                async with asyncio.timeout(2 * self._seconds):
                    # Not cancelled with its caller: that would kill a process that does well.
                    return await asyncio.shield(asyncio.wrap_future(future))
        raise AssertionError("the last attempt raises")

    def close(self) -> None:
        """End the processes; calls that are open raise Overrun."""
        with self._lock:
            pool, self._pool = self._pool, None
        if pool is not None:
            pool.stop()  # type: ignore[no-untyped-call]
            pool.join()

    def _submit(self, call: Callable[[], T]) -> Future[T]:
        if not self._room.acquire(blocking=False):
            raise Overrun("Too many calls wait.")
        try:
            future = self._schedule(call)
        except BaseException:
            self._room.release()
            raise
        future.add_done_callback(lambda _: self._room.release())
        return future

    def _schedule(self, call: Callable[[], T]) -> Future[T]:
        with self._lock:
            if self._pool is None or not self._pool.active:
                self._pool = ProcessPool(
                    self._processes,
                    initializer=_confine,
                    initargs=[self._memory_bytes],
                    context=_context(),
                )
            return self._pool.schedule(call, timeout=self._seconds)


@functools.cache
def _context() -> multiprocessing.context.ForkServerContext:
    # A fork of this process would have the locks of threads that do not run in it.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(sorted(_preloaded))
    return context


def _timed(seconds: float, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call the function in this process, which dies if nobody has killed it long after the time:
    whoever should have is dead."""
    signal.setitimer(signal.ITIMER_REAL, 2 * seconds)
    try:
        return function(*args, **kwargs)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _confine(memory_bytes: int) -> None:
    """Set the bounds of a new process."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # at once, not when the interpreter comes to it
    os.nice(_NICENESS)
    _soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    bound = memory_bytes if hard == resource.RLIM_INFINITY else min(memory_bytes, hard)
    resource.setrlimit(resource.RLIMIT_AS, (bound, hard))


@contextlib.contextmanager
def _as_overrun(future: Future[Any], attempt: int) -> Iterator[None]:
    """Say by an Overrun what became of a call; say nothing of a pool that broke at first."""
    try:
        yield
    except BrokenProcessPool as error:
        if attempt == _ATTEMPTS[-1]:
            raise Overrun(str(error)) from None
    except (TimeoutError, ProcessExpired, MemoryError) as error:
        raise Overrun(str(error) or type(error).__name__) from None
    except CancelledError:
        raise Overrun("The pool was closed.") from None
    finally:
        if not future.running():
            future.cancel()  # one whose turn has not come
