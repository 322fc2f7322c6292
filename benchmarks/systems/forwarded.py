"""ChatStream before another server: a web process, a worker of its own, and Valkey between them."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx

from benchmarks.options import FOLDER, Options
from benchmarks.systems.served import Served
from streaming.engine.upstream import UpstreamEngine
from tests.support.processes import ManagedProcess, ServeProcess
from tests.support.valkey import Valkey, free_port

_URL = "BENCHMARK_UPSTREAM_URL"
_PATIENCE_SECONDS = 60.0


class SharingEngine(UpstreamEngine):
    """The upstream engine, treated as one that computes on the same cores: fewer, larger
    updates."""

    def __init__(self, model: str | None, *, max_running: int, **others: Any) -> None:
        super().__init__(os.environ[_URL], max_running=max_running)

    @property
    def shares_cores(self) -> bool:
        """Return True, so that the worker bundles updates."""
        return True

    def _rhythm(self) -> float:
        return 0.0


class PacedServer:
    """A paced server at `url`, in a process of its own."""

    def __init__(self, tokens_a_second: float) -> None:
        self._port = free_port()
        self._rate = tokens_a_second

    @property
    def url(self) -> str:
        """Return the base URL of its API."""
        return f"http://127.0.0.1:{self._port}/v1"

    def __enter__(self) -> PacedServer:
        command = ["-m", "benchmarks.paced_server", str(self._port), str(self._rate)]
        self._process = subprocess.Popen([sys.executable, *command], cwd=FOLDER.parent)
        latest = time.monotonic() + _PATIENCE_SECONDS
        while True:
            try:
                httpx.get(f"{self.url}/models").raise_for_status()
                return self
            except httpx.HTTPError:
                if time.monotonic() > latest:
                    raise
                time.sleep(0.1)

    def __exit__(self, *exc: object) -> None:
        self._process.kill()
        self._process.wait()


class Forwarded(Served):
    """A web process and a worker before the server at `url`. `bundled`: with the fewer, larger
    updates of an engine on the same cores."""

    def __init__(self, options: Options, running: int, url: str, *, bundled: bool) -> None:
        engine = {"CHATSTREAM_UPSTREAM_URL": url}
        if bundled:
            engine = {
                "CHATSTREAM_ENGINE": f"{SharingEngine.__module__}.{SharingEngine.__name__}",
                _URL: url,
            }
        super().__init__(options, running, CHATSTREAM_MAX_ROWS=str(running), **engine)
        self._worker: ManagedProcess | None = None
        self._stack = ExitStack()

    @property
    def worker_pid(self) -> int:
        """Return the process id of the worker."""
        assert self._worker is not None
        return self._worker.process.pid

    def start(self) -> None:
        """Start Valkey, the web process and the worker."""
        with ExitStack() as stack:
            valkey = Valkey().start()
            stack.callback(valkey.stop)
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="chatstream-")))
            database = f"sqlite:///{folder}/db.sqlite3"
            env = {**self._settings, "REDIS_URL": valkey.url, "DATABASE_URL": database}
            env["LOG_LEVEL"] = "INFO"
            self._server = ServeProcess(folder, env=env)
            stack.callback(self._server.stop)
            self._worker = ManagedProcess("runworker", "generation", env=env)
            stack.callback(self._worker.stop)
            self._worker.wait_for(r"serves ")
            self._stack = stack.pop_all()

    def close(self) -> None:
        """Stop them."""
        self._server = self._worker = None
        self._stack.close()
