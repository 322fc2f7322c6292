"""Processes on a Redis that they cannot use, or that is another site's: they say so and end."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis

from tests.e2e.chat import ask
from tests.support.passing_time import stays
from tests.support.processes import ROOT, ManagedProcess, ServeProcess, clean_environ
from tests.support.sentinels import start_or_skip as start_sentinels_or_skip
from tests.support.valkey import Valkey, free_port, start_or_skip

ENGINE = {"CHATSTREAM_ENGINE": "tests.support.fake_engine.ProcessEngine"}
LACKING = "the-password"


@pytest.fixture(scope="module")
def locked() -> Iterator[Valkey]:
    """A server with a password."""
    server = start_or_skip(requirepass="right")
    yield server
    server.stop()


@pytest.fixture
def valkey() -> Iterator[Valkey]:
    server = start_or_skip()
    yield server
    server.stop()


def environment(folder: Path, url: str, **more: str) -> dict[str, str]:
    database = f"sqlite:///{folder}/db.sqlite3"
    return {"REDIS_URL": url, "DATABASE_URL": database, **ENGINE, **more}


def refusal(*args: str, env: dict[str, str]) -> str:
    """What a command says that does not start; it must not be a traceback."""
    process = ManagedProcess(*args, env=env)
    try:
        process.process.wait(60)
    except subprocess.TimeoutExpired:
        process.stop(signal.SIGKILL)
        raise AssertionError(f"it goes on:\n{process.output}") from None
    assert process.stop() == 1
    assert "Traceback" not in process.output
    assert LACKING not in process.output
    return process.output


def migrated(folder: Path) -> None:
    process = ManagedProcess("migrate", "--verbosity=0", env=environment(folder, ""))
    process.process.wait(60)
    assert process.stop() == 0


COMMANDS = (["serve", "--port", "0"], ["runworker", "generation"], ["checkworker"])


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_a_wrong_password_is_told_at_the_start(
    locked: Valkey, tmp_path: Path, command: list[str]
) -> None:
    migrated(tmp_path)
    url = f"redis://:{LACKING}@127.0.0.1:{locked.port}/0"
    output = refusal(*command, env=environment(tmp_path, url))
    assert "does not accept the user and password of the address" in output


def test_another_server_of_the_application_tells_it(locked: Valkey, tmp_path: Path) -> None:
    migrated(tmp_path)
    url = f"redis://:{LACKING}@127.0.0.1:{locked.port}/0"
    done = subprocess.run(
        [sys.executable, "-m", "uvicorn", "chatsite.asgi:application", "--port", str(free_port())],
        cwd=ROOT,
        env=clean_environ(**environment(tmp_path, url)),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode != 0
    last = done.stderr.strip().splitlines()[-1]
    assert "ImproperlyConfigured: The Redis of REDIS_URL" in last
    assert "does not accept the user and password of the address" in last
    assert LACKING not in done.stdout + done.stderr


def test_a_server_with_another_password_that_comes_later(tmp_path: Path) -> None:
    """The web process has begun to serve; the worker has waited."""
    server = Valkey(requirepass="right")
    env = environment(tmp_path, f"redis://:{LACKING}@127.0.0.1:{server.port}/0")
    web = ServeProcess(tmp_path, env=env)
    worker = ManagedProcess("runworker", "generation", env=env)
    try:
        web.wait_for("Not everything is there yet")
        worker.wait_for("Not everything is there yet")
        server.start()
        for process in (web, worker):
            process.wait_for("does not accept the user and password of the address")
            process.process.wait(60)
            assert process.stop() == 1
            assert "Traceback" not in process.output
            assert LACKING not in process.output
    finally:
        for process in (web, worker):
            process.stop(signal.SIGKILL)  # waited for: a later test would be blamed for it
        server.stop()


def test_a_sentinels_port_is_told(tmp_path: Path) -> None:
    sentinels = start_sentinels_or_skip()
    try:
        place = f"127.0.0.1:{sentinels.ports[0]}"
        url = f"redis://:{sentinels.SENTINEL_PASSWORD}@{place}"
        output = refusal("serve", "--port", "0", env=environment(tmp_path, url))
        assert "it is a Sentinel, which keeps no data" in output
    finally:
        sentinels.stop()


def test_two_hosts_are_told(tmp_path: Path) -> None:
    env = environment(tmp_path, f"redis://:{LACKING}@a,b:6379/0")
    assert "it names 2 hosts" in refusal("serve", "--port", "0", env=env)


@contextlib.contextmanager
def serving(folder: Path, **env: str) -> Iterator[ServeProcess]:
    folder.mkdir(exist_ok=True)
    with contextlib.ExitStack() as stack:
        web = ServeProcess(folder, env={**env, **ENGINE})
        stack.callback(web.stop, signal.SIGKILL)
        worker = ManagedProcess("runworker", "generation", env=web.env)
        stack.callback(worker.stop, signal.SIGKILL)
        worker.wait_for("serves ")
        yield web
        for process in (worker, web):
            process.stop(signal.SIGKILL)


async def answer(web: ServeProcess) -> str:
    events = await ask(web.ws_url, "stop 3")
    return str(events[-1]["status"])


async def test_a_second_site_is_refused_and_has_a_prefix_of_its_own(
    valkey: Valkey, tmp_path: Path
) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    two.mkdir()
    with serving(one, REDIS_URL=valkey.url) as first:
        assert await answer(first) == "completed"
        env = environment(two, valkey.url)
        for command in COMMANDS[:2]:
            output = refusal(*command, env=env)
            assert "belongs to another database" in output
            assert "CHATSTREAM_PREFIX" in output
        output = refusal("takeprefix", env=env)
        assert "Workers of the other database are alive" in output
        assert await answer(first) == "completed"
        with serving(two, REDIS_URL=valkey.url, CHATSTREAM_PREFIX="two") as second:
            statuses = await asyncio.gather(*(answer(web) for web in (first, second) * 3))
        assert statuses == ["completed"] * 6
    with Redis(port=valkey.port, decode_responses=True) as client:
        assert {key.partition(":")[0] for key in client.keys("*")} == {"chatstream", "two"}


async def test_a_new_database_takes_the_place_of_the_former_one(
    valkey: Valkey, tmp_path: Path
) -> None:
    env = {"REDIS_URL": valkey.url, "CHATSTREAM_LEASE_SECONDS": "1"}
    with serving(tmp_path / "old", **env) as old:
        assert await answer(old) == "completed"
    new = environment(tmp_path, url=valkey.url)
    migrated(tmp_path)
    assert "belongs to another database" in refusal("runworker", "generation", env=new)
    deadline = time.monotonic() + 60
    while True:  # until the former worker counts as dead
        taken = ManagedProcess("takeprefix", env=new)
        taken.process.wait(60)
        if taken.stop() == 0:
            break
        assert time.monotonic() < deadline, taken.output
    assert "is now this database's" in taken.output
    assert "is this database's" in taken.manage("takeprefix")
    with serving(tmp_path, **env) as site:
        assert await answer(site) == "completed"


async def test_a_site_that_runs_all_the_same_cancels_nobody(valkey: Valkey, tmp_path: Path) -> None:
    """Redis forgot whose the prefix is, and another site has taken it: it is told to nobody that
    their answer is cancelled, and the first one goes on when it has its prefix back."""
    gate = tmp_path / "gate"
    with serving(tmp_path / "one", REDIS_URL=valkey.url, FAKE_GATE=str(gate)) as first:
        with Redis(port=valkey.port) as client:
            reading = asyncio.create_task(ask(first.ws_url, "stop 60"))
            while not client.zcard("chatstream:waiting:running"):
                await asyncio.sleep(0.1)
            site = client.hget("chatstream:waiting:meta", "site")
            client.hdel("chatstream:waiting:meta", "site")
            client.hset("chatstream:waiting:meta", "site", "another")
            # For longer than a pass of the reconciler takes to come.
            await stays(lambda: client.zcard("chatstream:waiting:open") == 1, 13)
            client.hset("chatstream:waiting:meta", "site", site)
        gate.touch()
        events = await asyncio.wait_for(reading, 90)
        assert events[-1]["status"] == "completed"
