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
"""So long a part may take."""

PARTS_PACKAGE = "benchmarks.parts"

_ENDING_SECONDS = 40.0


def run_part(
    name: str, options: Options, patience: float = PATIENCE_SECONDS, package: str = PARTS_PACKAGE
) -> Section:
    """The part's section; if it fails, one that holds the error."""
    print(f"{name}:", file=sys.stderr, flush=True)
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_measure, args=(f"{package}.{name}", options, theirs))
    began = time.monotonic()
    process.start()
    assert process.pid is not None
    theirs.close()
    with contextlib.suppress(ValueError):  # not in a program's other threads
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # the same as Ctrl-C
    section = Section(name, name)
    try:
        if not ours.poll(patience):
            raise TimeoutError(f"it did not end within {patience / 60:g} minutes")
        section = ours.recv()
        process.join(30)
    except EOFError:
        process.join()
        section.error = f"its process ended with status {process.exitcode}"
    except TimeoutError as error:
        section.error = str(error)
    except KeyboardInterrupt:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGINT)
        process.join(_ENDING_SECONDS)  # it ends what it started
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


def _measure(module: str, options: Options, answer: Connection) -> None:
    """The part, in its own process, which leads a group: what it leaves can be found by that,
    even when it died. Ctrl-C in a terminal does not reach it; it is told when it is its turn."""
    if hasattr(os, "setsid"):
        os.setsid()
    try:
        found = importlib.import_module(module).measure(options)
    except KeyboardInterrupt:
        return
    except BaseException:
        name = module.rpartition(".")[2]
        found = Section(name, name, error=traceback.format_exc())
    answer.send(found)


def end_with_children(pid: int) -> None:
    """Kill a part's process if it is still there, and those it started and left."""
    with contextlib.suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        for each in [*process.children(recursive=True), process]:
            with contextlib.suppress(psutil.NoSuchProcess):
                each.kill()
    if hasattr(os, "killpg"):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)
