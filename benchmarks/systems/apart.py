"""A system in a process of its own, as it would run alone.

Side by side in one process they would not be themselves: OpenMP gives each thread that computes a
team of its own, and once these have more threads than there are cores, none of them waits awake.
"""

from __future__ import annotations

import importlib
import multiprocessing
import os
import traceback
from collections.abc import Sequence
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

from benchmarks.systems.base import Stream, System

LOADING_SECONDS = 300.0
PATIENCE_SECONDS = 900.0
_ENDING_SECONDS = 30.0

_OPENMP = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")
"""What our engine sets before torch is imported."""


class Apart(System):
    """`kind(*args)` elsewhere. `as_torch_is`: with torch's own settings instead of our engine's."""

    def __init__(self, kind: type[System], *args: Any, as_torch_is: bool = False) -> None:
        self.name = kind.name
        # By name: loading the class there may import torch, which comes after its settings.
        self._made_by = (kind.__module__, kind.__qualname__), args, as_torch_is
        self._process: BaseProcess | None = None
        self._line: Connection | None = None

    def start(self) -> None:
        """Start the process, and the system in it."""
        context = multiprocessing.get_context("spawn")
        self._line, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, *self._made_by))
        self._process.start()
        theirs.close()
        self._hear(LOADING_SECONDS)

    def answer(self, prompts: Sequence[str], max_tokens: int) -> list[Stream]:
        """Answer all prompts at once, by greedy decoding."""
        assert self._line is not None
        self._line.send((list(prompts), max_tokens))
        streams: list[Stream] = self._hear(PATIENCE_SECONDS)
        return streams

    def close(self) -> None:
        """End the process."""
        line, self._line = self._line, None
        process, self._process = self._process, None
        if line:
            line.close()  # the other end takes it for the end
        if process:
            process.join(_ENDING_SECONDS)
            if process.is_alive():
                process.kill()
                process.join()

    def _hear(self, seconds: float) -> Any:
        assert self._line is not None
        try:
            if not self._line.poll(seconds):
                raise RuntimeError(f"{self.name} said nothing for {seconds:g} s.")
            fault, found = self._line.recv()
        except (EOFError, ConnectionError):
            raise RuntimeError(f"The process of {self.name} has ended.") from None
        if fault:
            raise RuntimeError(f"{self.name} failed:\n{fault}")
        return found


def _serve(
    line: Connection, kind: tuple[str, str], args: tuple[Any, ...], as_torch_is: bool
) -> None:
    if as_torch_is:
        for name in _OPENMP:
            os.environ.pop(name, None)
        import torch  # noqa: F401 - it reads them now, and not when our package has set them
    try:
        module, name = kind
        with getattr(importlib.import_module(module), name)(*args) as system:
            line.send(("", None))
            while True:
                try:
                    prompts, max_tokens = line.recv()
                except (EOFError, ConnectionError):
                    return
                line.send(("", system.answer(prompts, max_tokens)))
    except KeyboardInterrupt:
        return
    except BaseException:
        line.send((traceback.format_exc(), None))
