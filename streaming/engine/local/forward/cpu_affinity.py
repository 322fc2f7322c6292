"""The threads that compute a step together, and the cores they run on.

Left to itself, Linux answers a short interruption of one of them (the event loop publishes for a
millisecond) by moving it to the core where another one waits for it, and leaves both there for
some milliseconds more. 1.4 ms of interruption were measured to cost a step 4.5 ms, and 2.3 with
each thread on a core of its own.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import threading

import torch


class CpuAffinity:
    """Places the threads that compute with the calling thread: OpenMP gives each thread that
    computes its own."""

    def __init__(self) -> None:
        self._size = 0
        self._placed: list[int] = []
        choosable = hasattr(os, "sched_getaffinity")
        self._cores = sorted(os.sched_getaffinity(0)) if choosable else []

    def resize(self, size: int) -> None:
        """Compute with `size` threads from now on. As many as there are cores get one each; fewer
        go where there is room: something else that runs would hold up the thread that has its
        core. The main thread and its helpers are never placed: what it starts would inherit its
        core."""
        if size == self._size:
            return
        for thread in self._placed:
            _allow(thread, self._cores)
        self._placed = []
        torch.set_num_threads(size)
        self._size = size
        apart = threading.current_thread() is not threading.main_thread()
        if apart and size == len(self._cores) > 1:
            self._placed = _members(size)
            for thread, core in zip(self._placed, self._cores, strict=False):
                _allow(thread, [core])


def _members(size: int) -> list[int]:
    """The kernel's ids of the threads, the calling one first; none where torch computes with
    another OpenMP than GNU's."""
    found: list[int] = []
    note = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(
        lambda _: found.append(threading.get_native_id())
    )
    try:
        run_on_all = ctypes.CDLL(torch._C.__file__).GOMP_parallel  # in what torch is linked to
    except (AttributeError, OSError):
        return []
    run_on_all(note, None, size, 0)
    return sorted(found, key=threading.get_native_id().__ne__)


def _allow(thread: int, cores: list[int]) -> None:
    with contextlib.suppress(OSError):  # it has ended, or a sandbox forbids it
        os.sched_setaffinity(thread, cores)
