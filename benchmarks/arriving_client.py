"""A client that arrives in a crowd: it connects, is greeted, asks, and notes what comes of it.

It does as little as possible, so that thousands a minute fit beside the server that they measure.
"""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections.abc import Sequence
from typing import Any

from tests.support.raw_websocket import PING, PONG, TEXT, FrameReader, address_of, frame, handshake

RESET, SILENT = "reset", "silent"


class ArrivingClient(asyncio.Protocol):
    """`outcome` is `accepted`, the code of an `error`, `http` and a status, `reset` (the connection
    ended without a word), or `silent`. Moments are seconds by `time.perf_counter`."""

    def __init__(self, url: str, asks: bytes, ended: asyncio.Event) -> None:
        self.outcome = ""
        self.began = time.perf_counter()
        self.greeted = 0.0
        self.told = 0.0
        self._opening = handshake(url)
        self._asks = asks
        self._ended = ended
        self._reader = FrameReader()
        self._head: bytes | None = b""
        self.transport: Any = None

    def connection_made(self, transport: Any) -> None:
        """Ask for the WebSocket."""
        self.transport = transport
        transport.write(self._opening)

    def data_received(self, data: bytes) -> None:
        """Take what the server says, until the outcome is known."""
        if self.outcome:
            return
        if self._head is not None:
            self._head += data
            head, separator, data = self._head.partition(b"\r\n\r\n")
            if not separator:
                return
            self._head = None
            status = head.split(b" ", 2)[1].decode()
            if status != "101":
                self._end(f"http {status}")
                return
        for opcode, payload in self._reader.feed(data):
            if opcode == TEXT:
                self._take(payload)
            elif opcode == PING:
                self.transport.write(frame(payload, PONG))

    def _take(self, payload: bytes) -> None:
        if b'"type":"chatstream:session"' in payload:
            self.greeted = time.perf_counter()
            self.transport.write(self._asks)
        elif b'"type":"response.queued"' in payload:
            self._end("accepted")
        elif b'"type":"error"' in payload:
            self._end(str(json.loads(payload)["code"]))

    def connection_lost(self, error: Exception | None) -> None:
        """Note the end of the connection, which is a reset unless the outcome is known."""
        self._end(RESET)

    def _end(self, outcome: str) -> None:
        if not self.outcome:
            self.outcome = outcome
            self.told = time.perf_counter()
            self._ended.set()


def asking(prompt: str, max_tokens: int) -> bytes:
    """Return the frame that asks for an answer."""
    params = {"max_tokens": max_tokens}
    return frame(json.dumps({"type": "response.create", "input": prompt, "params": params}))


def source_of(number: int, each: int) -> str:
    """Return a loopback address for the `number`-th client, `each` clients to an address. On Linux
    all of 127.0.0.0/8 is there, elsewhere 127.0.0.1 alone."""
    number //= each
    return f"127.{1 + number // 62_500}.{number // 250 % 250}.{1 + number % 250}"


async def arrive(
    url: str, count: int, rate: float, prompt: str, max_tokens: int, *, each: int, patience: float
) -> list[ArrivingClient]:
    """Let `count` clients arrive, `rate` a second; `each` of them share a source address (0: all
    do). Returns when each has its outcome, or after `patience` seconds without any news.
    """
    host, port = address_of(url)
    loop = asyncio.get_running_loop()
    news, asks = asyncio.Event(), asking(prompt, max_tokens)
    clients: list[ArrivingClient] = []
    connecting: set[asyncio.Task[None]] = set()

    async def connect(client: ArrivingClient, source: str | None) -> None:
        one = socket.socket()
        one.setblocking(False)
        try:
            if source:
                one.bind((source, 0))
            await loop.sock_connect(one, (host, port))
            await loop.create_connection(lambda: client, sock=one)
        except OSError:
            one.close()
            client._end(RESET)

    began = time.perf_counter()
    for number in range(count):
        wait = began + number / rate - time.perf_counter()
        if wait > 0:
            await asyncio.sleep(wait)
        client = ArrivingClient(url, asks, news)
        clients.append(client)
        task = asyncio.create_task(connect(client, source_of(number, each) if each else None))
        connecting.add(task)
        task.add_done_callback(connecting.discard)
    while not all(client.outcome for client in clients):
        news.clear()
        try:
            async with asyncio.timeout(patience):
                await news.wait()
        except TimeoutError:
            break
        await asyncio.sleep(0.05)
    for task in connecting:
        task.cancel()
    for client in clients:
        client._end(SILENT)
    return clients


async def leave(clients: Sequence[ArrivingClient]) -> None:
    """Abort all connections at once."""
    for client in clients:
        if client.transport:
            client.transport.abort()
    await asyncio.sleep(0)  # they close in the loop's next round
