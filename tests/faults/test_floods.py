"""Frames, pieces and requests below every other limit, as many as the line carries: bounded in
number and in memory, and nobody else waits for them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from benchmarks.arriving_client import arrive, leave
from tests.faults.deployment import create, eventually, is_served, text_of
from tests.faults.site import Site, is_told, linux, rest_of, under_attack
from tests.support.passing_time import outlast_blocking
from tests.support.processes import ROOT, clean_environ
from tests.support.raw_websocket import (
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    RawSocket,
    address_of,
    frame,
    handshake,
)

pytestmark = linux

ROOM_MIB = 40
"""So much the server may have grown when a flood of 200 MB and more is over."""


@pytest.fixture(scope="module")
def flooded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with under_attack(
        tmp_path_factory.mktemp("floods"),
        CHATSTREAM_MAX_EVENTS_PER_SECOND="20",
        CHATSTREAM_MAX_SOCKETS="200",
    ) as site:
        yield site


@pytest.fixture
def site(flooded: Site) -> Iterator[Site]:
    yield flooded
    flooded.leave()
    flooded.deployment.hang_up()


# --- frames ---

FLOODS = {
    "pings": frame("", PING),
    "long pings": frame("x" * 125, PING),
    "pongs that nobody asked for": frame("", PONG),
    "empty fragments": frame("", CONTINUATION, final=False),
    "small fragments": frame("xy", CONTINUATION, final=False),
}


@pytest.mark.parametrize("kind", FLOODS)
def test_a_flood_of_frames_is_closed(site: Site, kind: str) -> None:
    flooder = site.deployment.open("192.0.2.1")
    before = site.deployment.rss()
    if "fragments" in kind:
        flooder.send(frame('"', TEXT, final=False))
    most = site_flood(flooder, FLOODS[kind], 2_000_000)
    assert most < 2_000_000
    assert is_served(site.deployment) < 10
    grown = site.deployment.rss() - before
    print(f"cut within {most:,} frames; RSS grew by {grown:.1f} MiB")
    assert grown < ROOM_MIB


def site_flood(flooder: RawSocket, one: bytes, most: int) -> int:
    """Send it again and again until the end, reading meanwhile; how often it could be sent. The
    end must come with a reason."""
    sent, many = 0, 1000
    with ThreadPoolExecutor(1) as pool:
        answers = pool.submit(flooder.rest)
        with contextlib.suppress(ConnectionError):
            while sent < most and not answers.done():
                flooder.send(one * many)
                sent += many
        if sent >= most:
            flooder.socket.shutdown(socket.SHUT_RDWR)
        events, code = answers.result()
    if sent < most:
        assert code == 4429
        assert [event["code"] for event in events] == ["rate_limited"]
    return sent


def test_below_the_rate_nobody_is_closed(site: Site) -> None:
    socket = site.deployment.open("192.0.2.1")
    for _ in range(10):
        socket.send((frame("", PING) + frame("", PONG)) * 40)
        time.sleep(0.05)
    text = json.dumps({"type": "response.cancel"}).encode().ljust(50_000)
    parts = [text[at : at + 200] for at in range(0, len(text), 200)]
    socket.send(frame(parts[0], final=False))
    for part in parts[1:-1]:
        socket.send(frame(part, CONTINUATION, final=False))
    socket.send(frame(parts[-1], CONTINUATION))
    assert socket.until("error")["code"] == "invalid_event"
    create(socket, "hello", 3)
    assert text_of(socket) == "w0 w1 w2 "


def test_many_small_pieces_of_large_messages_take_no_more_than_they_are(site: Site) -> None:
    """Half a megabyte on each of forty sockets, none of it a whole message, in small writes."""
    before = site.deployment.rss()
    sockets = [site.deployment.open(f"192.0.2.{number}") for number in range(40)]
    for each in sockets:
        each.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        each.send(frame("x" * 600_000)[:14])
    for _ in range(1000):
        for each in sockets:
            each.send(b"x" * 15)
    assert is_served(site.deployment) < 10
    grown = site.deployment.rss() - before
    print(f"RSS grew by {grown:.1f} MiB")
    assert grown < ROOM_MIB


def test_what_is_sent_before_the_handshake_is_answered_is_bounded(site: Site) -> None:
    """A second head among it does not make a second socket of one connection."""
    for _ in range(20):
        opening = handshake(site.deployment.web.ws_url)
        connection = site.connect("127.0.0.2", opening)
        with contextlib.suppress(ConnectionError):
            connection.sendall(opening + frame("", PING) * 2000)
        connection.settimeout(10)
        assert connection.recv(65536).startswith(b"HTTP/1.1 101 ")
    assert is_served(site.deployment) < 10


def test_frames_at_the_operators_socket_are_bounded_before_it_knows_who_comes(site: Site) -> None:
    before = site.deployment.rss()
    large = frame("x" * 1_000_000)
    for number in range(20):
        opening = handshake(site.deployment.web.ws_url).replace(b"/ws/chat/", b"/ws/queue/")
        connection = site.connect(f"127.0.0.{2 + number}", opening)
        connection.settimeout(0.5)
        with contextlib.suppress(ConnectionError, TimeoutError):
            for _ in range(20):
                connection.sendall(large)
    assert is_served(site.deployment) < 10
    grown = site.deployment.rss() - before
    print(f"RSS grew by {grown:.1f} MiB")
    assert grown < ROOM_MIB


# --- requests ---


def request(path: str, *headers: str, method: str = "GET", body: bytes = b"") -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", *headers]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body


def test_requests_without_end_whose_answers_nobody_reads_are_cut(site: Site) -> None:
    before = site.deployment.rss()
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.settimeout(60)
    connection.connect(site.address)
    site.opened.append(connection)
    many, sent = request("/static/streaming/chat/thread.css") * 100, 0
    with contextlib.suppress(ConnectionError, TimeoutError):
        while sent < 100_000:
            connection.sendall(many)
            sent += 100
    print(f"cut within {sent:,} requests; RSS grew by {site.deployment.rss() - before:.1f} MiB")
    assert sent < 100_000
    assert site.deployment.rss() - before < ROOM_MIB
    assert is_served(site.deployment) < 10


BAD = {
    "an odd header": request("/", "X(: 1"),
    "health": request("/healthz"),
    "an odd path": request("/\u00e4"),
}


@pytest.mark.parametrize("kind", BAD)
def test_hundreds_of_requests_sent_at_once_are_each_answered_or_ended(
    site: Site, kind: str
) -> None:
    connection = site.connect("127.0.0.2", BAD[kind] * 400)
    connection.shutdown(socket.SHUT_WR)
    assert rest_of(connection).startswith(b"HTTP/1.1 ")
    assert is_served(site.deployment) < 10


def test_many_headers_and_long_ones_are_refused(site: Site) -> None:
    for headers in (["X-a: b"] * 600, ["X-a: " + "b" * 15_000] * 2, ["Cookie: a=b"] * 600):
        answer = rest_of(site.connect("127.0.0.2", request("/", *headers)))
        assert answer.startswith(b"HTTP/1.1 400 ") or answer == b""
    assert is_served(site.deployment) < 10


def test_a_body_in_tiny_pieces_is_cut(site: Site) -> None:
    connection = site.connect(
        "127.0.0.2", request("/", "Transfer-Encoding: chunked", method="POST")
    )
    pieces, sent = b"1\r\nx\r\n" * 10_000, 0
    before = site.deployment.cpu_seconds()
    with contextlib.suppress(ConnectionError):
        while sent < 2_000_000:
            connection.sendall(pieces)
            sent += 10_000
    used = site.deployment.cpu_seconds() - before
    print(f"cut within {sent:,} pieces, which took {used:.1f} s")
    assert sent < 2_000_000
    assert is_served(site.deployment) < 10


def test_a_form_of_a_million_fields_holds_nobody_up(site: Site) -> None:
    """Whoever wants its fields takes them apart; that is Django, with bounds, in a thread."""
    form = "Content-Type: application/x-www-form-urlencoded"
    body = b"a=&" * 800_000
    data = request("/", form, "Connection: close", method="POST", body=body)
    quiet = max(site.health() for _ in range(5))
    senders = [site.connect("127.0.0.2", data) for _ in range(3)]
    slowest = 0.0
    while not all(map(is_told, senders)):
        slowest = max(slowest, site.health())
    print(f"/healthz: {slowest * 1000:.0f} ms at most, {quiet * 1000:.0f} ms before")
    assert slowest < 1


def test_a_crowd_of_requests_is_answered_by_a_few_threads(site: Site) -> None:
    """Each has one, and all of them the interpreter in turn: so many more turns to wait for."""
    process = psutil.Process(site.pid)
    data = request("/", "Connection: close")
    senders = [site.connect(f"127.0.0.{2 + number}", data) for number in range(150)]
    most = 0
    while not all(map(is_told, senders)):
        most = max(most, process.num_threads())
    print(f"{most} threads at most")
    assert most < 80
    for sender in senders:
        sender.settimeout(20)
        assert rest_of(sender).startswith(b"HTTP/1.1 200 ")


def test_large_bodies_on_their_way_are_bounded(site: Site) -> None:
    began = [
        site.connect(
            f"127.0.0.{2 + number % 5}", request("/", "Content-Length: 200000", method="POST")
        )
        for number in range(70)
    ]
    eventually(lambda: sum(map(is_told, began)) >= 6, "not so many are refused")
    outlast_blocking(0.5, "the refusal of one more")
    refused = [each for each in began if is_told(each)]
    answers = [rest_of(each) for each in refused]
    assert len(answers) == 6
    assert all(answer.startswith(b"HTTP/1.1 503 ") for answer in answers)
    told = time.monotonic()
    while not all(map(is_cut, refused)):
        assert time.monotonic() - told < 10, "what was refused is still listened to"
        time.sleep(0.2)
    assert is_served(site.deployment) < 10


def is_cut(connection: socket.socket) -> bool:
    try:
        connection.send(b"x")
    except ConnectionError:
        return True
    return False


# --- arrivals ---


async def outcomes_of_a_crowd(url: str, count: int) -> set[str]:
    clients = await arrive(url, count, 400, "hello", 3, each=5, patience=60)
    await leave(clients)
    return {client.outcome for client in clients}


def test_a_crowd_is_accepted_or_told_why_not_and_none_is_reset(site: Site) -> None:
    began = time.monotonic()
    outcomes = asyncio.run(outcomes_of_a_crowd(site.deployment.web.ws_url, 300))
    print(f"{outcomes} in {time.monotonic() - began:.1f} s")
    assert outcomes <= {"accepted", "queue_full"}
    assert is_served(site.deployment) < 30


def listens(url: str) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(address_of(url)) == 0


def test_a_handshake_is_not_cut_off_because_its_turn_has_not_come(tmp_path: Path) -> None:
    """The application takes seven seconds to accept each; it was cut off after five."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.faults.slow_site"],
        cwd=ROOT,
        env=clean_environ(DATABASE_URL=f"sqlite:///{tmp_path}/db.sqlite3"),
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout
        url = process.stdout.readline().strip()
        eventually(lambda: listens(url), "it does not listen")
        assert asyncio.run(outcomes_of_a_crowd(url, 60)) == {"accepted"}
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
