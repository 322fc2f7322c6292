"""Reads server-sent events as pieces of an answer."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, Protocol

import httpx2

from streaming.engine.base import FinishReason
from streaming.engine.passed import Passed
from streaming.engine.upstream import error_responses, faults
from streaming.engine.upstream.bounds import Allowance
from streaming.engine.upstream.faults import FaultKind, UpstreamFault

_REASONS = {
    "stop": FinishReason.STOP,
    "eos": FinishReason.STOP,
    "eos_token": FinishReason.STOP,
    "stop_sequence": FinishReason.STOP,
    "length": FinishReason.LENGTH,
    "max_tokens": FinishReason.LENGTH,
    "tool_calls": FinishReason.TOOL_CALLS,
    "function_call": FinishReason.TOOL_CALLS,
}


@dataclass(frozen=True, slots=True)
class Piece:
    """What one event says.

    - `has_output`: it stands for at least one token, though there may be no text
    - `reason`: the `finish_reason`; None if there is none yet
    - the token counts are the `usage` so far; None where the server does not say
    - `passed`: what it holds besides text and thought
    """

    text: str = ""
    reasoning: str = ""
    has_output: bool = False
    reason: str | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    reasoning_tokens: int | None = None
    passed: Passed = field(default_factory=dict)


class Reader(Protocol):
    """Reads the events of one answer, in the words of one API."""

    is_over: bool
    """Whether the answer has ended and nothing of use follows."""

    def piece_of(self, chunk: dict[str, Any]) -> Piece:
        """Read one event. Raises UpstreamFault for what is an error, or cannot be passed on."""

    def end(self) -> Piece | None:
        """Read `[DONE]`: return the end of an answer that has ended without a reason, else None.
        Raises UpstreamFault if it has not ended."""


@dataclass(frozen=True, slots=True)
class AnswerStream:
    """The events of one answer, and who reads them."""

    source: httpx2.EventSource
    reader: Reader


async def pieces(stream: AnswerStream, allowance: Allowance) -> AsyncIterator[Piece]:
    """Yield the pieces up to `[DONE]` or the end of the stream, as far as the allowance goes.

    Raises UpstreamFault for what is no answer, and for a stream that ends before its answer does.
    """
    reason, reader = None, stream.reader
    try:
        async with aclosing(aiter(stream.source)) as events:  # type: ignore[type-var]
            async for event in events:
                allowance.take_event()
                if event.data.strip() == "[DONE]":
                    if reason is None and (last := reader.end()):
                        yield last
                    return
                if event.data.strip():
                    piece = reader.piece_of(_chunk(event.data))
                    reason = piece.reason or reason
                    yield piece
                    if reader.is_over:
                        return
    except httpx2.HTTPError as error:
        raise error_responses.of_transport(error) from error
    if reason is None:
        raise faults.broken("the stream ended without a finish_reason and without [DONE]")


def _chunk(data: str) -> dict[str, Any]:
    """An event's JSON object. Raises UpstreamFault if it is an error, or no JSON object."""
    try:
        chunk = json.loads(data)
    except ValueError as error:
        raise faults.broken(f"an event is no JSON: {error}") from None
    except RecursionError:
        raise faults.broken("an event is nested too deeply") from None
    if not isinstance(chunk, dict):
        raise faults.broken(f"an event is no JSON object but a {type(chunk).__name__}")
    if chunk.get("error"):
        raise error_responses.of_event(chunk["error"])
    return chunk


def finish_reason(reason: str, *, with_tools: bool = False) -> FinishReason:
    """Return how an answer ended, by its `finish_reason`. `with_tools`: it may call one. Raises
    UpstreamFault for a reason that is no regular end."""
    known = _REASONS.get(reason)
    if known is FinishReason.TOOL_CALLS and not with_tools:
        raise faults.unwanted_call(reason)
    if known:
        return known
    if reason == "content_filter":
        message = "The model's server withheld the rest of this answer."
        raise UpstreamFault(FaultKind.FATAL, reason, message, "content_filter")
    raise faults.broken("a finish_reason that is none", reason)
