"""Connections without a request, with half of one, or too many: nobody else notices, and whoever is
refused is told so."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path

import psutil
import pytest

from streaming.api.answers import ErrorBody
from tests.faults.deployment import create, eventually, is_served, text_of
from tests.faults.site import Site, is_told, linux, rest_of, soft_files, under_attack
from tests.support.passing_time import outlast_blocking
from tests.support.raw_websocket import handshake

pytestmark = linux

HALF = b"GET /ws/chat/ HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
MOST, PER_ADDRESS = 40, 20


@pytest.fixture(scope="module")
def impatient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with under_attack(
        tmp_path_factory.mktemp("impatient"),
        CHATSTREAM_REQUEST_TIMEOUT="1",
        CHATSTREAM_KEEP_ALIVE="1",
    ) as site:
        yield site


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One that soon has as many connections as it can have."""
    with under_attack(
        tmp_path_factory.mktemp("small"),
        CHATSTREAM_MAX_CONNECTIONS=str(MOST),
        CHATSTREAM_MAX_CONNECTIONS_PER_ADDRESS=str(PER_ADDRESS),
        CHATSTREAM_MAX_SOCKETS="1000",
        CHATSTREAM_KEEP_ALIVE="3600",
        CHATSTREAM_REQUEST_TIMEOUT="600",
    ) as site:
        yield site


@pytest.fixture
def site(small: Site) -> Iterator[Site]:
    yield small
    small.leave()
    small.deployment.hang_up()
    eventually(lambda: connections_of(small) == 0, "connections are left")


def connections_of(site: Site) -> int:
    found = psutil.Process(site.pid).net_connections("tcp")
    return sum(each.status == psutil.CONN_ESTABLISHED for each in found)


def source(number: int) -> str:
    return f"127.0.1.{1 + number}"


def is_greeted(site: Site, source: str = "127.0.0.1") -> bool:
    connection = site.connect(source, handshake(site.deployment.web.ws_url))
    return connection.recv(65536).startswith(b"HTTP/1.1 101 ")


# --- files ---


def test_a_soft_limit_of_files_is_raised(tmp_path: Path) -> None:
    with contextlib.ExitStack() as stack:
        with soft_files(256):
            site = stack.enter_context(under_attack(tmp_path))
        for number in range(600):
            site.connect(source(number // 10), HALF)
        assert site.health() < 5
        assert is_served(site.deployment) < 10
        assert not site.said("WARNING")


def test_without_a_file_to_spare_it_serves_says_why_and_recovers(tmp_path: Path) -> None:
    with under_attack(tmp_path) as site:
        import resource

        reader = site.deployment.open("192.0.2.1")
        assert is_served(site.deployment) < 10
        process = psutil.Process(site.pid)
        _, hard = resource.prlimit(site.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(site.pid, resource.RLIMIT_NOFILE, (process.num_fds() + 30, hard))
        connected = [site.connect(source(number // 10)) for number in range(200)]
        eventually(lambda: sum(map(is_told, connected)) >= 100, "nobody is turned away")
        create(reader, "hello", 3)
        assert text_of(reader) == "w0 w1 w2 "
        # One line for two hundred, which says what to do about it.
        assert len(site.said("No further file can be opened")) == 1
        assert "LimitNOFILE" in site.said("No further file can be opened")[0]
        site.leave()
        eventually(lambda: is_greeted(site), "it has not recovered", seconds=20)


# --- how many ---

BEGAN = time.monotonic()


def is_said_seldom(site: Site, words: str) -> bool:
    """Once a minute at most; on a busy machine these tests take longer, and a line comes late."""
    eventually(lambda: site.said(words), "it does not say why")
    return len(site.said(words)) <= 1 + (time.monotonic() - BEGAN) / 60


def test_connections_of_one_address_are_bounded_and_told_so(site: Site) -> None:
    for _ in range(PER_ADDRESS):
        site.connect("127.0.0.2", HALF)
    for _ in range(5):
        answer = rest_of(site.connect("127.0.0.2", handshake(site.deployment.web.ws_url)))
        assert answer.startswith(b"HTTP/1.1 429 ")
        assert b"\r\nRetry-After: " in answer
    data = b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\n\r\n"
    fields, _, body = rest_of(site.connect("127.0.0.2", data)).decode().partition("\r\n\r\n")
    assert "X-Request-Id: " in fields
    error = ErrorBody.model_validate_json(body).error
    assert (error.code, error.chatstream.code) == ("rate_limit_exceeded", "address_limit")
    assert is_greeted(site, "127.0.0.3")
    assert is_said_seldom(site, "connections from 127.0.0.2 are open")
    site.opened[0].close()
    eventually(lambda: is_greeted(site, "127.0.0.2"), "the place of a lost one stays taken")


def test_behind_a_trusted_proxy_those_count_whom_it_names(site: Site) -> None:
    def through_proxy(address: str) -> bytes:
        headers = [f"X-Forwarded-For: {address}"]
        data = handshake(site.deployment.web.ws_url, headers)
        return site.connect("127.0.0.9", data).recv(65536)

    idle = [site.connect("127.0.0.9") for _ in range(PER_ADDRESS + 2)]
    for connection in idle:
        connection.close()
    for number in range(PER_ADDRESS):
        # All of an IPv6 client's /64 is one client.
        assert through_proxy(f"2001:db8::{number + 1:x}").startswith(b"HTTP/1.1 101 ")
    assert through_proxy("2001:db8::ffff").startswith(b"HTTP/1.1 429 ")
    assert through_proxy("2001:db8:0:1::1").startswith(b"HTTP/1.1 101 ")


def test_a_request_behind_a_proxy_is_counted_while_it_is_served(site: Site) -> None:
    connection = HTTPConnection(*site.address, timeout=20, source_address=("127.0.0.9", 0))
    for _ in range(2 * PER_ADDRESS):
        connection.request("GET", "/", headers={"X-Forwarded-For": "192.0.2.5"})
        response = connection.getresponse()
        assert (response.status, bool(response.read())) == (200, True)
    connection.close()


def test_at_the_bound_who_asks_nothing_gives_way(site: Site) -> None:
    for number in range(MOST):
        site.connect(source(number // 10), HALF)
    outlast_blocking(1.5, "the age up to which a connection is spared")
    for _ in range(MOST // 2):
        assert is_greeted(site, "127.0.0.4") or is_greeted(site, "127.0.0.5")
    assert is_served(site.deployment) < 10


def test_beyond_the_bound_it_says_so_and_is_healthy(site: Site) -> None:
    for number in range(MOST):
        assert is_greeted(site, source(number // 10))
    for data in (handshake(site.deployment.web.ws_url), b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"):
        answer = rest_of(site.connect("127.0.0.4", data))
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b"\r\nRetry-After: " in answer
    assert site.health() < 5
    assert is_said_seldom(site, f"{MOST} connections are open")
    # Not even those who are beyond it, and say nothing, keep anybody from being told.
    for number in range(100):
        site.connect(source(number // 10))
    assert rest_of(site.connect("127.0.0.4", data)).startswith(b"HTTP/1.1 503 ")
    assert site.health() < 5


# --- how long ---


SLOW = {
    "nothing at all": (b"", b"", b""),
    "a byte now and then": (b"GET / HTTP/1.1\r\n", b"X-a: b\r\n", b"HTTP/1.1 408 "),
    "half a handshake": (HALF, b"X", b"HTTP/1.1 408 "),
    "a slow body": (
        b"POST /v1/responses HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n",
        b"x",
        b"HTTP/1.1 408 ",
    ),
    "a slow body in pieces": (
        b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"1\r\nx\r\n",
        b"HTTP/1.1 408 ",
    ),
}


@pytest.mark.parametrize("kind", SLOW)
def test_a_request_must_come_in_time(impatient: Site, kind: str) -> None:
    begin, more, answer = SLOW[kind]
    connection = impatient.connect(data=begin)
    until = time.monotonic() + 20
    while not is_told(connection) and time.monotonic() < until:
        with contextlib.suppress(ConnectionError):
            connection.send(more)
        time.sleep(0.1)
    connection.settimeout(5)
    assert rest_of(connection).startswith(answer)
    assert time.monotonic() < until
    eventually(lambda: connections_of(impatient) == 0, "it is kept")


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/models?a=b", "/v10/", "/"])
def test_below_v1_a_refusal_has_the_apis_shape(impatient: Site, path: str) -> None:
    """Whoever is refused before an application sees the request."""
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n{{".encode()
    connection = impatient.connect(data=head)
    connection.settimeout(20)
    fields, _, body = rest_of(connection).decode().partition("\r\n\r\n")
    assert fields.startswith("HTTP/1.1 408 ")
    if not path.startswith("/v1/"):
        assert "Content-Type: text/plain" in fields
        return
    assert "Content-Type: application/json" in fields
    assert "X-Request-Id: " in fields
    error = ErrorBody.model_validate_json(body).error
    assert (error.code, error.type) == ("request_timeout", "invalid_request_error")


def test_an_answered_connection_is_not_kept_for_long(impatient: Site) -> None:
    connection = impatient.connect(data=b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert rest_of(connection).startswith(b"HTTP/1.1 200 ")
    half = impatient.connect(data=b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\nGET")
    assert b"HTTP/1.1 408 " in rest_of(half)


def test_a_socket_and_a_long_answer_have_no_such_deadline(impatient: Site) -> None:
    reader = impatient.deployment.open("192.0.2.1")
    outlast_blocking(3, "the deadline of a request")
    create(reader, "hello", 3)
    assert text_of(reader) == "w0 w1 w2 "
    prompt = {"messages": [{"role": "user", "content": "hello"}], "max_tokens": 400}
    body = json.dumps({"model": "default", **prompt}).encode()
    lines = [
        "POST /v1/chat/completions HTTP/1.1",
        "Host: localhost",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        "Connection: close",
    ]
    request = "\r\n".join([*lines, "", ""]).encode() + body
    assert b"w399 " in rest_of(impatient.connect(data=request))
    impatient.deployment.hang_up()
