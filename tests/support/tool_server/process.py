"""The tool server as a process."""

from __future__ import annotations

import sys
from typing import Any

import httpx

from tests.support.processes import ManagedProcess
from tests.support.valkey import free_port


class ToolServer:
    """It keeps its port over `kill()` and `start()`. `options` are those of the command line:
    `ToolServer(apis="responses", owner="somebody")`."""

    model = "rules/model"

    def __init__(self, **options: Any) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}/v1"
        self._arguments = [f"--{name}={value}" for name, value in options.items()]
        self._process: ManagedProcess | None = None

    def start(self) -> ToolServer:
        """Return when it answers."""
        program = (sys.executable, "-m", "tests.support.tool_server")
        self._process = ManagedProcess(f"--port={self.port}", *self._arguments, program=program)
        self._process.wait_for("Serving on")
        return self

    def kill(self) -> None:
        """End it at once; connections break."""
        if self._process is not None:
            self._process.process.kill()
            self._process.process.wait()
            self._process = None

    @property
    def asked(self) -> list[dict[str, Any]]:
        """Return the bodies of the last requests for answers, each with its `path`."""
        bodies: list[dict[str, Any]] = httpx.get(self.url.replace("/v1", "/asked")).json()
        return bodies
