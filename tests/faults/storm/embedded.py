"""The storm over one server with its worker inside, and a supervisor that starts it again."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from uuid import UUID

from tests.faults.cluster import FAST, Row, Step, locked, rows_of, steps_in
from tests.faults.storm.plan import HANG_SECONDS, Plan, Report
from tests.faults.storm.storm import Storm
from tests.support.processes import ManagedProcess
from tests.support.valkey import free_port

AWAY_SECONDS = 3.0
"""How long the disk is full, or the database locked or gone."""


class Alone:
    """An embedded server. It keeps its port and its database over any death."""

    def __init__(self, folder: Path, **env: str) -> None:
        self.folder = folder
        self.database = folder / "data" / "db.sqlite3"
        self.database.parent.mkdir()
        self.steps = folder / "steps"
        self.steps.mkdir()
        self._hung = folder / "hung"
        self._hung.mkdir()
        self.port = free_port()
        self._env = {
            "DATABASE_URL": f"sqlite:///{self.database}",
            "FAKE_STEPS": str(self.steps),
            "FAKE_HANGS": str(self._hung),
            **FAST,
            "CHATSTREAM_HANG_SECONDS": HANG_SECONDS,
            **env,
        }
        self._all: list[ManagedProcess] = []

    @property
    def server(self) -> ManagedProcess:
        return self._all[-1]

    def start(self) -> Alone:
        self._all.append(ManagedProcess("serve", "--port", str(self.port), env=self._env))
        self.server.wait_for(r"^Ready:")
        return self

    def kill(self) -> None:
        self.server.stop(signal.SIGKILL)

    def hang(self) -> int:
        """Let no step of the engine return; the status with which the server ends by itself."""
        (self._hung / str(self.server.process.pid)).touch()
        return self.server.process.wait(60)

    def second(self) -> ManagedProcess:
        """Another server on the same database, when it has ended or is ready."""
        second = ManagedProcess("serve", "--port", "0", env=self._env)
        second.wait_for(r"^Ready:|REDIS_URL")
        return second

    @contextlib.contextmanager
    def full_disk(self) -> Iterator[None]:
        """Files of the server cannot grow meanwhile."""
        pid = self.server.process.pid
        soft, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (1024, hard))
        try:
            yield
        finally:
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (soft, hard))

    @contextlib.contextmanager
    def vanished_database(self) -> Iterator[None]:
        """Its folder is not where it was meanwhile."""
        away = self.folder / "away"
        self.database.parent.rename(away)
        try:
            yield
        finally:
            with contextlib.suppress(OSError):
                os.rmdir(self.database.parent)
            away.rename(self.database.parent)

    @contextlib.contextmanager
    def locked_database(self) -> Iterator[None]:
        with locked(self.database):
            yield

    def stop(self) -> None:
        """Kill it; what it printed stays in the folder."""
        self.kill()
        for number, process in enumerate(self._all):
            (self.folder / f"serve-{number}.log").write_text(process.output)


class EmbeddedStorm(Storm):
    """`alone` is started already."""

    forgets = True

    def __init__(self, alone: Alone, plan: Plan, say: Callable[[str], None]) -> None:
        self._alone = alone
        self.urls: Sequence[str] = [f"ws://127.0.0.1:{alone.port}/ws/chat/"]
        self.cap = self.places = int(FAST["CHATSTREAM_MAX_RUNNING"])
        super().__init__(plan, say)

    def rows(self) -> dict[str, Row]:
        return rows_of(self._alone.database)

    def steps(self) -> dict[int, list[Step]]:
        return steps_in(self._alone.steps)

    def strike(self, fault: str) -> None:
        alone = self._alone
        match fault:
            case "server":
                alone.kill()
                time.sleep(self.chance.uniform(0, 1))
                alone.start()
            case "hang":
                if status := alone.hang():
                    self.say(f"the hung server ended with status {status}")
                else:
                    self.broken("a hung server ended as if nothing were")
                alone.start()
            case "second":
                second = alone.second()
                status = second.stop()
                if not status or "REDIS_URL" not in second.output:
                    self.broken(f"a second server on the same database:\n{second.output}")
            case "disk":
                with alone.full_disk():
                    time.sleep(AWAY_SECONDS)
            case "vanish":
                with alone.vanished_database():
                    time.sleep(AWAY_SECONDS)
            case "lock":
                with alone.locked_database():
                    time.sleep(AWAY_SECONDS)

    async def running(self) -> set[str]:
        rows = await asyncio.to_thread(self.rows)
        return {str(UUID(name)) for name, row in rows.items() if row.status == "in_progress"}

    async def settled(self) -> str:
        rows = await asyncio.to_thread(self.rows)
        left = [row.status for row in rows.values() if row.status in ("queued", "in_progress")]
        return f"{len(left)} are open" if left else ""


async def run(folder: Path, plan: Plan, say: Callable[[str], None]) -> Report:
    alone = Alone(folder)
    try:
        await asyncio.to_thread(alone.start)
        return await EmbeddedStorm(alone, plan, say).run()
    finally:
        await asyncio.to_thread(alone.stop)
