"""From server-sent events to pieces of an answer."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

import httpx2

from streaming.engine.base import FinishReason
from streaming.engine.passed import Passed
from streaming.engine.upstream import beside, faults
from streaming.engine.upstream.bounds import MOST_TOKENS, Allowance
from streaming.engine.upstream.faults import Kind, UpstreamFault
from streaming.engine.upstream.halves import Halves

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
    """One event. `has_output`: it stands for at least one token, though there may be no text. The
    token counts are None where the server does not say them. `passed` is what it holds besides
    text and thought, if that is wanted."""

    text: str = ""
    reasoning: str = ""
    has_output: bool = False
    reason: str | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    reasoning_tokens: int | None = None
    passed: Passed = field(default_factory=dict)


async def pieces(
    source: httpx2.EventSource, allowance: Allowance, *, all_of_it: bool = False
) -> AsyncIterator[Piece]:
    """The pieces up to `[DONE]` or the end of the stream, as far as the allowance goes. The end of
    one that says `[DONE]` but no reason is a stop. `all_of_it`: not the text alone.

    Raises UpstreamFault for what is no answer, and for a stream that just ends.
    """
    reason, halves = None, Halves()
    try:
        async with aclosing(aiter(source)) as events:  # type: ignore[type-var]
            async for event in events:
                allowance.take_event()
                if event.data.strip() == "[DONE]":
                    if reason is None:
                        rest = halves.rest("text"), halves.rest("reasoning")
                        yield Piece(*rest, reason="stop")
                    return
                if event.data.strip():
                    piece = piece_of(event.data, halves, all_of_it=all_of_it)
                    reason = piece.reason or reason
                    yield piece
    except httpx2.HTTPError as error:
        raise faults.of_transport(error) from error
    if reason is None:
        raise faults.broken("the stream ended without a finish_reason and without [DONE]")


def piece_of(data: str, halves: Halves, *, all_of_it: bool = False) -> Piece:
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
    choices, usage = chunk.get("choices"), beside.object_of(chunk.get("usage"))
    choice = beside.object_of(choices[0]) if isinstance(choices, list) and choices else {}
    delta = beside.object_of(choice.get("delta"))
    said = _text(delta.get("content"))
    text = halves.join("text", said)
    # Some servers say it by both names.
    thought = _text(delta.get("reasoning_content")) or _text(delta.get("reasoning"))
    reasoning = halves.join("reasoning", thought)
    reason = choice.get("finish_reason")
    if not isinstance(reason, str) or not reason:
        reason = None
    else:
        text += halves.rest("text")
        reasoning += halves.rest("reasoning")
    details = beside.object_of(usage.get("completion_tokens_details"))
    return Piece(
        text=text,
        reasoning=reasoning,
        has_output=bool(said or thought) or (all_of_it and bool(delta.get("tool_calls"))),
        reason=reason,
        prompt_tokens=_count(usage.get("prompt_tokens")),
        completion_tokens=_count(usage.get("completion_tokens")),
        reasoning_tokens=_count(details.get("reasoning_tokens")),
        passed=beside.passed_of(choice, delta, usage, halves) if all_of_it else {},
    )


def finish_reason(reason: str, *, with_tools: bool = False) -> FinishReason:
    """How an answer ended; `with_tools`: it might call one. Raises UpstreamFault for an end that
    is none."""
    known = _REASONS.get(reason)
    if known is FinishReason.TOOL_CALLS and not with_tools:
        message = "The model wants to use a tool, and there is none here."
        raise UpstreamFault(Kind.FATAL, reason, message, "tool_calls")
    if known:
        return known
    if reason == "content_filter":
        message = "The model's server withheld the rest of this answer."
        raise UpstreamFault(Kind.FATAL, reason, message, "content_filter")
    raise faults.broken("a finish_reason that is none", reason)


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and 0 <= value <= MOST_TOKENS else None


def _text(content: Any) -> str:
    if isinstance(content, list):  # of parts
        return "".join(_text(beside.object_of(part).get("text")) for part in content)
    return content if isinstance(content, str) else ""
