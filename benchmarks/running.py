"""A part in a process of its own: what it leaves in memory or loads into it meets no other part."""

from __future__ import annotations

import contextlib
import importlib
import multiprocessing
import os
import signal
import sys
import time
import traceback
from multiprocessing.connection import Connection

import psutil

from benchmarks.options import Options, say
from benchmarks.report import Section

PATIENCE_SECONDS = 1800.0
"""So long a part may take, beside the minutes that it is asked to run for."""

_ENDING_SECONDS = 40.0


def run_part(name: str, options: Options, patience: float = PATIENCE_SECONDS) -> Section:
    """The part's section; if it fails, one that holds the error."""
    print(f"{name}:", file=sys.stderr, flush=True)
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_measure, args=(name, options, theirs))
    began = time.monotonic()
    process.start()
    theirs.close()
    with contextlib.suppress(ValueError):  # not in a program's other threads
        signal.signal(signal.SIGTERM, lambda *_: _interrupt(process.pid))
    section = Section(name, name)
    try:
        if not ours.poll(patience + 60 * options.minutes):
            raise TimeoutError(f"it did not end within {patience / 60:g} minutes")
        section = ours.recv()
        process.join(30)
    except EOFError:
        process.join()
        section.error = f"its process ended with status {process.exitcode}"
    except TimeoutError as error:
        section.error = str(error)
    except KeyboardInterrupt:
        process.join(_ENDING_SECONDS)  # it was interrupted, too, and ends what it started
        raise
    finally:
        with contextlib.suppress(ValueError):
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
        end_with_children(process.pid)
        process.join()
    section.seconds = time.monotonic() - began
    if section.error:
        print(f"{name} failed: {section.error}", file=sys.stderr, flush=True)
    say(f"{name} took {section.seconds:.0f} s")
    return section


def _interrupt(pid: int | None) -> None:
    """SIGTERM is to the command what Ctrl-C in a terminal is to it and its part together."""
    if pid is not None:
        os.kill(pid, signal.SIGINT)
    raise KeyboardInterrupt


def _measure(name: str, options: Options, answer: Connection) -> None:
    """The part, in its own process."""
    try:
        found = importlib.import_module(f"benchmarks.parts.{name}").measure(options)
    except KeyboardInterrupt:
        return
    except BaseException:
        found = Section(name, name, error=traceback.format_exc())
    answer.send(found)


def end_with_children(pid: int | None) -> None:
    """Kill a process that is still there, and those it started and left."""
    try:
        process = psutil.Process(pid)
        left = [*process.children(recursive=True), process]
    except psutil.NoSuchProcess:
        return
    for each in left:
        try:
            each.kill()
        except psutil.NoSuchProcess:
            continue
