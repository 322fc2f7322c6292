"""The processes of a bounded pool: what they are forked from, and what holds each one in bounds."""

from __future__ import annotations

import contextlib
import functools
import importlib
import multiprocessing
import os
import resource
import signal
from collections.abc import Callable, Iterable
from typing import TypeVar

T = TypeVar("T")

_NICENESS = 5
"""Added to the processes' niceness: the engine and the event loop have readers that wait."""

_preloaded: set[str] = set()


def preload(*modules: str) -> None:
    """Have `modules` imported once, by the process that all others are forked from, so that one
    that replaces a killed one is there at once. Of use before the first call only."""
    _preloaded.update(modules)


def preloaded() -> list[str]:
    """Return the names of the modules to be imported once, sorted."""
    return sorted(_preloaded)


@functools.cache
def context() -> multiprocessing.context.ForkServerContext:
    """Return the start method of all pools: a server that has the modules, and is forked."""
    # A fork of this process would have the locks of threads that do not run in it.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(preloaded())
    return context


def timed(seconds: float, function: Callable[[], T]) -> T:
    """Call the function. This process dies after twice `seconds`, when nobody has killed it:
    whoever should have is dead."""
    signal.setitimer(signal.ITIMER_REAL, 2 * seconds)
    try:
        return function()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def confine(memory_bytes: int, modules: Iterable[str]) -> None:
    """Set the bounds of a new process. It imports the modules that it lacks: the one that it is
    forked from does not know every path that ours does."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # at once, not when the interpreter comes to it
    os.nice(_NICENESS)
    for module in modules:
        with contextlib.suppress(ImportError):
            importlib.import_module(module)
    _soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    bound = memory_bytes if hard == resource.RLIM_INFINITY else min(memory_bytes, hard)
    resource.setrlimit(resource.RLIMIT_AS, (bound, hard))
