"""The database is gone, locked, full, read-only or damaged under a running server: `/readyz` says
so, prompts are refused, nothing that was accepted is lost, and all goes on when it is back."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import os
import resource
import shutil
import sqlite3
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest

from tests.e2e.chat import ask, open_chat, receive, send
from tests.faults.cluster import FAST, PATIENCE
from tests.faults.reader import Reader
from tests.support.endings import is_end
from tests.support.fake_engine import words
from tests.support.passing_time import stays
from tests.support.postgresql import PostgreSQL, start_or_skip
from tests.support.processes import ServeProcess

LONG = 150
FILES = ("db.sqlite3", "db.sqlite3-wal", "db.sqlite3-shm")


class Site:
    """A server with its database in a folder, and answers whose last word can be held back."""

    def __init__(self, folder: Path, **env: str) -> None:
        self.folder = folder
        self.database = folder / "db.sqlite3"
        self.gate = folder / "gate"
        self.gate.touch()
        self.server = ServeProcess(folder, env={**FAST, "FAKE_GATE": str(self.gate), **env})
        self.server.wait_until_ready()

    @property
    def pid(self) -> int:
        return self.server.process.pid

    def get(self, path: str) -> tuple[int, bytes]:
        """Status and body, whatever they are."""
        connection = http.client.HTTPConnection(urlsplit(self.server.url).netloc, timeout=PATIENCE)
        with contextlib.closing(connection):
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read()

    def says(self, word: str) -> bool:
        """Whether `/readyz` says this of the database, with the status that fits."""
        status, body = self.get("/readyz")
        assert self.get("/healthz")[0] == 200
        found = json.loads(body)["checks"]["database"]
        assert (status == 200) == (found == "ok"), (status, body)
        return bool(found == word)

    async def until_it_says(self, word: str) -> None:
        deadline = time.monotonic() + PATIENCE
        while not await asyncio.to_thread(self.says, word):
            assert time.monotonic() < deadline, await asyncio.to_thread(self.get, "/readyz")
            await asyncio.sleep(0.1)

    def execute(self, statement: str) -> Any:
        with contextlib.closing(sqlite3.connect(self.database, timeout=30)) as connection:
            return connection.execute(statement).fetchall()

    async def refuses_a_prompt(self) -> None:
        event = (await ask(self.server.ws_url, "stop 5"))[-1]
        assert (event["type"], event["code"]) == ("error", "internal_error")
        assert event["message"] == (
            "The service cannot be reached right now. Try again in a moment."
        )

    async def answers_a_prompt(self) -> None:
        event = (await ask(self.server.ws_url, "stop 5"))[-1]
        assert (event["type"], event.get("text")) == ("response.completed", "".join(words(5)))

    @contextlib.asynccontextmanager
    async def readers(self) -> AsyncIterator[None]:
        """People who run and who wait meanwhile, and miss nothing afterwards."""
        self.gate.unlink()
        urls = [self.server.ws_url]
        running = [Reader(urls, f"stop {LONG}", seed=number).start() for number in range(4)]
        for reader in running:
            await reader.words(3)
        waiting = [Reader(urls, "stop 10", seed=number).start() for number in range(4, 8)]
        try:
            for reader in waiting:
                await reader.accepted.wait()
            yield
            for reader in (*running, *waiting):
                assert not reader.done
            self.gate.touch()
            for reader, count in ((r, LONG if r in running else 10) for r in (*running, *waiting)):
                done = await reader.end()
                assert done["status"] == "completed"
                assert reader.text == done["text"] == "".join(words(count))
                assert reader.begun == 1
                key = reader.id.replace("-", "")
                assert self.execute(
                    f"SELECT status, text FROM streaming_response WHERE id = '{key}'"
                ) == [("completed", done["text"])]
        finally:
            for reader in (*running, *waiting):
                await reader.stop()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    site = Site(tmp_path)
    yield site
    site.server.process.kill()
    site.server.stop()
    (tmp_path / "server.log").write_text(site.server.output)


async def test_a_file_that_was_moved_away_and_back(site: Site) -> None:
    away = site.folder / "away"
    away.mkdir()
    async with site.readers():
        for name in FILES:
            (site.folder / name).rename(away / name)
        await site.until_it_says("its file is gone")
        await asyncio.to_thread(site.get, "/")  # a page makes no new one
        await site.refuses_a_prompt()
        site.gate.touch()  # ends come, and cannot be written
        await stays(lambda: not site.database.exists(), 3)
        for name in FILES[1:] + FILES[:1]:
            (away / name).rename(site.folder / name)
        await site.until_it_says("ok")
    await site.answers_a_prompt()


async def test_a_file_that_was_deleted_and_restored_from_a_backup(site: Site) -> None:
    async with site.readers():
        backup = site.folder / "backup.sqlite3"
        await asyncio.to_thread(site.execute, f"VACUUM INTO '{backup}'")
        for name in FILES:
            (site.folder / name).unlink()
        await site.until_it_says("its file is gone")
        await site.refuses_a_prompt()
        shutil.copy(backup, site.folder / "new")
        (site.folder / "new").rename(site.database)
        await site.until_it_says("ok")
    await site.answers_a_prompt()


async def test_a_file_that_another_one_took_the_place_of(site: Site) -> None:
    """At once, without a moment in which there was none: what is written goes into the new one."""
    async with site.readers():
        backup = site.folder / "backup.sqlite3"
        await asyncio.to_thread(site.execute, f"VACUUM INTO '{backup}'")
        for name in FILES[1:]:
            (site.folder / name).unlink()
        backup.rename(site.database)
    await site.answers_a_prompt()


async def test_a_locked_file(site: Site) -> None:
    async with site.readers():
        holder = sqlite3.connect(site.database, timeout=30, isolation_level=None)
        with contextlib.closing(holder):
            holder.execute("BEGIN EXCLUSIVE")
            await site.until_it_says("is locked")
            holder.execute("ROLLBACK")
        await site.until_it_says("ok")
    await site.answers_a_prompt()


async def test_no_space_for_what_is_written(site: Site) -> None:
    """A bound on the size of files, which the kernel enforces at the same place as a full disk."""
    unbounded = resource.prlimit(site.pid, resource.RLIMIT_FSIZE)
    async with site.readers():
        resource.prlimit(site.pid, resource.RLIMIT_FSIZE, (1, unbounded[1]))
        await site.until_it_says("cannot be written: disk I/O error")
        await site.refuses_a_prompt()
        resource.prlimit(site.pid, resource.RLIMIT_FSIZE, unbounded)
        await site.until_it_says("ok")
    await site.answers_a_prompt()


async def test_a_damaged_file(site: Site) -> None:
    async with site.readers():
        await asyncio.to_thread(site.execute, "PRAGMA wal_checkpoint(TRUNCATE)")
        with site.database.open("r+b") as file:
            head = file.read(100)
            file.seek(0)
            file.write(os.urandom(100))
            file.flush()
            await site.until_it_says("is damaged")
            file.seek(0)
            file.write(head)
        await site.until_it_says("ok")
    await site.answers_a_prompt()


@pytest.fixture
def postgresql() -> Iterator[PostgreSQL]:
    server = start_or_skip()
    yield server
    server.stop()


async def test_a_postgresql_that_takes_no_writes(postgresql: PostgreSQL, tmp_path: Path) -> None:
    url = postgresql.create_database("chat")
    site = Site(tmp_path, DATABASE_URL=url)

    def set_read_only(value: str) -> None:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(f"ALTER SYSTEM SET default_transaction_read_only = {value}")
            connection.execute("SELECT pg_reload_conf()")

    try:
        await site.answers_a_prompt()
        set_read_only("on")
        await site.until_it_says("is read-only")
        await site.refuses_a_prompt()
        set_read_only("off")
        await site.until_it_says("ok")
        await site.answers_a_prompt()
    finally:
        site.server.process.kill()
        site.server.stop()


async def test_a_socket_that_was_open_before_goes_on_after(site: Site) -> None:
    socket = await open_chat(site.server.ws_url)
    site.database.rename(site.folder / "away")
    await send(socket, "response.create", input="stop 5")
    assert (await receive(socket))["code"] == "internal_error"
    (site.folder / "away").rename(site.database)
    await send(socket, "response.create", input="stop 5")
    while not is_end(event := await receive(socket)):
        assert event["type"] != "error"
    assert event["text"] == "".join(words(5))
    await socket.close()
