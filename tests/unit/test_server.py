"""What an HTTP response may pile up for a reader who does not read, how sockets are written to, and
whom the end of the server ends."""

from __future__ import annotations

import asyncio
import gc
import logging
import time
from typing import Any

import pytest
from daphne import server as daphne_server

from streaming.delivery import subscription
from streaming.deployment import slow_readers
from streaming.deployment.garbage import GarbageCollection
from streaming.deployment.outbox import Outbox
from streaming.deployment.server import ChatServer
from tests.support.passing_time import stays


class Transport:
    """Holds what is written, as Twisted's does, until somebody reads."""

    def __init__(self) -> None:
        self.dataBuffer = b""
        self.offset = 0
        self._tempDataLen = 0
        self.aborted = False

    def abortConnection(self) -> None:
        self.aborted = True


class Protocol:
    def __init__(self) -> None:
        self.transport = Transport()

    def handle_reply(self, message: dict[str, Any]) -> None:
        self.transport.dataBuffer += message["body"]


@pytest.fixture
def protocol() -> Protocol:
    return Protocol()


@pytest.fixture
def chat_server(protocol: Protocol) -> ChatServer:
    found = ChatServer(application=None, endpoints=["tcp:0"], embedded_worker=False)
    found.connections = {protocol: {}}
    return found


def part(size: int, *, more: bool = True) -> dict[str, Any]:
    return {"type": "http.response.body", "body": b"x" * size, "more_body": more}


async def test_the_next_part_waits_for_the_reader(
    chat_server: ChatServer, protocol: Protocol
) -> None:
    await chat_server.handle_reply(protocol, part(1000))
    sending = asyncio.create_task(chat_server.handle_reply(protocol, part(2_000_000)))
    await stays(lambda: not sending.done(), 0.1)
    protocol.transport.offset = len(protocol.transport.dataBuffer) - 1000
    await asyncio.wait_for(sending, 20)
    assert not protocol.transport.aborted


async def test_the_last_part_waits_for_nobody(chat_server: ChatServer, protocol: Protocol) -> None:
    await chat_server.handle_reply(protocol, part(2_000_000, more=False))


async def test_who_reads_nothing_any_more_is_cut(
    chat_server: ChatServer, protocol: Protocol, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slow_readers, "_DOWNLOAD_PATIENCE_SECONDS", 0.1)
    await asyncio.wait_for(chat_server.handle_reply(protocol, part(2_000_000)), 20)
    assert protocol.transport.aborted


class Socket(Transport):
    """A transport whose network takes `room` bytes, and the times it was written to."""

    def __init__(self, room: int = 1000, fault: Exception | None = None) -> None:
        super().__init__()
        self.connected = True
        self.room = room
        self.fault = fault
        self.written: list[bytes] = []
        self.left_to_twisted = 0

    def write(self, data: bytes) -> None:
        self.dataBuffer += data
        self.startWriting()

    def startWriting(self) -> None:
        self.left_to_twisted += 1

    def doWrite(self) -> Exception | None:
        self.written.append(self.dataBuffer[: self.room])
        self.dataBuffer = self.dataBuffer[self.room :]
        return self.fault


async def written_soon(*sockets: Socket) -> None:
    outbox = Outbox()
    for socket in sockets:
        outbox.take(socket)
        socket.write(b"one ")
        socket.write(b"two ")
        assert not socket.written
    await asyncio.sleep(0)


async def test_what_is_sent_in_one_round_is_written_together() -> None:
    sockets = Socket(), Socket()
    await written_soon(*sockets)
    for socket in sockets:
        assert (socket.written, socket.left_to_twisted) == ([b"one two "], 0)


async def test_what_a_socket_does_not_take_is_left_to_twisted() -> None:
    socket = Socket(room=3)
    await written_soon(socket)
    assert (socket.written, socket.left_to_twisted) == ([b"one"], 1)


async def test_a_fault_is_left_to_twisted() -> None:
    socket = Socket(fault=ConnectionResetError())
    await written_soon(socket)
    assert socket.left_to_twisted == 1


async def test_a_lost_connection_is_not_written_to() -> None:
    socket = Socket()
    socket.connected = False
    await written_soon(socket)
    assert (socket.written, socket.left_to_twisted) == ([], 0)


async def test_who_comes_while_it_ends_keeps_no_application_running(
    chat_server: ChatServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A request that stands in line has no application, over which Daphne would stumble."""

    async def one_comes(seconds: float) -> None:
        chat_server.connections[Protocol()] = {}

    monkeypatch.setattr(subscription, "all_ended", one_comes)
    consumer = asyncio.create_task(asyncio.sleep(60))
    chat_server.connections = {Protocol(): {"application_instance": consumer}, Protocol(): {}}
    await chat_server.kill_all_applications().asFuture(asyncio.get_running_loop())
    assert consumer.cancelled()


async def test_a_crowd_that_does_not_end_is_one_line(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A thousand clients left together, and what they asked for has not ended since."""
    found = ChatServer(application=None, endpoints=["tcp:0"], embedded_worker=False)
    monkeypatch.setattr(daphne_server.reactor, "callLater", lambda *args: None)
    left = time.time() - 60
    endless = [asyncio.create_task(asyncio.Event().wait()) for _ in range(1000)]
    found.connections = {
        Protocol(): {"application_instance": task, "disconnected": left} for task in endless
    }
    stays = asyncio.create_task(asyncio.Event().wait())
    found.connections[Protocol()] = {"application_instance": stays}
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            found.application_checker()
            found.end_late()
    await asyncio.wait(endless, timeout=20)
    assert all(task.cancelled() for task in endless)
    assert not stays.done()
    stays.cancel()
    assert len(caplog.records) == 1
    assert caplog.records[0].getMessage().startswith("1,000 ")


def test_garbage_is_collected_when_a_crowd_has_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not while it leaves, unless very many do."""
    collected: list[int] = []
    monkeypatch.setattr(gc, "collect", lambda: collected.append(1))
    garbage = GarbageCollection()
    looks = [(1000, 0), (1000, 0), (1500, 0), (2000, 0), (2000, 0), (6000, 0), (1500, 8000)]
    assert [garbage.look(*look) for look in looks] == [
        False,  # too few
        False,
        False,
        False,
        True,  # no more end
        True,  # too many to wait for that
        False,  # few beside those who are there
    ]
    assert len(collected) == 2
