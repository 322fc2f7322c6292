"""A plain WebSocket client of a running server."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from websockets.asyncio.client import ClientConnection, connect

from tests.support.endings import ending, is_end

PATIENCE = 120.0


async def open_chat(url: str, **options: Any) -> ClientConnection:
    """A connected socket, its `chatstream:session` read."""
    socket = await connect(url, open_timeout=PATIENCE, **options)
    greeting = await receive(socket)
    assert greeting["type"] == "chatstream:session", greeting
    return socket


async def send(socket: ClientConnection, type_: str, **fields: Any) -> None:
    await socket.send(json.dumps({"type": type_, **fields}))


async def receive(socket: ClientConnection) -> dict[str, Any]:
    """The next event; of a last one its `ending`."""
    async with asyncio.timeout(PATIENCE):
        event: dict[str, Any] = json.loads(await socket.recv())
        return ending(event) if is_end(event) else event


async def events_to_end(socket: ClientConnection) -> list[dict[str, Any]]:
    """All events up to the last one of the response or an `error`, that one included."""
    events = [await receive(socket)]
    while not (is_end(events[-1]) or events[-1]["type"] == "error"):
        events.append(await receive(socket))
    return events


async def ask(url: str, text: str, **fields: Any) -> list[dict[str, Any]]:
    """One prompt on a socket of its own; all its events."""
    socket = await open_chat(url)
    try:
        await send(socket, "response.create", input=text, **fields)
        return await events_to_end(socket)
    finally:
        await socket.close()
