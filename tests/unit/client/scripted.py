"""A server that does as a test says, one script per connection."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from uuid import UUID

from websockets.asyncio.server import ServerConnection, serve

from streaming.protocol import ids
from streaming.protocol.base import PROTOCOL_VERSION
from streaming.protocol.response_events import (
    OutputTextDelta,
    ResponseCreated,
    ResponseEvent,
    ResponseQueued,
    ResponseQueuePosition,
    TextExtension,
)
from streaming.worker.output_writer import OutputWriter, Part
from tests.unit.client.told import TEXT, answer, ended, resource

PATIENCE = 60.0
SESSION = {
    "type": "chatstream:session",
    "protocol_version": PROTOCOL_VERSION,
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
        assert (await self.heard("chatstream:session"))["session_token"] == token
        await self.greet(session_token=token)

    async def accept(self) -> str:
        """Take the next prompt; its id."""
        response_id: str = (await self.heard("response.create"))["response_id"]
        await self.queued(response_id)
        return response_id

    async def queued(self, response_id: str, position: int | None = 1) -> None:
        shown = resource(UUID(response_id), "queued")
        await self.event(ResponseCreated(response_id=response_id, response=shown))
        fields = place(response_id, position) | {"conversation_id": response_id}
        await self.event(ResponseQueued(response=shown, **fields))

    async def position(self, response_id: str, position: int) -> None:
        await self.event(ResponseQueuePosition(**place(response_id, position)))

    async def begin(self, response_id: str, number: int = 1) -> None:
        """An answer begins with a text: three events, from `number` on."""
        log = answer([(TEXT, "")], UUID(response_id), number)[:3]
        for event in log:
            await self.event(event)

    async def delta(self, response_id: str, number: int, text: str, offset: int) -> None:
        await self.event(
            OutputTextDelta(
                response_id=response_id,
                sequence_number=number,
                item_id=ids.wire_id(ids.MESSAGE, response_id, 0),
                output_index=0,
                content_index=0,
                delta=text,
                chatstream=TextExtension(offset=offset),
            )
        )

    async def done(
        self,
        response_id: str,
        number: int,
        text: str,
        status: str = "completed",
        error: tuple[str, str] | None = None,
        **fields: Any,
    ) -> None:
        """The end with the whole text, without the ends of its parts before it."""
        writer = OutputWriter(UUID(response_id))
        list(writer.write([Part(TEXT, text)] if text else []))
        await self.event(ended(UUID(response_id), number, writer, status, error), **fields)

    async def event(self, event: ResponseEvent, **fields: Any) -> None:
        """An event, with its number as the waiting list writes it into what it stores."""
        numbered = {"sequence_number": event.sequence_number}
        await self.send(**{**numbered, **event.model_dump(mode="json"), **fields})

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
