"""Run what strangers wrote, or patterns over what they wrote, where nobody else waits for it.

Lexers, Markdown rules and chat templates are programs whose time their input chooses, and a
regular expression holds the interpreter's lock while it runs. Here they run in processes that are
killed when their time is over. This module knows nothing of what runs in them.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import functools
import logging
import threading
import time
import weakref
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from concurrent.futures.process import BrokenProcessPool
from typing import Any, ParamSpec, TypeVar

from pebble import ProcessExpired, ProcessPool

from streaming.system.bounded_call import BoundedCall, Overrun, Unserved
from streaming.system.forked import confine, context, preload, preloaded, timed

__all__ = ["BoundedPool", "Overrun", "Unserved", "preload"]

logger = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")

_ATTEMPTS = 2
"""Pools that a call is given to. One breaks, and is made anew, when one of its processes is killed
while it does nothing."""

_START_SECONDS = 30.0
"""Most seconds that `run` and `arun` wait for the processes to start."""

_CLOSE_SECONDS = 5.0
"""Most seconds that `close` waits for a start that is under way."""

_AWAY_SECONDS = 15.0
"""Seconds in which no processes are started after they could not be, or did not live."""


class BoundedPool:
    """`processes` that run one call each, for `seconds` at most and in `memory_bytes`.

    At most `most_open` calls are open at once. The processes start with the first call; when this
    one dies they end with the call that they are in. Each makes `most_calls` calls (0: no bound)
    and is replaced, so that what they took is given back. Safe to use from any thread.
    """

    def __init__(
        self,
        processes: int,
        *,
        seconds: float,
        most_open: int = 256,
        memory_bytes: int = 2**30,
        most_calls: int = 0,
    ) -> None:
        self._processes = processes
        self._most_calls = most_calls
        self._seconds = seconds
        self._memory_bytes = memory_bytes
        self._room = threading.BoundedSemaphore(most_open)
        self._lock = threading.Lock()
        self._pool: ProcessPool | None = None
        self._open: set[BoundedCall] = set()
        self._held: list[BoundedCall] = []  # until the processes have started
        self._settled = threading.Event()  # no start is under way
        self._settled.set()
        self._away_until = 0.0
        self._closing = False
        _pools.add(self)

    def warm(self) -> None:
        """Start the processes if they do not run, in the background."""
        with self._lock:
            if not self._runs():
                self._begin_start()

    @property
    def is_starting(self) -> bool:
        """Whether the processes are being started."""
        return not self._settled.is_set()

    def wait_for_start(self, seconds: float = _START_SECONDS) -> None:
        """Wait while the processes start, if they do. Blocks, for `seconds` at most."""
        self._settled.wait(seconds)

    def submit(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Have a module's function called; returns at once.

        The future raises Overrun, and whatever the function raises.
        """
        return self._submit(functools.partial(function, *args, **kwargs)).future

    def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Return what a module's function returns. Blocks, for twice `seconds` at most when the
        processes have started.

        Raises Overrun, and whatever the function raises.
        """
        call = self._submit(functools.partial(function, *args, **kwargs))
        self.wait_for_start()
        try:
            result: T = call.future.result(2 * self._seconds)
        except TimeoutError as error:
            raise self._late(call) from error
        return result

    async def arun(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Return as `run`, for an event loop, which goes on meanwhile."""
        call = self._submit(functools.partial(function, *args, **kwargs))
        if not self._settled.is_set():
            await asyncio.to_thread(self.wait_for_start)
        try:
            async with asyncio.timeout(2 * self._seconds):
                # Not cancelled with its caller: that would kill a process that does well.
                result: T = await asyncio.shield(asyncio.wrap_future(call.future))
        except TimeoutError as error:
            raise self._late(call) from error
        finally:
            call.give_up()
        return result

    def close(self) -> None:
        """End the processes; calls that are open raise Overrun. A later call starts new ones."""
        with self._lock:
            self._closing = True
        self._settled.wait(_CLOSE_SECONDS)
        with self._lock:
            pool, self._pool = self._pool, None
            calls, self._closing = list(self._open), False
        if pool is not None:
            _end(pool)
        for call in calls:
            call.end(error=Unserved("The pool was closed."))

    # --- calls ---

    def _submit(self, function: Callable[[], T]) -> BoundedCall:
        call = BoundedCall(functools.partial(timed, self._seconds, function))
        if not self._room.acquire(blocking=False):
            call.end(error=Unserved("Too many calls wait."))
            return call
        self._open.add(call)
        call.future.add_done_callback(lambda _: self._forget(call))
        self._enter(call)
        return call

    def _forget(self, call: BoundedCall) -> None:
        self._open.discard(call)
        self._room.release()
        call.give_up()

    def _enter(self, call: BoundedCall) -> None:
        with self._lock:
            if not self._runs():
                if self._begin_start():
                    self._held.append(call)
                    return
                pool = None
            else:
                pool = self._pool
        if pool is None:
            call.end(error=Unserved("There are no processes at the moment."))
            return
        call.pool = pool
        try:
            call.inner = pool.schedule(call.work, timeout=self._seconds)
        except (RuntimeError, OSError) as error:  # it has broken just now
            self._enter_again(call, error)
        else:
            call.inner.add_done_callback(functools.partial(self._take, call))

    def _take(self, call: BoundedCall, inner: Future[Any]) -> None:
        try:
            result = inner.result()
        except BrokenProcessPool as error:
            self._enter_again(call, error)
        except CancelledError:
            call.end(error=Unserved("Nobody waits for it."))
        except (TimeoutError, ProcessExpired, MemoryError) as error:
            call.end(error=Overrun(str(error) or type(error).__name__))
        except BaseException as error:
            call.end(error=error)
        else:
            call.end(result)

    def _enter_again(self, call: BoundedCall, error: BaseException) -> None:
        call.breaks, call.pool = call.breaks + 1, None
        if call.breaks < _ATTEMPTS:
            self._enter(call)
        else:
            self._be_away(error)
            call.end(error=Unserved(f"The processes do not live: {error}"))

    def _late(self, call: BoundedCall) -> Overrun:
        begun = call.has_begun
        call.give_up()
        return Overrun("It took too long.") if begun else Unserved("Its turn did not come.")

    # --- processes; `_runs` and `_begin_start` with the lock ---

    def _runs(self) -> bool:
        return self._pool is not None and self._settled.is_set() and bool(self._pool.active)

    def _begin_start(self) -> bool:
        """Begin a start, unless one is under way. Return whether one is."""
        if self._closing or _exiting.is_set():
            return False
        if self._settled.is_set():
            if time.monotonic() < self._away_until:
                return False
            self._settled.clear()
            broken, self._pool = self._pool, None
            threading.Thread(target=self._start, args=[broken], daemon=True).start()
        return True

    def _start(self, broken: ProcessPool | None) -> None:
        """Start a pool instead of a broken one, whose calls come along."""
        if broken is not None:
            _end(broken)
        pool = ProcessPool(
            self._processes,
            max_tasks=self._most_calls,
            initializer=confine,
            initargs=[self._memory_bytes, preloaded()],
            context=context(),
        )
        failure: Exception | None = None
        try:
            started = pool.active  # which starts it
        except Exception as error:
            failure, started = error, False
        with self._lock:
            self._pool = pool if started else None
            held, self._held = self._held, []
            self._settled.set()
        if not started:
            self._be_away(failure)
        for call in held:
            self._enter(call)
        for call in list(self._open):
            if broken is not None and call.pool is broken:  # it came in when that one broke
                self._enter_again(call, BrokenProcessPool("The pool has lost it."))

    def _be_away(self, error: BaseException | None) -> None:
        with self._lock:
            if time.monotonic() < self._away_until:
                return
            self._away_until = time.monotonic() + _AWAY_SECONDS
        cause = (error and error.__cause__) or error
        logger.error(
            "No processes could be started for what runs apart; trying again in %d s: %s",
            _AWAY_SECONDS,
            cause,
        )


_pools: weakref.WeakSet[BoundedPool] = weakref.WeakSet()
_exiting = threading.Event()


@atexit.register
def _end_all() -> None:
    # Before the library's own end, which a process that replaces a killed one might outlive.
    _exiting.set()
    for pool in list(_pools):
        pool.close()


def _end(pool: ProcessPool) -> None:
    with contextlib.suppress(Exception):
        pool.stop()  # type: ignore[no-untyped-call]
        pool.join()
