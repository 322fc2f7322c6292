"""A server that does as a test says, one script per connection."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from websockets.asyncio.server import ServerConnection, serve

PATIENCE = 60.0
SESSION = {
    "type": "session.created",
    "protocol_version": 1,
    "model": "scripted",
    "service": "ready",
    "limits": {"max_input_chars": 1000, "max_tokens": 100, "context_tokens": None},
    "session_token": "token-1",
}


class Line:
    """The server's end of one connection."""

    def __init__(self, socket: ServerConnection) -> None:
        self.socket = socket

    async def greet(self, **fields: Any) -> None:
        await self.send(**{**SESSION, **fields})

    async def send(self, type: str, **fields: Any) -> None:
        await self.socket.send(json.dumps({"type": type, **fields}))

    async def heard(self, type_: str) -> dict[str, Any]:
        """The next client event, which must be of a type."""
        async with asyncio.timeout(PATIENCE):
            event: dict[str, Any] = json.loads(await self.socket.recv())
        assert event["type"] == type_, event
        return event

    async def resumed(self, token: str = "token-1") -> None:
        """Greet a client that comes back."""
        await self.greet(session_token="token-2")
        assert (await self.heard("session.resume"))["session_token"] == token
        await self.greet(session_token=token)

    async def accept(self) -> str:
        """Take the next prompt; its id."""
        response_id: str = (await self.heard("response.create"))["response_id"]
        await self.queued(response_id)
        return response_id

    async def queued(self, response_id: str, position: int | None = 1) -> None:
        await self.send(
            "response.queued", conversation_id=response_id, **place(response_id, position)
        )

    async def position(self, response_id: str, position: int) -> None:
        await self.send("response.queue_position", **place(response_id, position))

    async def begin(self, response_id: str, number: int = 1) -> None:
        await self.send(
            "response.in_progress",
            sequence_number=number,
            response_id=response_id,
            prompt_tokens=1,
            trimmed_messages=0,
        )

    async def delta(self, response_id: str, number: int, text: str, offset: int) -> None:
        await self.send(
            "response.output_text.delta",
            sequence_number=number,
            response_id=response_id,
            delta=text,
            offset=offset,
        )

    async def done(self, response_id: str, number: int, text: str, **fields: Any) -> None:
        await self.send("response.done", **{**done(response_id, number, text), **fields})

    async def error(self, code: str, cause: dict[str, Any] | None = None, **fields: Any) -> None:
        event_id = cause and cause.get("event_id")
        await self.send(
            "error", **{"code": code, "message": f"({code})", "event_id": event_id, **fields}
        )

    def cut(self) -> None:
        self.socket.transport.abort()


def place(response_id: str, position: int | None) -> dict[str, Any]:
    return {
        "response_id": response_id,
        "position": position,
        "size": 3,
        "eta_seconds": 1.5,
        "workers": 1,
        "service": "ready",
    }


def done(response_id: str, number: int, text: str) -> dict[str, Any]:
    return {
        "sequence_number": number,
        "response_id": response_id,
        "status": "completed",
        "finish_reason": "stop",
        "text": text,
        "usage": {"prompt_tokens": 1, "completion_tokens": 1},
        "timings": {"queue_ms": 1, "ttft_ms": 1, "total_ms": 1},
        "error": None,
    }


Script = Callable[[Line], Awaitable[None]]


class Server:
    """Its connections follow `scripts` in turn; `faults` has what they found wrong."""

    def __init__(self) -> None:
        self.url = ""
        self.connections = 0
        self.faults: list[BaseException] = []


@contextlib.asynccontextmanager
async def scripted(*scripts: Script, **options: Any) -> AsyncIterator[Server]:
    """A server on a free port. Scripts that fail fail the test."""
    server = Server()

    async def handle(socket: ServerConnection) -> None:
        number = server.connections
        server.connections += 1
        try:
            assert number < len(scripts), "one connection too many"
            await scripts[number](Line(socket))
        except Exception as error:
            server.faults.append(error)
            socket.transport.abort()

    async with serve(handle, "127.0.0.1", 0, max_size=None, **options) as listening:
        port = next(iter(listening.sockets)).getsockname()[1]
        server.url = f"ws://127.0.0.1:{port}/ws/chat/"
        try:
            async with asyncio.timeout(PATIENCE * 2):
                yield server
        except BaseException:
            if server.faults:
                raise server.faults[0] from None
            raise
    if server.faults:
        raise server.faults[0]


async def stay(line: Line) -> None:
    """Until the client leaves."""
    await line.socket.wait_closed()
