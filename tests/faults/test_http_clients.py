"""Clients of the HTTP API that leave, do not read, or send too much, on real connections."""

from __future__ import annotations

import contextlib
import json
import random
import socket as sockets
import sqlite3
import struct
import time
from collections.abc import Iterator
from http.client import HTTPResponse
from typing import Any

import psutil
import pytest

from tests.faults.deployment import Deployment, as_good_as_new, eventually, serving
from tests.faults.engines import loud_text
from tests.support.passing_time import outlast_blocking
from tests.support.raw_websocket import address_of
from tests.support.valkey import start_or_skip

CHAT = "/v1/chat/completions"


@pytest.fixture(scope="module", params=["memory", "valkey"])
def deployment(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Deployment]:
    valkey = start_or_skip() if request.param == "valkey" else None
    # No sweep of what nobody watches can pass for a cancellation.
    env = {"CHATSTREAM_DISCONNECT_GRACE": "3600", "CHATSTREAM_MAX_RUNNING": "1"}
    try:
        with serving(tmp_path_factory.mktemp("http"), valkey, **env) as deployment:
            yield deployment
    finally:
        if valkey:
            valkey.stop()


@pytest.fixture
def server(deployment: Deployment) -> Iterator[Deployment]:
    yield from as_good_as_new(deployment)


class Connection:
    """A plain TCP connection, from an address of its own as a trusted proxy would say it."""

    def __init__(self, server: Deployment, *, small: bool = False) -> None:
        self.address = ".".join(str(random.randrange(1, 255)) for _ in range(4))
        self.socket = sockets.socket()
        if small:
            self.socket.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, 4096)
        self.socket.settimeout(60)
        server.sockets.append(self)  # type: ignore[arg-type]  # which it closes in the end
        self.socket.connect(address_of(server.web.ws_url))

    def head(self, length: int | str) -> bytes:
        lines = [
            f"POST {CHAT} HTTP/1.1",
            "Host: localhost",
            "Content-Type: application/json",
            f"X-Forwarded-For: {self.address}",
            "Connection: close",
            f"Content-Length: {length}" if length != "chunked" else "Transfer-Encoding: chunked",
        ]
        return ("\r\n".join(lines) + "\r\n\r\n").encode()

    def ask(self, prompt: str, **fields: Any) -> Connection:
        message = {"role": "user", "content": prompt}
        body = json.dumps({"model": "default", "messages": [message], **fields}).encode()
        self.socket.sendall(self.head(len(body)) + body)
        return self

    def until(self, needle: bytes) -> bytes:
        data = b""
        while needle not in data:
            part = self.socket.recv(4096)
            assert part, data
            data += part
        return data

    def rest(self) -> bytes:
        data = b""
        while part := self.socket.recv(65536):
            data += part
        return data

    def leave(self, *, reset: bool = False) -> None:
        if reset:
            self.socket.setsockopt(sockets.SOL_SOCKET, sockets.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def close(self) -> None:
        self.socket.close()


def status_of(server: Deployment, prompt: str) -> str:
    query = (
        "SELECT status FROM streaming_response JOIN streaming_message "
        "ON streaming_message.id = streaming_response.prompt_id WHERE content = ?"
    )
    with contextlib.closing(sqlite3.connect(server.database, timeout=20)) as connection:
        row = connection.execute(query, [prompt]).fetchone()
    return str(row[0]) if row else ""


@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("waits", [False, True])
def test_who_leaves_is_cancelled_at_once(
    server: Deployment, waits: bool, stream: bool, reset: bool
) -> None:
    runner = Connection(server).ask("go", stream=True, max_tokens=100_000)
    runner.until(b"w0 ")
    prompt = f"leaver {time.monotonic_ns()}"
    leaver = Connection(server).ask(prompt, stream=stream, max_tokens=100_000)
    eventually(lambda: status_of(server, prompt) == "queued", "it does not wait")
    if not waits:
        runner.leave()
        eventually(lambda: status_of(server, prompt) == "in_progress", "it does not run")
    leaver.leave(reset=reset)
    eventually(lambda: status_of(server, prompt) == "cancelled", "it is not cancelled")
    runner.leave()
    assert b"w0 w1 " in Connection(server).ask("stop 2").rest()


def test_leaving_at_any_moment(server: Deployment) -> None:
    chance = random.Random(7)
    for turn in range(60):
        connection = Connection(server).ask("go", stream=turn % 2 == 0, max_tokens=100_000)
        time.sleep(chance.choice([0, chance.uniform(0, 0.03), 0.1]))
        connection.leave(reset=turn % 3 == 0)
    assert b"w0 w1 " in Connection(server).ask("stop 2").rest()


def test_a_stream_at_the_pace_of_its_reader(server: Deployment) -> None:
    """5 MB that nobody reads for a while pile up nowhere, and none of it is lost."""
    count = 600
    reader = Connection(server, small=True).ask("loud", stream=True, max_tokens=count)
    eventually(lambda: status_of(server, "loud") == "incomplete", "it does not end")
    outlast_blocking(1, "a reader's pause")
    answer = HTTPResponse(reader.socket)
    answer.begin()
    lines = answer.read().decode().splitlines()
    data = [line.partition("data: ")[2] for line in lines if line.startswith("data: ")]
    assert data.pop() == "[DONE]"
    deltas = [json.loads(text)["choices"][0]["delta"].get("content") or "" for text in data]
    assert "".join(deltas) == loud_text(count)


@pytest.mark.parametrize("length", [10 * 2**30, "chunked"])
def test_a_body_without_end_is_cut(server: Deployment, length: int | str) -> None:
    process = psutil.Process(server.web.process.pid)
    before = server.rss()
    sender = Connection(server)
    part = b"x" * 65536
    if length == "chunked":
        part = b"10000\r\n" + part + b"\r\n"
    sent, most = 0, 400 * 2**20
    with contextlib.suppress(ConnectionError):
        sender.socket.sendall(sender.head(length))
        while sent < most:
            sender.socket.sendall(part)
            sent += len(part)
    grown = server.rss() - before
    print(f"cut after {sent / 2**20:.0f} MiB; RSS grew by {grown:.1f} MiB")
    assert sent < most
    assert grown < 30
    assert process.is_running()


def test_a_body_somewhat_too_large_is_answered(server: Deployment) -> None:
    sender = Connection(server)
    size = 20 * 2**20
    sender.socket.sendall(sender.head(size) + b"x" * size)
    answer = sender.rest()
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b'"request_too_large"' in answer
