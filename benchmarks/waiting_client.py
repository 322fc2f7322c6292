"""A client that waits for its answer. It does as little as possible for each message, so that
thousands fit beside the server that they measure."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass, field
from typing import Any

from tests.support.raw_websocket import (
    CLOSE,
    PING,
    PONG,
    TEXT,
    FrameReader,
    address_of,
    frame,
    handshake,
)

_AT_ONCE = 50


_ENDS = [f'"type":"response.{end}"'.encode() for end in ("completed", "incomplete", "failed")]
"""What is in the last event of an answer, and in no other."""


@dataclass
class Tally:
    """What all clients received."""

    messages: int = 0
    positions: int = 0
    done: int = 0
    failed: list[str] = field(default_factory=list)
    lost: int = 0


class WaitingClient(asyncio.Protocol):
    """A client for one prompt. `told` counts the positions that it was sent; `answered` is the
    moment at which its answer ended, 0 before."""

    def __init__(self, url: str, tally: Tally) -> None:
        self.opened = asyncio.Event()
        self.told = 0
        self.queued = False
        self.answered = 0.0
        self._url = url
        self._tally = tally
        self._reader = FrameReader()
        self._head: bytearray | None = bytearray()

    def connection_made(self, transport: Any) -> None:
        """Ask for the WebSocket."""
        self.transport = transport
        transport.write(handshake(self._url))

    def data_received(self, data: bytes) -> None:
        """Take what the server says."""
        if self._head is not None:
            self._head += data
            _, separator, data = bytes(self._head).partition(b"\r\n\r\n")
            if not separator:
                return
            self._head = None
        for opcode, payload in self._reader.feed(data):
            if opcode == TEXT:
                self._take(payload)
            elif opcode == PING:
                self.transport.write(frame(payload, PONG))
            elif opcode == CLOSE:
                self._tally.failed.append(f"closed with {int.from_bytes(payload[:2], 'big')}")

    def _take(self, payload: bytes) -> None:
        self._tally.messages += 1
        if b'"type":"response.queued"' in payload or b':queue_position"' in payload:
            self.queued = True
            if b'"position":null' not in payload:
                self.told += 1
                self._tally.positions += 1
        elif any(end in payload for end in _ENDS):
            self.answered = time.perf_counter()
            status = json.loads(payload)["response"]["status"]
            if status in ("completed", "incomplete"):
                self._tally.done += 1
            else:
                self._tally.failed.append(status)
        elif b'"type":"chatstream:session"' in payload:
            self.opened.set()
        elif b'"type":"error"' in payload:
            self._tally.failed.append(json.loads(payload)["code"])

    def connection_lost(self, error: Exception | None) -> None:
        """Count the connection as lost."""
        self._tally.lost += 1
        self.opened.set()

    def ask(self, prompt: str, max_tokens: int) -> None:
        """Send one prompt, for an answer of at most `max_tokens` tokens."""
        params = {"max_tokens": max_tokens}
        event = {"type": "response.create", "input": prompt, "params": params}
        self.transport.write(frame(json.dumps(event)))


async def connect_all(url: str, count: int, tally: Tally) -> list[WaitingClient]:
    """Connect `count` sockets, and wait until the server has greeted each."""
    host, port = address_of(url)
    loop = asyncio.get_running_loop()
    clients: list[WaitingClient] = []
    while len(clients) < count:
        some = [WaitingClient(url, tally) for _ in range(min(_AT_ONCE, count - len(clients)))]
        for client in some:
            await loop.create_connection(lambda client=client: client, host, port)  # type: ignore[misc]
        await asyncio.gather(*(client.opened.wait() for client in some))
        clients += some
    return clients
