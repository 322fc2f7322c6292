"""When something counts as hung, and what ends a process that nothing else ends."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Iterator

import pytest

from streaming.system.watchdog import Standstill, in_thread, where
from tests.support.passing_time import outlast_blocking
from tests.support.processes import ROOT

PATIENCE = 60.0


def test_only_looks_in_a_row_count() -> None:
    standstill = Standstill(60)
    assert (standstill.look_seconds, standstill.limit) == (1.0, 60)
    assert [standstill.look(7) for _ in range(5)] == [0, 1, 2, 3, 4]
    assert not standstill.is_suspicious
    assert standstill.look(7) == 5
    assert standstill.is_suspicious
    assert standstill.look(8) == 0  # it got on
    assert standstill.look(8) == 1
    assert standstill.look(None) == 0  # it had nothing to do
    assert standstill.look(8) == 0


@pytest.mark.parametrize("seconds", [0.1, 1, 2, 59.5, 86_400])
def test_never_does_one_look_decide(seconds: float) -> None:
    standstill = Standstill(seconds)
    assert standstill.limit >= 5
    assert standstill.limit * standstill.look_seconds == pytest.approx(seconds, abs=1)


def test_without_a_limit_nothing_hangs() -> None:
    standstill = Standstill(0)
    assert standstill.look_seconds == 1.0
    assert standstill.limit > 10**9


def test_it_tells_where_a_thread_stands() -> None:
    begun, go_on = threading.Event(), threading.Event()

    def stands_here() -> None:
        begun.set()
        go_on.wait()

    thread = threading.Thread(target=stands_here)
    thread.start()
    begun.wait()
    assert ", in stands_here" in "".join(traceback.format_exception(*where(thread.ident or 0)))
    go_on.set()
    thread.join()
    assert "no such thread" in "".join(traceback.format_exception(*where(0)))


async def test_a_call_in_a_thread_of_its_own() -> None:
    assert await in_thread(max, 3, 5) == 5
    with pytest.raises(ZeroDivisionError):
        await in_thread(lambda: 1 / 0)
    go_on = threading.Event()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(in_thread(go_on.wait), 0.05)
    go_on.set()  # it returns to nobody, and says nothing


PROGRAM = """
import asyncio, logging, sys, threading, time
from streaming.system import watchdog
logging.basicConfig(level="INFO", format="%(message)s")

async def main():
    watchdog.LoopWatch(asyncio.get_running_loop(), 1.0).start()
    print("begun", flush=True)
    {what}

asyncio.run(main())
"""


@contextlib.contextmanager
def run(what: str) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM.format(what=what)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "begun\n"
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize(
    "what",
    [
        "time.sleep(600)",
        "while True: pass",
        "threading.Lock().acquire() and threading.Event().wait()",
        "threading.Thread(target=time.sleep, args=(600,)).start()",  # is joined at the end
    ],
)
def test_a_loop_that_hangs_ends_its_process(what: str) -> None:
    with run(what) as process:
        _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1
    assert errors.count("The event loop has stood still for 1 s") == 1
    assert "The event loop stands still; the process ends." in errors
    assert 'File "' in errors


def test_a_log_that_takes_nothing_does_not_keep_it() -> None:
    """Nobody reads its standard error, and the pipe is full."""
    with run("sys.stderr.write('x' * 200_000)") as process:
        assert process.wait(PATIENCE) == 1


def test_a_loop_that_works_or_was_paused_does_not_hang() -> None:
    with run("[await asyncio.sleep(0.3) or time.sleep(0.3) for _ in range(8)]") as process:
        for _ in range(3):
            os.kill(process.pid, signal.SIGSTOP)
            outlast_blocking(1.5, "what calls a loop hung")
            os.kill(process.pid, signal.SIGCONT)
            outlast_blocking(0.1, "a look of the watch")
        _, errors = process.communicate(timeout=PATIENCE)
    assert (process.returncode, errors) == (0, "")
