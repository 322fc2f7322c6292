"""What the documentation tells operators to type, typed."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from websockets.exceptions import ConnectionClosed

from tests.e2e.chat import ask, open_chat, receive
from tests.support.documented import documented
from tests.support.fake_engine import words
from tests.support.postgresql import PostgreSQL, start_or_skip
from tests.support.processes import ROOT, ManagedProcess, clean_environ
from tests.support.valkey import Valkey, free_port
from tests.support.valkey import start_or_skip as start_valkey_or_skip

SECONDS = 120


def shell(command: str, folder: Path = ROOT, **env: str) -> str:
    """Run commands as printed, with this Python on the path; what they print."""
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", command],
        cwd=folder,
        env=clean_environ(PATH=_path(), **env),
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def _path() -> str:
    return f"{Path(sys.executable).parent}:{os.environ['PATH']}"


@pytest.fixture
def valkey() -> Iterator[Valkey]:
    server = start_valkey_or_skip()
    yield server
    server.stop()


@pytest.fixture
def postgresql() -> Iterator[PostgreSQL]:
    server = start_or_skip()
    yield server
    server.stop()


def test_the_environment_file(tmp_path: Path) -> None:
    shell(documented("deployment.md", "environment"), tmp_path)
    assert (tmp_path / ".env").stat().st_mode & 0o777 == 0o600
    lines = (tmp_path / ".env").read_text().splitlines()
    settings = dict(line.split("=", 1) for line in lines)
    assert len(settings["SECRET_KEY"]) >= 50
    assert settings["REDIS_URL"].startswith("redis://")


def test_the_procfile_command_names_the_procfile() -> None:
    """It is run, on other ports, by tests/e2e/test_deployment.py."""
    command = documented("deployment.md", "procfile").split()
    assert command == ["honcho", "-f", "deploy/Procfile", "start"]
    assert (ROOT / command[2]).is_file()


def test_prune(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/db.sqlite3"
    shell("python manage.py migrate --verbosity=0", DATABASE_URL=url)
    output = shell(documented("deployment.md", "prune"), DATABASE_URL=url)
    assert "Would delete 0 of streaming_conversation." in output
    assert "Deleted 0 of streaming_conversation." in output


def test_uvicorn(valkey: Valkey, tmp_path: Path) -> None:
    env = {
        "REDIS_URL": valkey.url,
        "DATABASE_URL": f"sqlite:///{tmp_path}/db.sqlite3",
        "CHATSTREAM_ENGINE": "tests.support.fake_engine.ProcessEngine",
    }
    port = free_port()
    command = documented("deployment.md", "uvicorn").replace("8001", str(port))
    prepare, _, serve = command.partition("\n")
    shell(prepare, **env)
    server = subprocess.Popen(
        ["bash", "-c", f"exec {serve}"],
        cwd=ROOT,
        env=clean_environ(PATH=_path(), **env),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    worker = ManagedProcess("runworker", "generation", env=env)
    try:
        worker.wait_for("serves ")
        wait_until_ready(f"http://127.0.0.1:{port}/readyz")
        asyncio.run(check_chat(f"ws://127.0.0.1:{port}/ws/chat/"))
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/") as page:
            assert b"/static/streaming/chat/chat." in page.read()
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(SECONDS)
        worker.stop()


async def check_chat(url: str) -> None:
    done = (await ask(url, "stop 5"))[-1]
    assert (done["status"], done["text"]) == ("completed", "".join(words(5)))
    socket = await open_chat(url)
    await socket.send("x" * 2_000_000)
    with pytest.raises(ConnectionClosed) as closed:
        await receive(socket)
    assert closed.value.rcvd
    assert closed.value.rcvd.code == 1009


def wait_until_ready(url: str) -> None:
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), urllib.request.urlopen(url):
            return
        time.sleep(0.1)
    raise AssertionError(f"{url} does not say that it is ready")


def test_backup_of_sqlite(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    database = tmp_path / "data" / "db.sqlite3"
    shell("python manage.py migrate --verbosity=0", DATABASE_URL=f"sqlite:///{database}")
    with contextlib.closing(sqlite3.connect(database)) as busy:
        busy.execute("INSERT INTO django_session VALUES ('a', 'b', '2026-01-01')")
        busy.commit()  # it is in the write-ahead log, where a copy of the file would miss it
        shell(documented("upgrading.md", "backup-sqlite"), tmp_path)
    assert (tmp_path / "backup.sqlite3").stat().st_mode & 0o777 == 0o600
    with contextlib.closing(sqlite3.connect(tmp_path / "backup.sqlite3")) as backup:
        assert backup.execute("SELECT count(*) FROM django_session").fetchone() == (1,)
        assert backup.execute("SELECT count(*) FROM streaming_response").fetchone() == (0,)


def test_backup_and_restore_of_postgresql(postgresql: PostgreSQL, tmp_path: Path) -> None:
    url = postgresql.create_database("chatstream")
    env = {"DATABASE_URL": url}
    tools = f"PATH={postgresql.program('pg_dump').parent}:$PATH\n"
    shell("python manage.py migrate --verbosity=0", **env)
    with psycopg.connect(url) as connection:
        connection.execute("INSERT INTO django_session VALUES ('a', 'b', now())")
    shell(tools + documented("upgrading.md", "backup-postgresql"), tmp_path, **env)
    with psycopg.connect(url) as connection:
        connection.execute("DELETE FROM django_session")
    shell(tools + documented("upgrading.md", "restore-postgresql"), tmp_path, **env)
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT count(*) FROM django_session").fetchone() == (1,)
    assert "No migrations to apply" in shell("python manage.py migrate", **env)
