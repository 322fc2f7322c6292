"""What attackers do, each from addresses of its own on the loopback, for a bounded time.

`python -m tests.faults.siege.attacks HOST PORT SECONDS NAME...` runs some of them side by side in
a process that leaves the cores to the server, and prints what they counted as JSON.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import resource
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from uuid import uuid4

from tests.support.endings import is_end
from tests.support.raw_websocket import CLOSE, CONTINUATION, PING, PONG, TEXT, FrameReader, frame

HALF_OPEN = 1100
GIANTS = ((1000, 2400), (100, 2500))
"""Messages of so many characters: as much as a body may hold, and as a conversation may."""

BOMBS = (
    'say ```maple\n"' + " " * 40 + "\n```\n",
    "say ```systemd\n:" + " " * 490 + "\n```\n",
    "say ```ldif\n" + ("a:" + " " * 240 + "\n") * 15 + "```\n",
    "say ```autoit\n" + "$" * 490 + "\n```\n",
    "say ```python\n" + "(" * 480 + "\n" + '"""' * 150 + "\n```\n",
    "say " + "[" * 300 + "a](" * 100 + "**_" * 300,
    "say " + "http://" + "a." * 1500 + " " + "<" * 500,
    "say " + "| a " * 60 + "|\n" + "|-" * 60 + "|\n" + ("| b " * 60 + "|\n") * 20,
)

_BROKEN = (OSError, EOFError, asyncio.IncompleteReadError, ValueError, TimeoutError)
_LATE_SECONDS = 10.0
_PAUSE = 0.002  # of a flood on one socket: some thousand frames a second for each


class Attackers:
    """Where they attack, until when, and what they have counted."""

    def __init__(self, host: str, port: int, seconds: float) -> None:
        self.host, self.port = host, port
        self.until = time.monotonic() + seconds
        self.counts: Counter[str] = Counter()

    @property
    def go_on(self) -> bool:
        return time.monotonic() < self.until

    async def open(self, address: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        connecting = asyncio.open_connection(self.host, self.port, local_addr=(address, 0))
        return await asyncio.wait_for(connecting, 10)

    async def request(
        self, address: str, head: str, body: bytes = b"", cookie: str = ""
    ) -> tuple[int, str, bytes]:
        """A request's status, its cookies and its body; status 0 when the line was cut."""
        try:
            reader, writer = await self.open(address)
        except _BROKEN:
            return 0, "", b""
        try:
            lines = [f"{head} HTTP/1.1", f"Host: {self.host}:{self.port}", "Connection: close"]
            lines += [f"Cookie: {cookie}"] if cookie else []
            if body:
                lines += [f"Content-Length: {len(body)}", "Content-Type: application/json"]
            writer.write("\r\n".join([*lines, "", ""]).encode() + body)
            answer = await asyncio.wait_for(reader.read(), 60)
            start, _, rest = answer.partition(b"\r\n\r\n")
            set_ = [line for line in start.decode("latin-1").split("\r\n") if ":" in line]
            cookies = [
                line.split(":", 1)[1].split(";")[0].strip()
                for line in set_
                if line.lower().startswith("set-cookie:")
            ]
            return int(start.split()[1]), "; ".join(cookies), rest
        except (*_BROKEN, IndexError):
            return 0, "", b""
        finally:
            writer.close()


async def bombs(site: Attackers, number: int) -> None:
    """Have an answer written that is hard to show, read it as HTML, and open its page."""
    address = f"127.0.10.{number + 1}"
    chance = random.Random(number)
    while site.go_on:
        _, cookie, _ = await site.request(address, "GET /")
        socket = Socket(site, address, "/ws/chat/?markup=html&version=2", cookie)
        if not await socket.opened():
            await asyncio.sleep(0.2)
            continue
        conversation = await socket.ask(chance.choice(BOMBS))
        if conversation:
            status, _, _ = await site.request(address, f"GET /c/{conversation}/", cookie=cookie)
            site.counts[f"pages of bombs: {status}"] += 1
        socket.close()


async def giants(site: Attackers, number: int) -> None:
    """Ask with a conversation that is as long as a request may be."""
    address = f"127.0.11.{number + 1}"
    many, chars = GIANTS[number % len(GIANTS)]
    words = "word " * (chars // 5)
    roles = ["user", "assistant"] * (many // 2 - 1) + ["user"]
    messages = [{"role": role, "content": words} for role in roles]
    asked = {"model": "default", "messages": messages, "max_tokens": 4}
    body = json.dumps(asked).encode()
    while site.go_on:
        status, _, _ = await site.request(address, "POST /v1/chat/completions", body)
        site.counts[f"giants: {status}"] += 1
        await asyncio.sleep(0.05)


async def half_open(site: Attackers, number: int) -> None:
    """Connect and say nothing, or next to nothing."""
    address = f"127.0.12.{number % 250 + 1}"
    while site.go_on:
        try:
            reader, writer = await site.open(address)
        except _BROKEN:
            site.counts["half-open: refused"] += 1
            await asyncio.sleep(1)
            continue
        site.counts["half-open: opened"] += 1
        try:
            writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n" if number % 2 else b"")
            closing = asyncio.ensure_future(reader.read())
            while site.go_on and not closing.done():
                writer.write(b"X" if number % 2 else b"")
                await asyncio.wait([closing], timeout=3)
            closing.cancel()
            await asyncio.wait([closing])
            site.counts["half-open: closed by the server"] += site.go_on
        except _BROKEN:
            site.counts["half-open: reset"] += 1
        finally:
            writer.close()
        await asyncio.sleep(0.5)


async def frames(site: Attackers, number: int) -> None:
    """Pings, pongs, fragments without an end, and events that mean nothing."""
    address = f"127.0.13.{number + 1}"
    fragment = frame(" ", CONTINUATION, final=False)
    kinds = (
        (b"", frame(b"x" * 125, PING)),
        (b"", frame(b"x" * 125, PONG)),
        (frame("{", TEXT, final=False), fragment),
        (frame("{", TEXT, final=False), frame("", CONTINUATION, final=False)),
        (b"", frame('{"type": "nothing"}')),
    )
    first, again = kinds[number % len(kinds)]
    while site.go_on:
        socket = Socket(site, address, "/ws/chat/")
        if not await socket.opened():
            await asyncio.sleep(0.2)
            continue
        code = await socket.flood(first, again * 50)
        site.counts[f"floods: closed with {code}"] += 1
        socket.close()
        await asyncio.sleep(0.1)


async def visits(site: Attackers, number: int) -> None:
    """Look at pages without a cookie."""
    address = f"127.0.14.{number + 1}"
    while site.go_on:
        status, _, _ = await site.request(address, "GET /")
        site.counts[f"visits: {status}"] += 1
        await asyncio.sleep(0.02)


class Socket:
    """A WebSocket that reads along and keeps no rules."""

    def __init__(self, site: Attackers, address: str, path: str, cookie: str = "") -> None:
        self._site, self._address, self._path, self._cookie = site, address, path, cookie
        self._frames = FrameReader()
        self._writer: asyncio.StreamWriter | None = None

    async def opened(self) -> bool:
        try:
            self._reader, self._writer = await self._site.open(self._address)
            site = f"{self._site.host}:{self._site.port}"
            lines = [f"GET {self._path} HTTP/1.1", f"Host: {site}", f"Origin: http://{site}"]
            lines += ["Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13"]
            lines += ["Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="]
            lines += [f"Cookie: {self._cookie}"] if self._cookie else []
            self._writer.write("\r\n".join([*lines, "", ""]).encode())
            head = await asyncio.wait_for(self._reader.readuntil(b"\r\n\r\n"), 30)
            return b" 101 " in head.partition(b"\r\n")[0] + b" "
        except _BROKEN:
            return False

    async def ask(self, prompt: str) -> str:
        """Read an answer to its end; its conversation, empty if there is none."""
        assert self._writer
        counts, conversation, name = self._site.counts, "", str(uuid4())
        event = {"type": "response.create", "response_id": name, "input": prompt}
        self._writer.write(frame(json.dumps(event)))
        try:
            while True:
                for opcode, payload in await asyncio.wait_for(self._next(), 120):
                    if opcode != TEXT:
                        return conversation
                    told = json.loads(payload)
                    conversation = told.get("conversation_id", conversation)
                    if is_end(told) or told["type"] == "error":
                        how = told["response"]["status"] if is_end(told) else told["code"]
                        counts[f"asked: {how}"] += 1
                        return conversation
        except _BROKEN:
            counts["asked: cut"] += 1
            return conversation

    async def flood(self, first: bytes, again: bytes) -> str:
        """Send the same again and again; how the server closed."""
        assert self._writer
        self._writer.write(first)
        reading = asyncio.ensure_future(self._close_code())
        try:
            while self._site.go_on and not reading.done():
                self._writer.write(again)
                await self._writer.drain()
                await asyncio.sleep(_PAUSE)
            return str(await asyncio.wait_for(reading, 5)) if reading.done() else "nothing"
        except _BROKEN:
            return "nothing, but cut"
        finally:
            reading.cancel()

    async def _close_code(self) -> int | None:
        while True:
            for opcode, payload in await self._next():
                if opcode == CLOSE:
                    return int.from_bytes(payload[:2], "big")

    async def _next(self) -> list[tuple[int, bytes]]:
        data = await self._reader.read(65536)
        if not data:
            raise EOFError
        return self._frames.feed(data)

    def close(self) -> None:
        if self._writer:
            self._writer.close()


Attack = Callable[[Attackers, int], Awaitable[None]]
ATTACKS: dict[str, tuple[Attack, int]] = {
    "bombs": (bombs, 3),
    "giants": (giants, 4),
    "half_open": (half_open, HALF_OPEN),
    "frames": (frames, 10),
    "visits": (visits, 4),
}
"""Each attack, and how many do it at once."""


def _all(site: Attackers, names: list[str]) -> Iterator[Awaitable[None]]:
    for name in names:
        attack, many = ATTACKS[name]
        yield from (attack(site, number) for number in range(many))


async def _run(host: str, port: int, seconds: float, names: list[str]) -> Counter[str]:
    site = Attackers(host, port, seconds)
    attacking = [asyncio.ensure_future(one) for one in _all(site, names)]
    done, late = await asyncio.wait(attacking, timeout=seconds + _LATE_SECONDS)
    for one in late:
        one.cancel()
    for one in done:
        one.result()
    return site.counts


if __name__ == "__main__":
    os.nice(10)
    resource.setrlimit(
        resource.RLIMIT_NOFILE, (4096, resource.getrlimit(resource.RLIMIT_NOFILE)[1])
    )
    host_, port_, seconds_, *names_ = sys.argv[1:]
    print(json.dumps(asyncio.run(_run(host_, int(port_), float(seconds_), names_))))
