"""An OpenAI-compatible server that does as it is told, down to the bytes of the connection."""

from __future__ import annotations

import asyncio
import json
import threading
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

PATIENCE = 30.0

MODEL = {"id": "fake/model", "owned_by": "vllm", "max_model_len": 4096}


class Exchange:
    """One request for an answer, and the means to answer it."""

    def __init__(self, body: dict[str, Any], headers: dict[str, str], writer: Any) -> None:
        self.body = body
        self.headers = headers
        self.left = threading.Event()  # the client has closed the connection
        self.go_on = asyncio.Event()
        self._writer = writer

    @property
    def last(self) -> dict[str, Any]:
        message: dict[str, Any] = self.body["messages"][-1]
        return message

    async def refuse(self, status: int, said: Any = "", **headers: str) -> None:
        """Answer without a stream."""
        body = said.encode() if isinstance(said, str) else json.dumps(said).encode()
        await self._head(status, "application/json", headers, f"Content-Length: {len(body)}")
        self._writer.write(body)
        await self._writer.drain()

    async def begin(
        self, content_type: str = "text/event-stream; charset=utf-8", *, first: bool = True
    ) -> None:
        await self._head(200, content_type, {}, "Transfer-Encoding: chunked")
        if first:
            await self.chunk({"choices": [{"delta": {"role": "assistant", "content": ""}}]})

    async def say(self, *words: str, **fields: Any) -> None:
        for word in words:
            await self.chunk({"choices": [{"index": 0, "delta": {"content": word}}], **fields})

    async def end(self, reason: str = "stop", prompt: int = 11, completion: int = 0) -> None:
        """The reason, the usage, and `[DONE]`."""
        await self.chunk({"choices": [{"delta": {}, "finish_reason": reason}]})
        usage = {"prompt_tokens": prompt, "completion_tokens": completion}
        if completion:
            await self.chunk({"choices": [], "usage": usage})
        await self.data("[DONE]")
        await self.close()

    async def chunk(self, value: Any) -> None:
        await self.data(json.dumps(value))

    async def data(self, text: str) -> None:
        await self.raw(f"data: {text}\n\n".encode())

    async def raw(self, data: bytes) -> None:
        self._writer.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
        await self._writer.drain()

    async def close(self) -> None:
        """End the body properly."""
        self._writer.write(b"0\r\n\r\n")
        await self._writer.drain()

    def cut(self) -> None:
        """End the connection in the middle of the body."""
        self._writer.transport.abort()

    async def _head(
        self, status: int, content_type: str, headers: dict[str, str], *more: str
    ) -> None:
        lines = [f"HTTP/1.1 {status} Whatever", f"Content-Type: {content_type}", *more]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        self._writer.write("\r\n".join([*lines, "", ""]).encode())
        await self._writer.drain()


Act = Callable[[Exchange], Awaitable[None]]


def words(*said: str, reason: str = "stop", completion: int = 0) -> Act:
    """An answer of these words."""

    async def act(exchange: Exchange) -> None:
        await exchange.begin()
        await exchange.say(*said)
        await exchange.end(reason, completion=completion)

    return act


def refusal(status: int, said: Any = "", **headers: str) -> Act:
    async def act(exchange: Exchange) -> None:
        await exchange.refuse(status, said, **headers)

    return act


class FakeUpstream:
    """Each request for an answer is met by the next of `acts`, or else by "Hello there."

    Runs in a thread of its own, on the same port over `stop()` and `start()`.
    """

    def __init__(self) -> None:
        self.acts: deque[Act] = deque()
        self.models: Any = {"data": [MODEL]}
        self.models_status = 200
        self.paths = {"/v1/chat/completions"}  # those where it answers
        self.exchanges: list[Exchange] = []
        self.port = 0
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def bodies(self) -> list[dict[str, Any]]:
        return [exchange.body for exchange in self.exchanges]

    def exchange(self, number: int) -> Exchange:
        """The request of this number, counted from 0, once it is there."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.exchanges) > number, PATIENCE)
            return self.exchanges[number]

    def tell(self, exchange: Exchange) -> None:
        """Let an act that waits for `go_on` go on."""
        self._loop.call_soon_threadsafe(exchange.go_on.set)

    def start(self) -> FakeUpstream:
        listening = threading.Event()
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._serve(listening)), daemon=True
        )
        self._thread.start()
        assert listening.wait(PATIENCE)
        return self

    def stop(self) -> None:
        """Stop at once: connections are cut."""
        if self._thread is not None:
            self._loop.call_soon_threadsafe(self._ended.set)
            self._thread.join(PATIENCE)
            self._thread = None

    async def _serve(self, listening: threading.Event) -> None:
        self._loop, self._ended = asyncio.get_running_loop(), asyncio.Event()
        self._meetings: set[asyncio.Task[None]] = set()
        self._connections: list[asyncio.WriteTransport] = []
        server = await asyncio.start_server(
            self._meet, "127.0.0.1", self.port, limit=2**24, reuse_address=True
        )
        self.port = server.sockets[0].getsockname()[1]
        listening.set()
        await self._ended.wait()
        # A connection that asyncio's server has accepted and not met when it is closed stays open.
        for listener in server.sockets:
            self._loop.remove_reader(listener.fileno())
        await asyncio.sleep(0)
        server.close()
        for connection in self._connections:
            connection.abort()
        for task in self._meetings:
            task.cancel()
        await asyncio.gather(*self._meetings, return_exceptions=True)

    def _meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Not a coroutine: a task that is cancelled before its first step would close nothing."""
        self._connections.append(writer.transport)
        if self._ended.is_set():
            writer.transport.abort()
        else:
            task = asyncio.ensure_future(self._attend(reader, writer))
            self._meetings.add(task)
            task.add_done_callback(self._meetings.discard)

    async def _attend(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._serve_one(reader, writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    async def _serve_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first = await reader.readexactly(1)
        if first == b"\x16":
            return  # it speaks TLS, we do not
        head = (first + await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = {}
        for line in head[1:]:
            name, _, value = line.partition(": ")
            headers[name.lower()] = value
        path = head[0].split()[1]
        if path == "/v1/models":
            exchange = Exchange({}, headers, writer)
            return await exchange.refuse(self.models_status, self.models)
        if path not in self.paths:
            exchange = Exchange({}, headers, writer)
            return await exchange.refuse(404, {"detail": "Not Found"})
        body = json.loads(await reader.readexactly(int(headers["content-length"])))
        exchange = Exchange(body, headers, writer)
        with self._changed:
            act = self.acts.popleft() if self.acts else words("Hello", " there", ".")
            self.exchanges.append(exchange)
            self._changed.notify_all()
        acting = asyncio.ensure_future(act(exchange))
        try:
            leaving = asyncio.ensure_future(reader.read(1))
            await asyncio.wait([acting, leaving], return_when=asyncio.FIRST_COMPLETED)
            leaving.cancel()
            if not acting.done() or isinstance(acting.exception(), OSError):
                exchange.left.set()
            else:
                acting.result()
        finally:
            acting.cancel()
