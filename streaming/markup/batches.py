"""What waits for a bounded pool: several short texts in one call, where several wait."""

from __future__ import annotations

import contextlib
import functools
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from typing import Generic, TypeVar

from streaming.system.bounded import BoundedPool, Overrun, Unserved

J = TypeVar("J")
R = TypeVar("R")

_LOST_SECONDS = 10.0
"""A call that is open for so long has been lost, or its processes have."""


class _Waiting(Generic[J, R]):
    __slots__ = ("alone", "future", "job", "size")

    def __init__(self, job: J, size: int) -> None:
        self.job = job
        self.size = size
        self.alone = False
        self.future: Future[R] = Future()

    def end(self, result: R | None = None, error: BaseException | None = None) -> None:
        with contextlib.suppress(InvalidStateError):
            if error is None:
                self.future.set_result(result)  # type: ignore[arg-type]
            else:
                self.future.set_exception(error)


class Batches(Generic[J, R]):
    """Jobs for `function`, which takes a list of them and returns the list of their results.

    At most `most_open` calls are open; what comes meanwhile waits, and goes together, as much as
    `batch_size` allows. A call that overran is made again for each of its jobs by itself: what one
    of them did is not the others' affair. Urgent jobs go first. Safe to use from any thread.
    """

    def __init__(
        self,
        pool: BoundedPool,
        function: Callable[[list[J]], list[R]],
        *,
        batch_size: int,
        most_open: int,
        most_waiting: int = 2000,
    ) -> None:
        self.pool = pool
        self._function = function
        self._batch_size = batch_size
        self._most_open = most_open
        self._most_waiting = most_waiting
        self._lock = threading.Lock()
        self._urgent: deque[_Waiting[J, R]] = deque()
        self._patient: deque[_Waiting[J, R]] = deque()
        self._open: dict[int, tuple[float, list[_Waiting[J, R]]]] = {}
        self._calls = 0

    def ask(self, job: J, size: int, *, urgent: bool) -> Future[R]:
        """The result of one job; the future raises Overrun, or what the function raised."""
        waiting: _Waiting[J, R] = _Waiting(job, size)
        with self._lock:
            full = len(self._urgent) + len(self._patient) >= self._most_waiting
            if not full:
                (self._urgent if urgent else self._patient).append(waiting)
        if full:
            waiting.end(error=Unserved("Too many wait."))
        self._submit_due()
        return waiting.future

    def _submit_due(self) -> None:
        self._forget_lost()
        while batch := self._next():
            number, jobs = batch
            call = self.pool.submit(self._function, [waiting.job for waiting in jobs])
            if call.done():
                self._take(number, call)
            else:
                call.add_done_callback(functools.partial(self._take_and_submit, number))

    def _next(self) -> tuple[int, list[_Waiting[J, R]]] | None:
        """The jobs of the next call, if one may be made."""
        with self._lock:
            if len(self._open) >= self._most_open:
                return None
            jobs: list[_Waiting[J, R]] = []
            room = self._batch_size
            for queue in (self._urgent, self._patient):
                while queue and (not jobs or (queue[0].size <= room and not queue[0].alone)):
                    jobs.append(queue.popleft())
                    room -= jobs[-1].size
                    if jobs[-1].alone:
                        room = -1
            if not jobs:
                return None
            self._calls += 1
            self._open[self._calls] = time.monotonic(), jobs
            return self._calls, jobs

    def _take_and_submit(self, number: int, call: Future[list[R]]) -> None:
        self._take(number, call)
        self._submit_due()

    def _take(self, number: int, call: Future[list[R]]) -> None:
        with self._lock:
            _, jobs = self._open.pop(number, (0.0, None))
        if jobs is None:
            return  # it was given up
        error = call.exception()
        if error is None:
            for waiting, result in zip(jobs, call.result(), strict=True):
                waiting.end(result)
        elif isinstance(error, Overrun) and not isinstance(error, Unserved) and len(jobs) > 1:
            for waiting in jobs:
                waiting.alone = True
            with self._lock:
                self._patient.extend(jobs)
        else:
            for waiting in jobs:
                waiting.end(error=error)

    def _forget_lost(self) -> None:
        before = time.monotonic() - _LOST_SECONDS
        with self._lock:
            lost = [number for number, (since, _) in self._open.items() if since < before]
            jobs = [waiting for number in lost for waiting in self._open.pop(number)[1]]
            full = len(self._open) >= self._most_open
        for waiting in jobs:
            waiting.end(error=Unserved("It was lost."))
        if full:
            self.pool.warm()  # where it has broken, nothing else would say so
