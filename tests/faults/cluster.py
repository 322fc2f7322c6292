"""Web processes and workers on one Valkey and one database, each of which a test may kill."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sqlite3
from collections.abc import AsyncIterator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from redis.asyncio import Redis

from streaming.waiting_list.interface import WaitingList
from streaming.waiting_list.redis.waiting_list import RedisWaitingList
from tests.support.processes import ManagedProcess
from tests.support.valkey import Valkey, free_port, start_or_skip

FAST = {
    "CHATSTREAM_ENGINE": "tests.support.fake_engine.ProcessEngine",
    "CHATSTREAM_MAX_RUNNING": "4",
    "CHATSTREAM_MAX_WAITING": "5000",
    "CHATSTREAM_MAX_PER_OWNER": "0",
    "CHATSTREAM_MAX_PER_ADDRESS": "0",
    "CHATSTREAM_MAX_SOCKETS": "5000",
    "CHATSTREAM_MAX_EVENTS_PER_SECOND": "10000",
    "CHATSTREAM_LEASE_SECONDS": "3",
    "CHATSTREAM_DISCONNECT_GRACE": "120",
}
"""The fast engine, no bound in the way, and leases that end soon."""

PATIENCE = 60.0

KEPT = (
    "workers",
    "worker",
    "meta",
    "recent",
    "counters",
    "waits",
    "samples",
    "holders",
    "prefixes",
)
"""Keys of a bounded size that an idle waiting list keeps."""


class Row(NamedTuple):
    """What the record says of a response."""

    status: str
    text: str
    attempt: int
    error_code: str


class Step(NamedTuple):
    """One step of one worker's engine: when, and who advanced in it."""

    at: float
    ids: tuple[str, ...]


def rows_of(database: Path) -> dict[str, Row]:
    """A record, read past Django, by response id in plain hex."""
    with contextlib.closing(sqlite3.connect(database, timeout=30)) as connection:
        rows = connection.execute(
            "SELECT id, status, text, attempt, error_code FROM streaming_response"
        ).fetchall()
    return {row[0]: Row(*row[1:]) for row in rows}


def steps_in(folder: Path) -> dict[int, list[Step]]:
    """What engines wrote into a folder of steps, by process id."""
    return {
        int(path.stem): [
            Step(float(at), tuple(ids.split()))
            for at, _, ids in (line.partition(" ") for line in path.read_text().splitlines())
        ]
        for path in folder.iterdir()
    }


@contextlib.contextmanager
def locked(database: Path) -> Iterator[None]:
    """Nobody else can write into an SQLite database (or begin a transaction) meanwhile."""
    connection = sqlite3.connect(database, timeout=60, isolation_level=None)
    with contextlib.closing(connection):
        connection.execute("BEGIN EXCLUSIVE")
        yield
        connection.execute("ROLLBACK")


class Cluster:
    """Its processes' addresses and data stay the same over any kill and restart."""

    def __init__(self, folder: Path, valkey: Valkey, *, webs: int = 2, **env: str) -> None:
        self.folder = folder
        self.database = folder / "db.sqlite3"
        self.valkey = valkey
        self._steps = folder / "steps"
        self._steps.mkdir()
        self._gate = folder / "gate"
        self._gate.touch()
        self._hung = folder / "hung"
        self._hung.mkdir()
        self._env = {
            "REDIS_URL": valkey.url,
            "DATABASE_URL": f"sqlite:///{self.database}",
            "FAKE_STEPS": str(self._steps),
            "FAKE_GATE": str(self._gate),
            "FAKE_HANGS": str(self._hung),
            **FAST,
            **env,
        }
        self._ports = [free_port() for _ in range(webs)]
        self.webs: list[ManagedProcess | None] = [None] * webs
        self.workers: list[ManagedProcess] = []
        self._all: list[ManagedProcess] = []

    @property
    def cap(self) -> int:
        """Of each worker."""
        return int(self._env["CHATSTREAM_MAX_RUNNING"])

    @property
    def lease_seconds(self) -> float:
        return float(self._env["CHATSTREAM_LEASE_SECONDS"])

    @property
    def urls(self) -> list[str]:
        return [f"ws://127.0.0.1:{port}/ws/chat/" for port in self._ports]

    # --- life and death ---

    def start(self, workers: int = 0) -> Cluster:
        self.start_web(0)  # alone: it makes the database
        with ThreadPoolExecutor() as pool:
            started = [pool.submit(self.start_web, number) for number in range(1, len(self.webs))]
            started += [pool.submit(self.start_worker) for _ in range(workers)]
        for future in started:
            future.result()
        return self

    def start_web(self, number: int) -> None:
        web = ManagedProcess("serve", "--port", str(self._ports[number]), env=self._env)
        self.webs[number] = web
        self._all.append(web)
        web.wait_for(r"No worker in this process")

    def start_worker(self, **env: str) -> ManagedProcess:
        """A worker that has loaded its model."""
        worker = ManagedProcess("runworker", "generation", env={**self._env, **env})
        self.workers.append(worker)
        self._all.append(worker)
        worker.wait_for(r"serves ")
        return worker

    def kill_web(self, number: int) -> None:
        if web := self.webs[number]:
            web.stop(signal.SIGKILL)

    def kill_worker(self, worker: ManagedProcess) -> None:
        self.workers.remove(worker)
        worker.stop(signal.SIGKILL)

    def hang_worker(self, worker: ManagedProcess) -> int:
        """Let no step of its engine return; the status with which it ends by itself."""
        self.workers.remove(worker)
        (self._hung / str(worker.process.pid)).touch()
        return worker.process.wait(PATIENCE)

    def stop_workers(self) -> None:
        for worker in self.workers:
            worker.process.kill()
        for worker in self.workers:
            worker.stop()
        self.workers.clear()

    def stop(self) -> None:
        """Kill all; what they printed stays in the folder."""
        self.stop_workers()
        for number in range(len(self.webs)):
            self.kill_web(number)
        for process in self._all:
            name = f"{process.process.args[2]}-{process.process.pid}.log"
            (self.folder / name).write_text(process.output)

    # --- what it knows ---

    def rows(self) -> dict[str, Row]:
        """The record, read past Django, by response id in plain hex."""
        return rows_of(self.database)

    def row(self, response_id: str) -> Row:
        return self.rows()[response_id.replace("-", "")]

    @contextlib.contextmanager
    def locked_database(self) -> Iterator[None]:
        """Nobody else can write (or begin a transaction) meanwhile."""
        with locked(self.database):
            yield

    @contextlib.contextmanager
    def held_answers(self) -> Iterator[None]:
        """No answer says its last word meanwhile, however long it takes to start a process."""
        self._gate.unlink()
        try:
            yield
        finally:
            self._gate.touch()

    def steps(self) -> dict[int, list[Step]]:
        """Every step of every engine there was, by process id."""
        return steps_in(self._steps)

    def words_by(self, worker: ManagedProcess, response_id: str) -> int:
        """In how many steps a worker advanced a response."""
        steps: Sequence[Step] = self.steps().get(worker.process.pid, ())
        return sum(response_id in step.ids for step in steps)

    @contextlib.asynccontextmanager
    async def client(self) -> AsyncIterator[Redis]:
        client = Redis.from_url(self.valkey.url, decode_responses=True)
        try:
            yield client
        finally:
            await client.aclose()

    @contextlib.asynccontextmanager
    async def waiting_list(self) -> AsyncIterator[WaitingList]:
        async with self.client() as client:
            yield RedisWaitingList(lambda: client, "chatstream")

    async def runner(self, response_id: str) -> ManagedProcess:
        """The worker that runs a response, once one does that is alive."""
        async with asyncio.timeout(PATIENCE), self.waiting_list() as waiting_list:
            while True:
                running = (await waiting_list.snapshot()).running
                pids = [e.worker_id.split(":")[-2] for e in running if e.response_id == response_id]
                for worker in self.workers:
                    if pids == [str(worker.process.pid)]:
                        return worker
                await asyncio.sleep(0.05)

    async def leaks(self) -> list[str]:
        """Keys that an idle waiting list has no business to keep."""
        found = []
        async with self.client() as client:
            async for key in client.scan_iter("chatstream:waiting:*", count=1000):
                name = key.removeprefix("chatstream:waiting:").partition(":")[0]
                if name in ("log", "said", "once", "elected", "left"):
                    if await client.ttl(key) == -1:
                        found.append(f"{key} without an end")
                elif name not in KEPT:
                    found.append(key)
        return sorted(found)


def own_cluster(
    folder: Path, *, durable: bool, workers: int = 0, **settings: str
) -> Iterator[Cluster]:
    """The rest of a fixture: a cluster of one web process on a Valkey of its own.

    `durable`: whether that Valkey keeps its data over a kill."""
    valkey = start_or_skip(durable=durable)
    cluster = Cluster(folder, valkey, webs=1, **settings)
    try:
        yield cluster.start(workers=workers)
    finally:
        cluster.stop()
        valkey.stop()
