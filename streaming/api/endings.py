"""How an answer ended, in OpenAI's words."""

from __future__ import annotations

from typing import Any

from streaming.api.answers import (
    FinishReason,
    Usage,
)
from streaming.engine.passed import Passed
from streaming.protocol.server_events import ResponseDone

FINISH_REASONS: dict[str, FinishReason] = {"completed": "stop", "incomplete": "length"}


def done_of(event: dict[str, Any]) -> ResponseDone:
    """Return a `response.done`, read without its number."""
    fields = {name: value for name, value in event.items() if name != "sequence_number"}
    return ResponseDone.model_validate(fields)


def finish_reason_of(done: ResponseDone) -> FinishReason:
    """Of an answer that ended by itself."""
    return "tool_calls" if done.finish_reason == "tool_calls" else FINISH_REASONS[done.status]


def usage_of(done: ResponseDone, passed: Passed) -> Usage:
    """Return the tokens of an answer, with the details that a server passed on."""
    asked, answered = done.usage.prompt_tokens, done.usage.completion_tokens
    details = {**passed.get("usage", {})}
    if thought := done.usage.reasoning_tokens:
        known = details.get("completion_tokens_details", {})
        details["completion_tokens_details"] = {**known, "reasoning_tokens": thought}
    return Usage(
        prompt_tokens=asked, completion_tokens=answered, total_tokens=asked + answered, **details
    )
