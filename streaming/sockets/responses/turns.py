"""The turns of one socket: each is a `response.create`, answered before the next one begins."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

from streaming import conf
from streaming.api import strict_json
from streaming.api.errors import ApiError, of_fault
from streaming.system.outages import log_fault
from streaming.system.token_bucket import TokenBucket

logger = logging.getLogger(__name__)

MOST_WAITING = 32
"""Maximum messages that wait for their turn."""

_LARGE_FRAME = 65_536
"""A frame of so many characters counts as two, one of twice as many as three."""

_MOST_REFUSED = 100
"""Refused frames after which the socket is closed; one is forgotten every second."""

_MOST_LANE_CHARS = 200

NEVER_SENT: dict[str, tuple[object, ...]] = {
    "stream": (None, True),
    "stream_options": (None,),
    "background": (None, False),
}
"""Fields that have no meaning on a socket, with the values that ask for nothing else than what is
done."""


class Frames(Protocol):
    """Whoever sends what a turn says."""

    async def send_refusal(self, error: ApiError, lane: str | None) -> None:
        """Send an error, as one of the lane (`stream_id`) that the client named."""

    async def send_json(self, fields: Mapping[str, Any]) -> None:
        """Send an event of ours that is no response's."""


class Turns:
    """Takes the frames of one client and answers them one after another.

    `answer` answers the fields of a `response.create`, and returns when its last event is sent;
    ApiError becomes an error of the turn. `close` closes the socket with a code.
    """

    def __init__(
        self,
        frames: Frames,
        answer: Callable[[dict[str, Any], str | None], Awaitable[None]],
        close_flood: Callable[[], Awaitable[None]],
    ) -> None:
        self._frames = frames
        self._answer = answer
        self._close_flood = close_flood
        self._waiting: asyncio.Queue[str] = asyncio.Queue(MOST_WAITING)
        self._rate = TokenBucket(conf.get().max_events_per_second)
        self._refusals = TokenBucket(1, burst=_MOST_REFUSED)
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to answer."""
        self._task = asyncio.create_task(self._answer_all())

    def stop(self) -> None:
        """Answer no more. What is being answered is cancelled."""
        if self._task:
            self._task.cancel()

    async def put(self, text: str | None, data: bytes | None) -> None:
        """Take a frame; refuse what is too much, or no text."""
        size = len(text or data or "")
        if not self._rate.take(1 + size / _LARGE_FRAME) or self._waiting.full():
            message = "Too many messages at once: one is answered after the other."
            await self._frames.send_refusal(ApiError(429, "rate_limited", message), None)
            if not self._refusals.take():
                await self._close_flood()
        elif text is None:
            message = "Send text frames with JSON, not binary ones."
            await self._frames.send_refusal(ApiError(400, "invalid_json", message), None)
        else:
            self._waiting.put_nowait(text)

    async def _answer_all(self) -> None:
        while True:
            text = await self._waiting.get()
            lane: str | None = None
            try:
                fields = _parsed(text)
                lane = _lane_of(fields)
                await self._handle(fields, lane)
            except ApiError as error:
                await self._frames.send_refusal(error, lane)
            except Exception as error:
                log_fault(logger, error, "A message on the socket of responses failed.")
                await self._frames.send_refusal(of_fault(error), lane)

    async def _handle(self, fields: dict[str, Any], lane: str | None) -> None:
        match fields.get("type"):
            case "response.create":
                _refuse_transport(fields)
                await self._answer(fields, lane)
            case "response.steer":
                await self._frames.send_json(_not_steered(fields))
            case kind:
                message = f"Messages here are of type `response.create`, not {str(kind)[:100]!r}."
                raise ApiError(400, "invalid_value", message, "type")


def _parsed(text: str) -> dict[str, Any]:
    try:
        fields = strict_json.parsed(text)
    except ValueError as error:
        raise ApiError(400, "invalid_json", f"The message is not valid JSON: {error}.") from None
    if not isinstance(fields, dict):
        raise ApiError(400, "invalid_json", "The message must be one JSON object.")
    return fields


def _lane_of(fields: Mapping[str, Any]) -> str | None:
    lane = fields.get("stream_id")
    if lane is not None and not (isinstance(lane, str) and len(lane) <= _MOST_LANE_CHARS):
        message = f"`stream_id` is a text of at most {_MOST_LANE_CHARS} characters."
        raise ApiError(400, "invalid_value", message, "stream_id")
    return lane


def _refuse_transport(fields: Mapping[str, Any]) -> None:
    for name, allowed in NEVER_SENT.items():
        if name in fields and not any(fields[name] is value for value in allowed):
            message = f"`{name}` is not sent on a WebSocket, which always streams."
            raise ApiError(400, "unsupported_parameter", message, name)


def _not_steered(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the refusal of input for an answer that is being generated."""
    steered = {name: fields.get(name) for name in ("input", "previous_response_id")}
    message = "What is said while an answer is generated cannot change it here."
    error = {"type": "invalid_request_error", "code": "steering_not_supported", "message": message}
    return {
        "type": "response.steer.failed",
        "sequence_number": 0,
        "error": error,
        "steer": steered,
    }
