"""Several processes on one database without Redis: one has the list, nobody else answers."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import connect

from tests.e2e.chat import ask, open_chat, receive, send
from tests.faults.cluster import FAST
from tests.faults.reader import PATIENCE, Reader
from tests.support.endings import is_end
from tests.support.fake_engine import words
from tests.support.postgresql import PostgreSQL, start_or_skip
from tests.support.processes import ROOT, ManagedProcess, clean_environ
from tests.support.valkey import free_port


class Deployment:
    """Servers with embedded workers, all on one database."""

    def __init__(self, folder: Path, database_url: str) -> None:
        self.folder = folder
        self.steps = folder / "steps"
        self.steps.mkdir()
        self.gate = folder / "gate"
        self.gate.touch()
        self.env = {
            **FAST,
            "DATABASE_URL": database_url,
            "FAKE_STEPS": str(self.steps),
            "FAKE_GATE": str(self.gate),
        }
        self.processes: list[ManagedProcess] = []

    def serve(self, *args: str) -> ManagedProcess:
        process = ManagedProcess("serve", "--port", "0", *args, env=self.env)
        self.processes.append(process)
        return process

    def ready(self) -> ManagedProcess:
        process = self.serve()
        process.wait_for(r"^Ready:")
        return process

    def pause(self, process: ManagedProcess) -> None:
        """Stop it, but not in a transaction: nobody could write then, nor another one start."""
        process.pause()
        while self._is_locked():
            process.resume()
            time.sleep(0.02)
            process.pause()

    def _is_locked(self) -> bool:
        path = self.env["DATABASE_URL"].partition("sqlite:///")[2]
        if not path:
            return False
        with contextlib.closing(sqlite3.connect(path, timeout=0.5, isolation_level=None)) as file:
            try:
                file.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError:
                return True
            file.execute("ROLLBACK")
        return False

    def stop(self) -> None:
        for process in self.processes:
            process.process.kill()
            process.stop()
            name = f"{process.process.pid}.log"
            (self.folder / name).write_text(process.output)

    def generations(self) -> int:
        """How many responses each engine worked at, all engines together."""
        return sum(
            len({name for line in path.read_text().splitlines() for name in line.split()[1:]})
            for path in self.steps.iterdir()
        )


def url_of(process: ManagedProcess) -> str:
    return process.wait_for(r"Chat page +(http://\S+)/")[1].replace("http", "ws") + "/ws/chat/"


@pytest.fixture(scope="module")
def postgresql() -> Iterator[PostgreSQL]:
    server = start_or_skip()
    yield server
    server.stop()


@pytest.fixture(params=["sqlite", "postgresql"])
def deployment(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Deployment]:
    url = f"sqlite:///{tmp_path}/db.sqlite3"
    if request.param == "postgresql":
        url = request.getfixturevalue("postgresql").create_database(f"d{os.urandom(4).hex()}")
    deployment = Deployment(tmp_path, url)
    yield deployment
    deployment.stop()


@pytest.fixture
def deployment_on_sqlite(tmp_path: Path) -> Iterator[Deployment]:
    deployment = Deployment(tmp_path, f"sqlite:///{tmp_path}/db.sqlite3")
    yield deployment
    deployment.stop()


def test_a_second_server_is_refused_before_it_loads_a_model(deployment: Deployment) -> None:
    first = deployment.ready()
    second = deployment.serve()
    second.process.wait(PATIENCE)
    assert second.stop() != 0
    assert f"process {first.process.pid} on" in second.output
    assert "REDIS_URL" in second.output
    assert "Loading the model" not in second.output
    assert "Traceback" not in second.output
    # Other commands go on beside it, and take nothing from it.
    first.manage("prune", "--older-than", "90d")
    first.manage("check")
    first.manage("migrate", "--verbosity=0")
    done = asyncio.run(ask(url_of(first), "stop 5"))[-1]
    assert (done["status"], done["text"]) == ("completed", "".join(words(5)))
    assert first.stop() == 0
    deployment.ready()


@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGTERM])
def test_whoever_starts_again_need_not_wait(
    deployment_on_sqlite: Deployment, signum: signal.Signals
) -> None:
    first = deployment_on_sqlite.ready()
    first.stop(signum)
    second = deployment_on_sqlite.ready()
    assert "Is the process" not in second.output


async def test_a_paused_server_is_taken_over_and_answers_no_more(deployment: Deployment) -> None:
    first = await asyncio.to_thread(deployment.ready)
    urls = [url_of(first)]
    deployment.gate.unlink()
    readers = [Reader(urls, "stop 40", seed=number).start() for number in range(8)]
    patient = Reader([url_of(first)], "stop 40").start()  # stays with the first one
    for reader in (*readers[:3], patient):
        await reader.accepted.wait()
    await asyncio.to_thread(deployment.pause, first)
    second = await asyncio.to_thread(deployment.ready)
    assert "taken to be dead" in second.output
    urls[:] = [url_of(second)]
    first.resume()
    await asyncio.to_thread(first.process.wait, PATIENCE)
    assert first.stop() != 0
    assert "This process answers no more" in first.output
    assert "REDIS_URL" in first.output
    deployment.gate.touch()
    await patient.stop()
    for reader in readers:
        done = await reader.end()
        assert (done["status"], done["text"]) == ("completed", "".join(words(40)))
        assert reader.text == done["text"]
    resumed = await open_chat(urls[0])
    await send(resumed, "chatstream:session", session_token=patient.token)
    await receive(resumed)
    await send(resumed, "chatstream:resume", response_id=patient.id)
    while not is_end(event := await receive(resumed)):
        assert event["type"] != "error", event
    await resumed.close()
    assert (event["status"], event["text"]) == ("completed", "".join(words(40)))


# --- other servers than ours, where nobody reads an exit status ---


class Foreign:
    """uvicorn with an application that starts a worker by itself."""

    def __init__(self, deployment: Deployment) -> None:
        self.port = free_port()
        self._log = deployment.folder / f"uvicorn-{self.port}.log"
        command = [sys.executable, "-m", "uvicorn", "tests.support.embedded_app:application"]
        command += ["--port", str(self.port), "--ws", "websockets-sansio", "--lifespan", "on"]
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                command,
                cwd=ROOT,
                env=clean_environ(**deployment.env),
                stdout=log,
                stderr=log,
            )

    @property
    def ws_url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/ws/chat/"

    @property
    def log(self) -> str:
        return self._log.read_text()

    def readiness(self) -> dict[str, Any]:
        """What `/readyz` says."""
        try:
            answer = urllib.request.urlopen(f"http://127.0.0.1:{self.port}/readyz")
        except urllib.error.HTTPError as error:
            answer = error
        with answer:
            found: dict[str, Any] = json.load(answer)
            return found

    def is_ready(self) -> bool:
        with contextlib.suppress(OSError):
            return bool(self.readiness()["status"] == "ready")
        return False

    def stop(self, signum: int = signal.SIGTERM) -> None:
        self.process.send_signal(signum)
        self.process.wait(PATIENCE)


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_two_processes_of_another_server_answer_each_prompt_once(deployment: Deployment) -> None:
    ManagedProcess("migrate", "--verbosity=0", env=deployment.env).process.wait(PATIENCE)
    servers = [Foreign(deployment) for _ in range(2)]
    try:
        until(lambda: any(server.is_ready() for server in servers))
        [owner] = [server for server in servers if server.is_ready()]
        [other] = [server for server in servers if server is not owner]
        until(lambda: "does not start yet" in other.log)
        assert "REDIS_URL" in other.log
        assert other.readiness()["checks"]["worker"] == (
            "another process has the waiting list of this database"
        )
        ends: Counter[str] = Counter()
        for number in range(6):
            event = asyncio.run(ask(servers[number % 2].ws_url, "stop 20"))[-1]
            ends[event.get("status") or event["code"]] += 1
        assert ends == {"completed": 3, "unavailable": 3}
        assert deployment.generations() == 3
        # What the owner answers is not taken up by the one that is asked to show it.
        asyncio.run(check_resuming_elsewhere(deployment, owner, other))
        owner.stop(signal.SIGKILL)
        until(other.is_ready)
        event = asyncio.run(ask(other.ws_url, "stop 5"))[-1]
        assert event["status"] == "completed"
    finally:
        for server in servers:
            server.process.kill()
            server.process.wait()


async def check_resuming_elsewhere(deployment: Deployment, owner: Foreign, other: Foreign) -> None:
    deployment.gate.unlink()
    async with connect(owner.ws_url) as socket, connect(other.ws_url) as elsewhere:
        token = (await receive(socket))["session_token"]
        await send(socket, "response.create", input="stop 20")
        queued = await receive(socket)
        while (await receive(socket))["type"] != "response.output_text.delta":
            pass
        await receive(elsewhere)
        await send(elsewhere, "chatstream:session", session_token=token)
        await receive(elsewhere)
        await send(elsewhere, "chatstream:resume", response_id=queued["response_id"])
        refused = await receive(elsewhere)
        assert (refused["type"], refused["code"]) == ("error", "unavailable")
        deployment.gate.touch()
        while not is_end(event := await receive(socket)):
            pass
    assert (event["status"], event["text"]) == ("completed", "".join(words(20)))
