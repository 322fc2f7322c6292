"""What the socket of `/v1/responses` sends: a response's events as its owner is shown them, and
errors in an envelope with their status."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from streaming.api.errors import ApiError
from streaming.api.responses.shown import Shown
from streaming.protocol.response_events import TERMINAL_TYPES
from streaming.sockets.socket_writer import SocketWriter


@dataclass(slots=True)
class Told:
    """One response as its events are told. `lane` is the `stream_id` that the client gave it,
    `also` what the resource has besides, `last` the resource in the last event, when that is
    sent."""

    shown: Shown
    lane: str | None
    also: Mapping[str, Any] = field(default_factory=dict)
    last: asyncio.Future[dict[str, Any]] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )


class ResponseWriter(SocketWriter):
    """Sends the events of one response after the other, as long as the socket's `state` allows."""

    def __init__(self, send: Callable[[dict[str, Any]], Awaitable[None]]) -> None:
        super().__init__(send)
        self._told: Told | None = None

    def begin(self, told: Told) -> None:
        """Send the events of another response from now on."""
        self._told = told

    def end(self) -> None:
        """Send no more events of the response: it was refused, or its last one is sent."""
        self._told = None

    async def send(self, text: str) -> None:
        """Send an event of the response, without waiting for the reader."""
        await self._show(super().send, text)

    async def send_with_backpressure(self, text: str) -> None:
        """Send an event of the response, one of many, at the reader's pace."""
        await self._show(super().send_with_backpressure, text)

    async def send_json(self, fields: Mapping[str, Any], lane: str | None = None) -> None:
        """Send what is no event of a response, as one of the lane that its message named."""
        told = fields if lane is None else {**fields, "stream_id": lane}
        await super().send(_dumped(told))

    async def send_refusal(self, error: ApiError, lane: str | None = None) -> None:
        """Send an error."""
        said = error.body["error"]
        if error.headers:
            said = {**said, "headers": dict(error.headers)}
        await self.send_json({"type": "error", "status": error.status, "error": said}, lane)

    async def _show(self, send: Callable[[str], Awaitable[None]], text: str) -> None:
        told = self._told
        if told is None:
            return  # a position of one that has ended meanwhile
        event = told.shown.event(json.loads(text))
        if event is None:
            return
        if "response" in event:
            event["response"].update(told.also)
        if told.lane is not None:
            event["stream_id"] = told.lane
        await send(_dumped(event))
        if event["type"] in TERMINAL_TYPES:
            self._told = None
            if not told.last.done():
                told.last.set_result(event["response"])


def _dumped(fields: Mapping[str, Any]) -> str:
    return json.dumps(fields, ensure_ascii=False, separators=(",", ":"))
