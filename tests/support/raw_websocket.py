"""A WebSocket client that keeps no rules: frames and handshakes are written byte by byte."""

from __future__ import annotations

import json
import socket
import struct
import time
from collections.abc import Iterable
from select import select
from typing import Any
from urllib.parse import urlsplit

from tests.support.endings import ending, is_end

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA

PATIENCE = 30.0


def address_of(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    assert parts.hostname
    assert parts.port
    return parts.hostname, parts.port


def handshake(url: str, headers: Iterable[str] = ()) -> bytes:
    """A correct opening request; `headers` are added as they are."""
    host, port = address_of(url)
    lines = [
        "GET /ws/chat/ HTTP/1.1",
        f"Host: {host}:{port}",
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Version: 13",
        *headers,
        "",
        "",
    ]
    return "\r\n".join(lines).encode("latin-1")


def frame(payload: bytes | str, opcode: int = TEXT, *, final: bool = True) -> bytes:
    """One client frame. Its mask is zero, which masks nothing and is allowed."""
    data = payload.encode() if isinstance(payload, str) else payload
    first = opcode | (0x80 if final else 0)
    if len(data) < 126:
        head = struct.pack("!BB", first, 0x80 | len(data))
    elif len(data) < 65536:
        head = struct.pack("!BBH", first, 0x80 | 126, len(data))
    else:
        head = struct.pack("!BBQ", first, 0x80 | 127, len(data))
    return head + bytes(4) + data


class FrameReader:
    """Cuts what a server sends into frames; servers do not mask."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        """The opcode and payload of every frame that is complete now."""
        self._buffer += data
        frames = []
        while (end := self._end()) is not None:
            start, stop = end
            frames.append((self._buffer[0] & 0x0F, bytes(self._buffer[start:stop])))
            del self._buffer[:stop]
        return frames

    def _end(self) -> tuple[int, int] | None:
        if len(self._buffer) < 2:
            return None
        start, length = 2, self._buffer[1] & 0x7F
        if length >= 126:
            size = 2 if length == 126 else 8
            start += size
            if len(self._buffer) < start:
                return None
            length = int.from_bytes(self._buffer[2:start], "big")
        return (start, start + length) if len(self._buffer) >= start + length else None


class RawSocket:
    """A blocking client; `small` gives it a receive buffer that is soon full."""

    def __init__(self, url: str, headers: Iterable[str] = (), *, small: bool = False) -> None:
        self.socket = socket.socket()
        if small:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.socket.settimeout(PATIENCE)
        self.socket.connect(address_of(url))
        self._reader = FrameReader()
        self._frames: list[tuple[int, bytes]] = []
        self.socket.sendall(handshake(url, headers))
        head = b""
        while b"\r\n\r\n" not in head:
            data = self.socket.recv(1)  # not a byte of the frames behind it
            assert data, f"closed in the handshake: {head!r}"
            head += data
        self.status = int(head.split()[1])
        self.greeting: dict[str, Any] = {}

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def event(self, type_: str, **fields: Any) -> None:
        self.send(frame(json.dumps({"type": type_, **fields})))

    def next_frame(self) -> tuple[int, bytes] | None:
        """The next frame, None once the connection has ended."""
        while not self._frames:
            try:
                data = self.socket.recv(65536)
            except ConnectionError:
                return None
            if not data:
                return None
            self._frames += self._reader.feed(data)
        return self._frames.pop(0)

    def take_in(self) -> None:
        """Read what is there, so that the server can go on sending."""
        while select([self.socket], [], [], 0)[0] and (data := self.socket.recv(65536)):
            self._frames += self._reader.feed(data)

    def frames_there(self) -> list[tuple[int, bytes]]:
        """The frames that can be had without waiting."""
        self.take_in()
        found, self._frames = self._frames, []
        return found

    def next(self) -> dict[str, Any]:
        """The next event, of a last one its `ending`; fails when the connection ends or is closed
        instead."""
        while (found := self.next_frame()) and found[0] == PONG:
            pass
        assert found, "the connection ended"
        assert found[0] == TEXT, found
        event: dict[str, Any] = json.loads(found[1])
        return ending(event) if is_end(event) else event

    def until(self, type_: str) -> dict[str, Any]:
        while (event := self.next())["type"] != type_:
            pass
        return event

    def rest(self) -> tuple[list[dict[str, Any]], int | None]:
        """Everything up to the end, and the close code (None: the connection was cut)."""
        events = []
        while found := self.next_frame():
            if found[0] == TEXT:
                events.append(json.loads(found[1]))
            if found[0] == CLOSE:
                return events, int.from_bytes(found[1][:2], "big")
        return events, None

    def is_cut(self, seconds: float = PATIENCE) -> bool:
        """Whether the server ends the connection while we read nothing of what it sent."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            try:
                self.send(frame("", PONG))
            except ConnectionError:
                return True
            time.sleep(0.1)
        return False

    def reset(self) -> None:
        """End with RST, as a machine that lost its memory does."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def close(self) -> None:
        self.socket.close()
