"""One server with the fast engine, alone or on a Valkey, for clients that misbehave."""

from __future__ import annotations

import contextlib
import random
import re
import sqlite3
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import psutil
from redis import Redis

from tests.support.endings import is_end
from tests.support.processes import ServeProcess
from tests.support.raw_websocket import (
    RawSocket,
)
from tests.support.told_items import ToldItems
from tests.support.valkey import Valkey

MAX_SOCKETS = 12
MAX_UNSENT = 65_536
EVENTS_PER_SECOND = 200
BURST = 5 * EVENTS_PER_SECOND
REFUSALS = 100

ENV = {
    "CHATSTREAM_ENGINE": "tests.faults.engines.LoudEngine",
    "CHATSTREAM_MAX_RUNNING": "4",
    "CHATSTREAM_MAX_WAITING": "50",
    "CHATSTREAM_MAX_PER_OWNER": "6",
    "CHATSTREAM_MAX_PER_ADDRESS": "6",
    "CHATSTREAM_MAX_TOKENS": "100000",
    "CHATSTREAM_MAX_SOCKETS": str(MAX_SOCKETS),
    "CHATSTREAM_MAX_UNSENT_BYTES": str(MAX_UNSENT),
    "CHATSTREAM_MAX_EVENTS_PER_SECOND": str(EVENTS_PER_SECOND),
    "CHATSTREAM_DISCONNECT_GRACE": "1",
    "CHATSTREAM_TRUSTED_PROXIES": "127.0.0.1",
}


@dataclass
class Deployment:
    web: ServeProcess
    database: Path
    valkey: Valkey | None
    sockets: list[RawSocket] = field(default_factory=list)

    def raw(self, *headers: str, **options: Any) -> RawSocket:
        """A socket that nobody was greeted on yet; `hang_up` closes it, too."""
        socket = RawSocket(self.web.ws_url, headers, **options)
        self.sockets.append(socket)
        assert socket.status == 101
        return socket

    def open(self, address: str | None = None, **options: Any) -> RawSocket:
        """A greeted socket from an address of its own, as a trusted proxy would say it."""
        address = address or f"10.{'.'.join(str(random.randrange(256)) for _ in range(3))}"
        socket = self.raw(f"X-Forwarded-For: {address}", **options)
        socket.greeting = socket.next()
        assert socket.greeting["type"] == "chatstream:session"
        return socket

    def hang_up(self) -> None:
        while self.sockets:
            self.sockets.pop().close()

    def rss(self) -> float:
        """Of the server, in MiB."""
        return float(psutil.Process(self.web.process.pid).memory_info().rss) / 2**20

    def cpu_seconds(self) -> float:
        """What the server has computed so far."""
        times = psutil.Process(self.web.process.pid).cpu_times()
        return float(times.user + times.system)

    def open_rows(self) -> int:
        with contextlib.closing(sqlite3.connect(self.database, timeout=20)) as connection:
            query = (
                "SELECT count(*) FROM streaming_response "
                "WHERE status IN ('accepting', 'queued', 'in_progress')"
            )
            return int(connection.execute(query).fetchone()[0])

    def left_in_valkey(self) -> dict[str, Any]:
        """What is open in the list, and which responses somebody watches."""
        assert self.valkey
        with Redis.from_url(self.valkey.url) as redis:
            return {
                "open": redis.zcard("chatstream:waiting:open"),
                "watched": redis.pubsub_channels("*response*"),
            }


@contextlib.contextmanager
def serving(folder: Path, valkey: Valkey | None = None, **env: str) -> Iterator[Deployment]:
    shared = {"REDIS_URL": valkey.url} if valkey else {}
    web = ServeProcess(folder, "--worker", env={**ENV, **shared, **env})
    try:
        web.wait_until_ready()
        deployment = Deployment(web, folder / "db.sqlite3", valkey)
        yield deployment
        deployment.hang_up()
    finally:
        web.stop()


def eventually(condition: Callable[[], bool], otherwise: str, seconds: float = 60) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, otherwise
        time.sleep(0.05)


def faults_in(lines: list[str]) -> list[str]:
    """The lines of a log from its first fault on."""
    faulty = [number for number, line in enumerate(lines) if re.search("Traceback|ERROR", line)]
    return lines[faulty[0] :] if faulty else []


def as_good_as_new(deployment: Deployment) -> Iterator[Deployment]:
    """The rest of a fixture: after each test nothing is left open and nothing has failed."""
    said = len(deployment.web.lines)
    yield deployment
    deployment.hang_up()
    eventually(lambda: deployment.open_rows() == 0, "open responses are left in the record")
    if deployment.valkey:
        nothing = {"open": 0, "watched": []}
        eventually(lambda: deployment.left_in_valkey() == nothing, "entries or viewers are left")
    faults = faults_in(deployment.web.lines[said:])
    assert not faults, "\n".join(faults)


def create(socket: RawSocket, text: str, tokens: int = 5, **fields: Any) -> str:
    """Ask; the id of the response."""
    response_id = str(uuid4())
    params = {"max_tokens": tokens}
    socket.event("response.create", response_id=response_id, input=text, params=params, **fields)
    return response_id


def text_of(socket: RawSocket) -> str:
    """The answer as its deltas, checked against its end."""
    told = ToldItems()
    while not is_end(event := socket.next()):
        told.take(event)
    assert event["text"] == told.text
    told.take(event)
    return told.text


def is_served(server: Deployment) -> float:
    """Somebody else is: seconds from prompt to answer."""
    neighbour = server.open()
    began = time.monotonic()
    create(neighbour, "hello", 3)
    assert text_of(neighbour) == "w0 w1 w2 "
    return time.monotonic() - began
