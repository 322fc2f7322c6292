"""A plain WebSocket client of a running server."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from websockets.asyncio.client import ClientConnection, connect

PATIENCE = 120.0


async def open_chat(url: str, **options: Any) -> ClientConnection:
    """A connected socket, its `session.created` read."""
    socket = await connect(url, open_timeout=PATIENCE, **options)
    greeting = await receive(socket)
    assert greeting["type"] == "session.created", greeting
    return socket


async def send(socket: ClientConnection, type_: str, **fields: Any) -> None:
    await socket.send(json.dumps({"type": type_, **fields}))


async def receive(socket: ClientConnection) -> dict[str, Any]:
    async with asyncio.timeout(PATIENCE):
        event: dict[str, Any] = json.loads(await socket.recv())
        return event


async def events_to_end(socket: ClientConnection) -> list[dict[str, Any]]:
    """All events up to the `response.done` or `error`, that one included."""
    events = [await receive(socket)]
    while events[-1]["type"] not in ("response.done", "error"):
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
