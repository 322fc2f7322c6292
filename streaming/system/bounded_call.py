"""A call of a bounded pool, and how it may fail."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from typing import Any

from pebble import ProcessPool


class Overrun(Exception):
    """A call did not end in its time or its memory, or its process died."""


class Unserved(Overrun):
    """A call was not made: too many wait, its turn did not come, or there are no processes.

    Another time it may do well.
    """


class BoundedCall:
    """A function to be called, its `future`, and what has become of it.

    `breaks`: how many pools broke under it. `pool` has it now, as `inner`.
    """

    def __init__(self, work: Callable[[], Any]) -> None:
        self.work = work
        self.future: Future[Any] = Future()
        self.breaks = 0
        self.pool: ProcessPool | None = None
        self.inner: Future[Any] | None = None

    @property
    def has_begun(self) -> bool:
        """Whether a process has begun it."""
        return self.inner is not None and (self.inner.running() or self.inner.done())

    def give_up(self) -> None:
        """Have it not begin any more: nobody waits for it."""
        if self.inner is not None and not self.inner.running():
            self.inner.cancel()

    def end(self, result: Any = None, error: BaseException | None = None) -> None:
        """Tell whoever waits for it what it returned or raised."""
        with contextlib.suppress(InvalidStateError):  # it was given up, or has ended otherwise
            if error is None:
                self.future.set_result(result)
            else:
                self.future.set_exception(error)
