"""Clients that do not read, flood, lie, break the protocol or vanish: each is answered or closed
as documented, the others notice nothing, and nothing of it stays behind."""

from __future__ import annotations

import contextlib
import json
import random
import socket as sockets
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.faults.deployment import (
    BURST,
    ENV,
    EVENTS_PER_SECOND,
    MAX_SOCKETS,
    REFUSALS,
    Deployment,
    as_good_as_new,
    create,
    eventually,
    faults_in,
    is_served,
    serving,
    text_of,
)
from tests.faults.engines import loud_text
from tests.support.raw_websocket import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    RawSocket,
    address_of,
    frame,
    handshake,
)
from tests.support.valkey import start_or_skip

ACCEPTED = ["response.created", "response.queued"]


@pytest.fixture(scope="module", params=["memory", "valkey"])
def deployment(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Deployment]:
    valkey = start_or_skip() if request.param == "valkey" else None
    try:
        with serving(tmp_path_factory.mktemp("clients"), valkey) as deployment:
            yield deployment
    finally:
        if valkey:
            valkey.stop()


@pytest.fixture
def server(deployment: Deployment) -> Iterator[Deployment]:
    """The deployment, whose sockets, too, are free after every test."""
    yield from as_good_as_new(deployment)
    assert_all_sockets_are_free(deployment)


def assert_all_sockets_are_free(server: Deployment) -> None:
    """Of the address that all plain sockets of these tests share."""

    def all_open() -> bool:
        greetings = [socket.next()["type"] for socket in [server.raw() for _ in range(MAX_SOCKETS)]]
        server.hang_up()
        return set(greetings) == {"chatstream:session"}

    eventually(all_open, "sockets are still counted that are gone")


# --- those who do not read ---


def test_a_reader_who_never_reads_is_cut_and_resumes(server: Deployment) -> None:
    count = 700
    reader = server.open(small=True)
    before = server.rss()
    cuts = cuts_in(server)
    response_id = create(reader, "loud", count)
    eventually(lambda: cuts_in(server) > cuts, "the reader is not cut off")
    assert is_served(server) < 5
    # The log, or the answer's own text in the worker, is no debt to this reader.
    grown, whole = server.rss() - before, len(loud_text(count)) / 2**20
    print(f"RSS grew by {grown:.1f} MiB; the answer has {whole:.1f} MiB")
    assert reader.is_cut()
    back = come_back(server, reader, response_id)
    assert text_of(back) == loud_text(count)


def come_back(server: Deployment, reader: RawSocket, response_id: str, **options: Any) -> RawSocket:
    back = server.open(**options)
    back.event("chatstream:session", session_token=reader.greeting["session_token"])
    assert back.next()["type"] == "chatstream:session"
    back.event("chatstream:resume", response_id=response_id)
    return back


def cuts_in(server: Deployment) -> int:
    return sum("A slow client is cut off" in line for line in server.web.lines)


def test_a_replay_far_beyond_the_bound_waits_for_its_reader(server: Deployment) -> None:
    count = 400  # 3 MB of deltas, and as much in the end; the bound is 64 KiB
    first = server.open()
    response_id = create(first, "loud", count)
    assert text_of(first) == loud_text(count)
    cuts, before = cuts_in(server), server.rss()
    slow = come_back(server, first, response_id, small=True)
    for _ in range(20):
        slow.next()
        time.sleep(0.05)
    assert is_served(server) < 5
    print(f"RSS grew by {server.rss() - before:.1f} MiB during the replay")
    slow.reset()
    slow = come_back(server, first, response_id, small=True)
    assert text_of(slow) == loud_text(count)
    assert cuts_in(server) == cuts
    # Not even one that reads nothing any more keeps a replay for long.
    idle = come_back(server, first, response_id, small=True)
    assert idle.is_cut()


def test_pings_whose_answers_nobody_reads(server: Deployment) -> None:
    reader, before = server.open(small=True), server.rss()
    pings = frame(b"x" * 125, PING) * 500
    sent, limit = 0, 200 * 2**20
    with contextlib.suppress(ConnectionError):
        while sent < limit:
            reader.send(pings)
            sent += len(pings)
    print(f"cut after {sent / 2**20:.0f} MiB of pings; RSS grew by {server.rss() - before:.1f} MiB")
    assert sent < limit
    assert server.rss() - before < 30
    assert is_served(server) < 5


# --- those who send too much ---


@pytest.mark.parametrize("kind", ["json", "broken", "binary"])
def test_a_flood_of_events_is_refused_and_closed(server: Deployment, kind: str) -> None:
    flooder = server.open()
    neighbour = server.open()
    cancel = json.dumps({"type": "response.cancel", "response_id": str(uuid4()), "event_id": "e"})
    one = {"json": frame(cancel), "broken": frame("{" * 20), "binary": frame(b"\0" * 20, BINARY)}
    with ThreadPoolExecutor(1) as pool:
        # It reads meanwhile: one that does not is cut for that, maybe before it is refused.
        answers = pool.submit(flooder.rest)
        with contextlib.suppress(ConnectionError):
            for _ in range(20):
                flooder.send(one[kind] * 1000)
        create(neighbour, "hello", 3)
        began = time.monotonic()
        assert text_of(neighbour) == "w0 w1 w2 "
        assert time.monotonic() - began < 5
        events, code = answers.result()
    codes = [event["code"] for event in events]
    assert code == 4429
    assert REFUSALS < codes.count("rate_limited") <= REFUSALS + 10
    assert len(codes) - codes.count("rate_limited") <= BURST + EVENTS_PER_SECOND * 20
    if kind == "json":
        assert {event["event_id"] for event in events} == {"e"}


def test_a_flood_just_over_the_rate_is_closed_too(server: Deployment) -> None:
    """A good event now and then must not pardon the flood around it."""
    flooder = server.open()
    until = time.monotonic() + 60
    event = frame('{"type":"none"}')
    with contextlib.suppress(ConnectionError):
        while time.monotonic() < until:
            flooder.send(event * 12)
            flooder.take_in()
            time.sleep(0.02)
    assert time.monotonic() < until
    events, code = flooder.rest()
    assert "rate_limited" in {event["code"] for event in events}
    assert code in (4429, None)


def test_thousands_of_unknown_ids_are_all_answered(server: Deployment) -> None:
    for _ in range(2):
        socket = server.open()
        for _ in range(BURST // 50):
            for number in range(50):
                type_ = ("response.cancel", "chatstream:resume")[number % 2]
                socket.event(type_, response_id=str(uuid4()), event_id=str(number))
            answers = [socket.next() for _ in range(50)]
            assert [answer["code"] for answer in answers] == ["not_found"] * 50
            assert [answer["event_id"] for answer in answers] == [str(n) for n in range(50)]


def test_sockets_of_one_address_are_bounded(server: Deployment) -> None:
    address = "192.0.2.7"
    opened = [server.open(address) for _ in range(MAX_SOCKETS)]
    beyond = server.raw(f"X-Forwarded-For: {address}")
    events, code = beyond.rest()
    assert [event["code"] for event in events] == ["rate_limited"]
    assert code == 4429
    opened.pop().reset()
    eventually(lambda: greets(server, address), "the place of a lost socket stays taken")
    server.open("192.0.2.8")


def greets(server: Deployment, address: str) -> bool:
    greeting = server.raw(f"X-Forwarded-For: {address}").next()
    return bool(greeting["type"] == "chatstream:session")


def test_sockets_of_one_visitor_are_bounded_wherever_they_come_from(server: Deployment) -> None:
    token = server.open().greeting["session_token"]
    for _ in range(MAX_SOCKETS - 1):
        socket = server.open()
        socket.event("chatstream:session", session_token=token)
        assert socket.next()["type"] == "chatstream:session"
    beyond = server.open()
    beyond.event("chatstream:session", session_token=token)
    assert beyond.next()["code"] == "rate_limited"
    create(beyond, "hello", 2)  # it is still the visitor that it was
    assert text_of(beyond) == "w0 w1 "


# --- those who break the protocol ---

TOO_LONG = 1024 * 1024 + 1

BROKEN_FRAMES = {
    "oversized": (frame("x" * TOO_LONG), 1009),
    "oversized in parts": (
        frame("x" * 600_000, final=False) + frame("x" * 600_000, CONTINUATION),
        1009,
    ),
    "oversized, announced only": (b"\x81\xff" + (2**62).to_bytes(8, "big") + bytes(4), 1009),
    "invalid UTF-8": (frame(b'{"type":"\xff\xfe"}'), 1007),
    "UTF-8 cut in two": (frame(b"\xe2\x82"), 1007),
    "reserved opcode": (frame("x", 0x3), 1002),
    "reserved bits": (b"\xf1" + frame("x")[1:], 1002),
    "continuation of nothing": (frame("x", CONTINUATION), 1002),
    "new frame inside a message": (frame("a", final=False) + frame("b"), 1002),
    "fragmented ping": (frame("x", PING, final=False), 1002),
    "long ping": (frame("x" * 126, PING), 1002),
    "not masked": (b"\x81\x02{}", 1002),
    # The client has closed already, if not well: the connection just ends.
    "close with half a code": (frame(b"\x03", CLOSE), None),
    "close with a forbidden code": (frame((1005).to_bytes(2, "big"), CLOSE), None),
}


@pytest.mark.parametrize("name", BROKEN_FRAMES)
def test_a_broken_frame_is_closed_with_its_code(server: Deployment, name: str) -> None:
    data, expected = BROKEN_FRAMES[name]
    socket = server.open()
    with contextlib.suppress(ConnectionError):
        socket.send(data)
    events, code = socket.rest()
    assert (events, code) == ([], expected)


def test_a_message_in_many_fragments_is_one_event(server: Deployment) -> None:
    socket = server.open()
    text = json.dumps({"type": "response.cancel", "response_id": str(uuid4())}).encode()
    data = frame(text[:1], final=False)
    for byte in text[1:-1]:
        data += frame(bytes([byte]), CONTINUATION, final=False) + frame("", PING)
    socket.send(data + frame(text[-1:], CONTINUATION))
    assert socket.until("error")["code"] == "not_found"


DEEP = 100_000
BROKEN_EVENTS = {
    "nothing": "",
    "a space": " ",
    "half": '{"type":"response.create",',
    "not an object": "[]",
    "a number": "1e999999",
    "deep lists": "[" * DEEP,
    "deep objects": '{"a":' * DEEP,
    "deep and closed": "[" * DEEP + "]" * DEEP,
    "deep in a field": '{"type":"response.create","input":' + "[" * DEEP + "]" * DEEP + "}",
    "a long name": json.dumps({"type": "response.create", "input": "a", "n" * 900_000: 1}),
    "many names": json.dumps(
        {"type": "response.create", "input": "a", **{f"n{n}": 1 for n in range(60_000)}}
    ),
    "many parameters": json.dumps(
        {"type": "response.create", "input": "a", "params": {f"n{n}": 1 for n in range(60_000)}}
    ),
    "many stops": json.dumps(
        {"type": "response.create", "input": "a", "params": {"stop": [""] * 200_000}}
    ),
    "half a surrogate": '{"type":"response.create","input":"\\ud800"}',
    "U+0000": '{"type":"response.create","input":"\\u0000"}',
    "NaN": '{"type":"response.create","input":"a","params":{"temperature":NaN}}',
    "a huge number": '{"type":"response.create","input":"a","params":{"seed":' + "9" * 5000 + "}}",
    "an odd id": '{"type":"response.cancel","response_id":"../../etc"}',
    "a type of its own": '{"type":{"a":1}}',
    "a long event id": '{"type":"response.cancel","event_id":"' + "x" * 100_000 + '"}',
}


@pytest.mark.parametrize("name", BROKEN_EVENTS)
def test_a_broken_event_is_explained_at_once(server: Deployment, name: str) -> None:
    socket, neighbour = server.open(), server.open()
    before = server.cpu_seconds()
    socket.send(frame(BROKEN_EVENTS[name]))
    neighbour.send(frame("{}"))
    assert neighbour.next()["code"] == "invalid_event"
    held_up = server.cpu_seconds() - before  # what a busy machine takes besides is not its fault
    error = socket.next()
    print(f"the neighbour was held up for {held_up * 1000:.0f} ms")
    assert error["code"] == "invalid_event"
    assert len(json.dumps(error)) < 1000
    assert held_up < 0.5
    create(socket, "hello", 2)
    assert text_of(socket) == "w0 w1 "


HALF_OPEN = {
    "nothing": b"",
    "a byte": b"G",
    "half a line": b"GET /ws/chat/ HT",
    "half a head": b"GET /ws/chat/ HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n",
    "no key": b"GET /ws/chat/ HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n\r\n",
    "noise": bytes(range(256)) * 4,
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 500,
    "half a body": b"POST /ws/chat/ HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99\r\n\r\nx",
}


def test_half_open_handshakes_hold_nobody_up(server: Deployment) -> None:
    address = address_of(server.web.ws_url)
    opened = []
    for data in list(HALF_OPEN.values()) * 20:
        connection = sockets.create_connection(address)
        with contextlib.suppress(ConnectionError):
            connection.sendall(data)
        opened.append(connection)
    assert is_served(server) < 5
    for connection in opened[::2]:
        connection.close()
    for connection in opened[1::2]:
        connection.setsockopt(sockets.SOL_SOCKET, sockets.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        connection.close()
    assert is_served(server) < 5


ODD_HEADERS = {
    "a protocol in UTF-8": "Sec-WebSocket-Protocol: ch\xe4t",
    "a name in UTF-8": "X-\xe4: 1",
    "an origin cut off": "Origin: http://[",
    "an origin of noise": "Origin: \x01\x02",
    "a forged root": "Daphne-Root-Path: %ff%fe",
    "an odd version": "Sec-WebSocket-Version: 99",
    "a cookie of noise": "Cookie: sessionid=\xff\xfe; =;;; a=\x01",
    "an odd length": "Content-Length: -1",
    "odd addresses": "X-Forwarded-For: , ,, 999.1.1.1, %, ::ffff:zz",
    "a long cookie": "Cookie: sessionid=" + "x" * 12_000,
}


@pytest.mark.parametrize("name", ODD_HEADERS)
def test_an_odd_handshake_is_answered(server: Deployment, name: str) -> None:
    with sockets.create_connection(address_of(server.web.ws_url), timeout=20) as connection:
        connection.sendall(handshake(server.web.ws_url, [ODD_HEADERS[name]]))
        head = connection.recv(65536)
        assert int(head.split()[1]) in (101, 400, 403), head


def test_an_unknown_path_is_refused(server: Deployment) -> None:
    with sockets.create_connection(address_of(server.web.ws_url), timeout=20) as connection:
        request = handshake(server.web.ws_url).replace(b"/ws/chat/", b"/ws/%ff%00/")
        connection.sendall(request)
        assert connection.recv(65536).split()[1] == b"403"


def test_connections_that_are_reset_at_any_moment(server: Deployment) -> None:
    chance = random.Random(11)
    for turn in range(60):
        if turn % 3 == 0:  # in the handshake
            connection = sockets.create_connection(address_of(server.web.ws_url))
            connection.sendall(handshake(server.web.ws_url, ["X-Forwarded-For: 10.0.0.1"]))
            time.sleep(chance.uniform(0, 0.01))
            connection.setsockopt(sockets.SOL_SOCKET, sockets.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            connection.close()
            continue
        socket = server.open()
        create(socket, "hello", 100_000)
        if turn % 3 == 2:
            create(socket, "and", 100_000)
        time.sleep(chance.choice([0, chance.uniform(0, 0.03), 0.1]))
        socket.reset()
    assert is_served(server) < 10


# --- those who hide behind others ---


def test_each_address_behind_a_trusted_proxy_has_its_own_bound(server: Deployment) -> None:
    limit = int(ENV["CHATSTREAM_MAX_PER_ADDRESS"])
    for address in ("198.51.100.1", "198.51.100.2", "2001:db8::1"):
        for _ in range(limit):  # a new visitor each time
            socket = server.open(address)
            create(socket, "hello", 100_000)
            assert [socket.next()["type"] for _ in range(2)] == ACCEPTED
        socket = server.open(address)
        create(socket, "hello", 100_000)
        assert socket.next()["code"] == "address_limit"
        # What the client itself wrote to the left of the proxy's word changes nothing.
        forged = server.open(f"203.0.113.9, {address}")
        create(forged, "hello", 100_000)
        assert forged.next()["code"] == "address_limit"


def test_without_a_trusted_proxy_the_header_is_ignored(tmp_path: Path) -> None:
    with serving(tmp_path, CHATSTREAM_TRUSTED_PROXIES="") as server:
        limit = int(ENV["CHATSTREAM_MAX_PER_ADDRESS"])
        opened = [server.open() for _ in range(limit + 1)]
        for socket in opened[:-1]:
            create(socket, "hello", 100_000)
            assert [socket.next()["type"] for _ in range(2)] == ACCEPTED
        create(opened[-1], "hello", 100_000)
        assert opened[-1].next()["code"] == "address_limit"
        opened += [server.open() for _ in range(MAX_SOCKETS - len(opened))]
        beyond = server.raw("X-Forwarded-For: 198.51.100.77")
        assert beyond.rest()[1] == 4429
        server.hang_up()
        eventually(lambda: server.open_rows() == 0, "open responses are left")
        assert faults_in(server.web.lines) == []
