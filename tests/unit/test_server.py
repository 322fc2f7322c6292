"""What an HTTP response may pile up for a reader who does not read."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from streaming import server
from streaming.server import ChatServer


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
    await asyncio.sleep(0.1)
    assert not sending.done()
    protocol.transport.offset = len(protocol.transport.dataBuffer) - 1000
    await asyncio.wait_for(sending, 20)
    assert not protocol.transport.aborted


async def test_the_last_part_waits_for_nobody(chat_server: ChatServer, protocol: Protocol) -> None:
    await chat_server.handle_reply(protocol, part(2_000_000, more=False))


async def test_who_reads_nothing_any_more_is_cut(
    chat_server: ChatServer, protocol: Protocol, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "_DOWNLOAD_PATIENCE_SECONDS", 0.1)
    await asyncio.wait_for(chat_server.handle_reply(protocol, part(2_000_000)), 20)
    assert protocol.transport.aborted
