"""From server-sent events to pieces of an answer."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import httpx2

from streaming.engine.base import FinishReason
from streaming.engine.upstream import faults
from streaming.engine.upstream.bounds import Allowance
from streaming.engine.upstream.dialect import whole
from streaming.engine.upstream.faults import Kind, UpstreamFault

_MOST_TOKENS = 100_000_000  # more is nonsense, which the record could not hold

_REASONS = {
    "stop": FinishReason.STOP,
    "eos": FinishReason.STOP,
    "eos_token": FinishReason.STOP,
    "stop_sequence": FinishReason.STOP,
    "length": FinishReason.LENGTH,
    "max_tokens": FinishReason.LENGTH,
}


@dataclass(frozen=True, slots=True)
class Piece:
    """One event. `has_output`: it stands for at least one token, though `text` may be empty, as
    while a model reasons. The token counts are None where the server does not say them."""

    text: str = ""
    has_output: bool = False
    reason: str | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


async def pieces(source: httpx2.EventSource, allowance: Allowance) -> AsyncIterator[Piece]:
    """The pieces up to `[DONE]` or the end of the stream, as far as the allowance goes. The end of
    one that says `[DONE]` but no reason is a stop.

    Raises UpstreamFault for what is no answer, and for a stream that just ends.
    """
    reason = None
    try:
        async with aclosing(aiter(source)) as events:  # type: ignore[type-var]
            async for event in events:
                allowance.take_event()
                if event.data.strip() == "[DONE]":
                    if reason is None:
                        yield Piece(reason="stop")
                    return
                if event.data.strip():
                    piece = piece_of(event.data)
                    reason = piece.reason or reason
                    yield piece
    except httpx2.HTTPError as error:
        raise faults.of_transport(error) from error
    if reason is None:
        raise faults.broken("the stream ended without a finish_reason and without [DONE]")


def piece_of(data: str) -> Piece:
    """One event's data. Fields that are not known, or not what they should be, count for nothing.

    Raises UpstreamFault if it is an error, or no JSON object.
    """
    try:
        chunk = json.loads(data)
    except ValueError as error:
        raise faults.broken(f"an event is no JSON: {error}") from None
    except RecursionError:
        raise faults.broken("an event is nested too deeply") from None
    if not isinstance(chunk, dict):
        raise faults.broken(f"an event is no JSON object but a {type(chunk).__name__}")
    if chunk.get("error"):
        raise faults.of_event(chunk["error"])
    choices, usage = chunk.get("choices"), _object(chunk.get("usage"))
    choice = _object(choices[0]) if isinstance(choices, list) and choices else {}
    delta = _object(choice.get("delta"))
    text = _text(delta.get("content"))
    reasoning = delta.get("reasoning_content") or delta.get("reasoning")
    reason = choice.get("finish_reason")
    return Piece(
        text=text,
        has_output=bool(text or reasoning),
        reason=reason if isinstance(reason, str) and reason else None,
        prompt_tokens=_count(usage.get("prompt_tokens")),
        completion_tokens=_count(usage.get("completion_tokens")),
    )


def finish_reason(reason: str) -> FinishReason:
    """How an answer ended. Raises UpstreamFault for an end that is none."""
    if known := _REASONS.get(reason):
        return known
    detail = "a finish_reason that is none"
    if reason == "content_filter":
        message = "The model's server withheld the rest of this answer."
        raise UpstreamFault(Kind.FATAL, reason, message, "content_filter")
    if reason in ("tool_calls", "function_call"):
        message = "The model wants to use a tool, and there is none here."
        raise UpstreamFault(Kind.FATAL, reason, message, "tool_calls")
    raise faults.broken(detail, reason)


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and 0 <= value <= _MOST_TOKENS else None


def _text(content: Any) -> str:
    if isinstance(content, list):  # of parts
        return "".join(_text(_object(part).get("text")) for part in content)
    return whole(content) if isinstance(content, str) else ""
