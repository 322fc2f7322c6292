"""Calls in processes that are killed."""

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest

from streaming.system import bounded
from streaming.system.bounded import BoundedPool, Overrun, Unserved
from tests.support import bounded_calls
from tests.support.passing_time import outlast


@pytest.fixture(scope="module")
def pool() -> Iterator[BoundedPool]:
    pool = BoundedPool(2, seconds=1)
    yield pool
    pool.close()


def test_a_call_returns_what_its_function_returns(pool: BoundedPool) -> None:
    assert pool.run(bounded_calls.echo, "é" * 100_000) == "é" * 100_000


def test_it_runs_in_another_process(pool: BoundedPool) -> None:
    assert pool.run(bounded_calls.pid) != os.getpid()


def test_what_the_function_raises_is_raised(pool: BoundedPool) -> None:
    with pytest.raises(ValueError, match="of its own"):
        pool.run(bounded_calls.fail)


def test_a_call_that_takes_too_long_is_killed(pool: BoundedPool) -> None:
    busy = pool.run(bounded_calls.pid)
    with pytest.raises(Overrun):
        pool.run(bounded_calls.hold_the_lock)
    with pytest.raises(Overrun):
        pool.run(bounded_calls.hold_the_lock)
    assert pool.run(bounded_calls.echo, 1) == 1
    assert not psutil.pid_exists(busy) or psutil.Process(busy).cpu_percent(0.1) < 50


@pytest.mark.parametrize("call", [bounded_calls.fill_memory, bounded_calls.die])
def test_a_call_that_takes_too_much_or_dies_is_told(pool: BoundedPool, call: object) -> None:
    with pytest.raises(Overrun):
        pool.run(call)  # type: ignore[arg-type]
    assert pool.run(bounded_calls.echo, 2) == 2


def test_processes_that_are_killed_from_outside_are_replaced(pool: BoundedPool) -> None:
    for number in range(3):
        psutil.Process(pool.run(bounded_calls.pid)).kill()
        assert pool.run(bounded_calls.echo, number) == number


def test_more_open_calls_than_allowed_are_refused() -> None:
    pool = BoundedPool(1, seconds=2, most_open=3)
    try:
        pool.run(bounded_calls.echo, 0)
        with ThreadPoolExecutor(3) as threads:
            open_ones = [threads.submit(pool.run, bounded_calls.sleep, 0.5) for _ in range(3)]
            while pool._room._value:  # until all three are in
                time.sleep(0.01)
            with pytest.raises(Overrun, match="wait"):
                pool.run(bounded_calls.echo, 1)
            for call in open_ones:
                call.result()
        assert pool.run(bounded_calls.echo, 1) == 1
    finally:
        pool.close()


async def test_an_event_loop_goes_on_meanwhile(pool: BoundedPool) -> None:
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(0.01)
            ticks += 1

    ticking = asyncio.create_task(tick())
    with pytest.raises(Overrun):
        await pool.arun(bounded_calls.hold_the_lock)
    assert ticks > 20
    ticking.cancel()
    assert await pool.arun(bounded_calls.echo, "x") == "x"


async def test_a_caller_that_leaves_kills_no_process() -> None:
    pool = BoundedPool(1, seconds=10)
    try:
        before = await pool.arun(bounded_calls.pid)
        leaving = asyncio.create_task(pool.arun(bounded_calls.sleep, 0.3))
        await outlast(0.1, "the beginning of the call")
        leaving.cancel()
        await asyncio.wait([leaving])
        assert await pool.arun(bounded_calls.pid) == before
    finally:
        pool.close()


def test_submitting_returns_at_once_and_brings_the_result() -> None:
    pool = BoundedPool(1, seconds=5)
    try:
        began = time.monotonic()
        futures = [pool.submit(bounded_calls.echo, number) for number in range(10)]
        assert time.monotonic() - began < 0.2  # the processes start meanwhile
        assert [future.result(60) for future in futures] == list(range(10))
        with pytest.raises(ValueError, match="of its own"):
            pool.submit(bounded_calls.fail).result(60)
    finally:
        pool.close()


def test_calls_that_are_open_end_with_the_pool() -> None:
    pool = BoundedPool(1, seconds=30)
    pool.run(bounded_calls.echo, 0)
    futures = [pool.submit(bounded_calls.sleep, 20) for _ in range(3)]
    pool.close()
    for future in futures:
        with pytest.raises(Unserved):
            future.result(10)
    try:
        assert pool.run(bounded_calls.echo, 1) == 1
    finally:
        pool.close()


def test_a_broken_pool_leaves_no_process_behind() -> None:
    pool = BoundedPool(3, seconds=2)
    try:
        pool.run(bounded_calls.echo, 0)
        assert pool._pool is not None
        pids = pool._pool._pool_manager.worker_manager.workers
        siblings = [psutil.Process(pid) for pid in pids]
        assert len(siblings) == 3
        siblings[0].kill()
        assert pool.run(bounded_calls.echo, 1) == 1
    finally:
        pool.close()
    assert psutil.wait_procs(siblings, timeout=10)[1] == []


@pytest.mark.parametrize("when", ["start", "life"])
def test_without_processes_a_call_is_refused_at_once_and_tried_again_later(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, when: str
) -> None:
    """No room for a process, or none that lives."""

    def fail(*_: object, **__: object) -> None:
        raise BlockingIOError("Resource temporarily unavailable")

    pool = BoundedPool(1, seconds=2)
    try:
        with monkeypatch.context() as patch:
            if when == "start":
                patch.setattr(bounded.ProcessPool, "_start_pool", fail)
            else:
                patch.setattr(bounded, "confine", bounded_calls.die_at_once)
            while "No processes could be started" not in caplog.text:
                with pytest.raises(Unserved):
                    pool.run(bounded_calls.echo, 1)
            for _ in range(50):
                with pytest.raises(Unserved, match="no processes"):
                    pool.run(bounded_calls.echo, 1)
        assert caplog.text.count("No processes could be started") == 1
        pool._away_until = 0.0
        assert pool.run(bounded_calls.echo, 1) == 1
    finally:
        pool.close()


async def test_an_event_loop_goes_on_while_the_processes_start() -> None:
    pool = BoundedPool(1, seconds=5)
    try:
        longest, before = 0.0, time.monotonic()
        calling = asyncio.create_task(pool.arun(bounded_calls.echo, 1))
        while not calling.done():
            await asyncio.sleep(0.005)
            longest, before = max(longest, time.monotonic() - before), time.monotonic()
        assert calling.result() == 1
        print(f"the loop stood still for {1000 * longest:.0f} ms at most")
    finally:
        pool.close()


@pytest.mark.parametrize("how", ["end", "kill", "interrupt"])
def test_the_processes_end_with_their_parent(how: str) -> None:
    program = textwrap.dedent("""
        import sys, time
        from streaming.system.bounded import BoundedPool
        from tests.support import bounded_calls

        if __name__ == "__main__":
            pool = BoundedPool(2, seconds=3)
            print(pool.run(bounded_calls.pid), flush=True)
            if sys.argv[1] != "end":
                pool.run(bounded_calls.hold_the_lock)
    """)
    parent = subprocess.Popen(
        [sys.executable, "-c", program, how], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert parent.stdout is not None
    child = psutil.Process(int(parent.stdout.readline()))
    if how != "end":
        parent.send_signal(signal.SIGKILL if how == "kill" else signal.SIGINT)
    parent.communicate(timeout=60)
    psutil.wait_procs([child], timeout=30)
    assert not child.is_running()


def test_nothing_is_started_by_an_import() -> None:
    """Nor by Django's setup, which runs in `migrate`, too, and before a server forks."""
    program = textwrap.dedent("""
        import os
        os.environ["DJANGO_SETTINGS_MODULE"] = "chatsite.settings"
        import django
        django.setup()
        import threading
        import psutil
        import chatsite.asgi, chatsite.urls, streaming.sockets.chat_consumer, streaming.pages.turns
        print(len(psutil.Process().children()), threading.active_count())
    """)
    environ = {**os.environ, "SECRET_KEY": "only-for-tests"}
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, env=environ, check=True)
    assert done.stdout.split() == ["0", "1"]
