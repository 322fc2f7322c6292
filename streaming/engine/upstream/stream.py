"""Reads server-sent events as pieces of an answer."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

import httpx2

from streaming.engine.base import FinishReason
from streaming.engine.passed import Passed
from streaming.engine.upstream import error_responses, faults, passed_fields
from streaming.engine.upstream.bounds import MOST_TOKENS, Allowance
from streaming.engine.upstream.faults import FaultKind, UpstreamFault
from streaming.engine.upstream.surrogates import SurrogateJoiner

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
    - `passed`: what it holds besides text and thought, if that is wanted
    """

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
    """Yield the pieces up to `[DONE]` or the end of the stream, as far as the allowance goes.

    A stream that ends with `[DONE]` but without a `finish_reason` has stopped. `all_of_it`: the
    fields besides the text are read, too. Raises UpstreamFault for what is no answer, and for a
    stream that ends without either.
    """
    reason, joiner = None, SurrogateJoiner()
    try:
        async with aclosing(aiter(source)) as events:  # type: ignore[type-var]
            async for event in events:
                allowance.take_event()
                if event.data.strip() == "[DONE]":
                    if reason is None:
                        rest = joiner.rest("text"), joiner.rest("reasoning")
                        yield Piece(*rest, reason="stop")
                    return
                if event.data.strip():
                    piece = piece_of(event.data, joiner, all_of_it=all_of_it)
                    reason = piece.reason or reason
                    yield piece
    except httpx2.HTTPError as error:
        raise error_responses.of_transport(error) from error
    if reason is None:
        raise faults.broken("the stream ended without a finish_reason and without [DONE]")


def piece_of(data: str, joiner: SurrogateJoiner, *, all_of_it: bool = False) -> Piece:
    """Read one event's data. Unknown fields, and values of the wrong kind, are ignored.

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
        raise error_responses.of_event(chunk["error"])
    choices, usage = chunk.get("choices"), passed_fields.as_object(chunk.get("usage"))
    choice = passed_fields.as_object(choices[0]) if isinstance(choices, list) and choices else {}
    delta = passed_fields.as_object(choice.get("delta"))
    said = _text(delta.get("content"))
    text = joiner.join("text", said)
    # Some servers send the thought by both names.
    thought = _text(delta.get("reasoning_content")) or _text(delta.get("reasoning"))
    reasoning = joiner.join("reasoning", thought)
    reason = choice.get("finish_reason")
    if not isinstance(reason, str) or not reason:
        reason = None
    else:
        text += joiner.rest("text")
        reasoning += joiner.rest("reasoning")
    details = passed_fields.as_object(usage.get("completion_tokens_details"))
    return Piece(
        text=text,
        reasoning=reasoning,
        has_output=bool(said or thought) or (all_of_it and bool(delta.get("tool_calls"))),
        reason=reason,
        prompt_tokens=_count(usage.get("prompt_tokens")),
        completion_tokens=_count(usage.get("completion_tokens")),
        reasoning_tokens=_count(details.get("reasoning_tokens")),
        passed=passed_fields.passed_of(choice, delta, usage, joiner) if all_of_it else {},
    )


def finish_reason(reason: str, *, with_tools: bool = False) -> FinishReason:
    """Return how an answer ended, by its `finish_reason`. `with_tools`: it may call one. Raises
    UpstreamFault for a reason that is no regular end."""
    known = _REASONS.get(reason)
    if known is FinishReason.TOOL_CALLS and not with_tools:
        message = "The model wants to use a tool, and there is none here."
        raise UpstreamFault(FaultKind.FATAL, reason, message, "tool_calls")
    if known:
        return known
    if reason == "content_filter":
        message = "The model's server withheld the rest of this answer."
        raise UpstreamFault(FaultKind.FATAL, reason, message, "content_filter")
    raise faults.broken("a finish_reason that is none", reason)


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and 0 <= value <= MOST_TOKENS else None


def _text(content: Any) -> str:
    if isinstance(content, list):  # of parts
        return "".join(_text(passed_fields.as_object(part).get("text")) for part in content)
    return content if isinstance(content, str) else ""
