"""A response as the wire shows it, made of its row, and its last event."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from streaming.lifecycle.items import items_of_row, output_items
from streaming.models import Response, Status
from streaming.protocol import ids
from streaming.protocol.items import Item
from streaming.protocol.response_events import (
    ENDS,
    ResponseCompleted,
    ResponseFailed,
    ResponseIncomplete,
)
from streaming.protocol.response_resource import (
    IncompleteDetails,
    InputTokensDetails,
    OutputTokensDetails,
    ResponseError,
    ResponseExtension,
    ResponseResource,
    Timings,
    Usage,
)
from streaming.record.durations import milliseconds, total_ms
from streaming.record.output import Output

_ASKED = (
    "tool_choice",
    "truncation",
    "parallel_tool_calls",
    "text",
    "presence_penalty",
    "frequency_penalty",
    "top_logprobs",
    "reasoning",
    "max_output_tokens",
    "max_tool_calls",
    "service_tier",
    "safety_identifier",
    "prompt_cache_key",
)
"""Fields of a request that its response repeats, where they were given."""

_REASONS = {Status.INCOMPLETE: "max_output_tokens", Status.CANCELLED: "cancelled"}


def resource(row: Response, *, model: str = "") -> ResponseResource:
    """Return a response as the wire shows it, without its `instructions`, `tools` and `metadata`.

    `model`: its name, if the row does not have it yet.
    """
    is_ended = row.finished_at is not None
    return _resource(
        row,
        model=row.model or model,
        status=Status.QUEUED if row.status == Status.ACCEPTING else row.status,
        completed_at=_seconds(row.finished_at) if row.status == Status.COMPLETED else None,
        output=items_of_row(row) if is_ended else (),
        usage=_usage(row) if is_ended else None,
        extension=ResponseExtension(
            conversation_id=str(row.conversation_id),
            finish_reason=row.finish_reason or None,
            trimmed_messages=row.trimmed_messages,
            attempt=row.attempt,
            timings=_timings(row) if is_ended else None,
        ),
    )


def begun(row: Response, *, trimmed_messages: int) -> ResponseResource:
    """Return a response whose answer begins, as the worker that has started it knows it."""
    extension = ResponseExtension(
        conversation_id=str(row.conversation_id),
        trimmed_messages=trimmed_messages,
        attempt=row.attempt,
    )
    return _resource(row, model=row.model, status=Status.IN_PROGRESS, extension=extension)


def last_event(row: Response) -> ENDS:
    """Return the last event of an ended response."""
    if row.status == Status.COMPLETED:
        return ResponseCompleted(response_id=row.pk, response=resource(row))
    if row.status == Status.FAILED:
        return ResponseFailed(response_id=row.pk, response=resource(row))
    return ResponseIncomplete(response_id=row.pk, response=resource(row))


def deleted_event(response_id: UUID | str, output: Output) -> ENDS:
    """Return the last event of a response whose row is gone."""
    key = UUID(str(response_id))
    shown = ResponseResource(
        id=ids.wire_id(ids.RESPONSE, key),
        created_at=0,
        status=Status.CANCELLED,
        model="",
        incomplete_details=IncompleteDetails(reason=_REASONS[Status.CANCELLED]),
        output=output_items(key, output, "incomplete"),
        chatstream=ResponseExtension(
            finish_reason="cancelled", timings=Timings(reasoning_ms=output.reasoning_ms)
        ),
    )
    return ResponseIncomplete(response_id=key, response=shown)


def _resource(
    row: Response,
    *,
    model: str,
    status: str,
    extension: ResponseExtension,
    completed_at: int | None = None,
    output: Sequence[Item] = (),
    usage: Usage | None = None,
) -> ResponseResource:
    asked, sampling = row.request or {}, row.params
    previous = asked.get("previous_response_id") and row.previous_id
    reason = _REASONS.get(Status(status))
    return ResponseResource(
        id=ids.wire_id(ids.RESPONSE, row.pk),
        created_at=_seconds(row.created_at) or 0,
        completed_at=completed_at,
        status=str(status),
        incomplete_details=IncompleteDetails(reason=reason) if reason else None,
        model=model,
        previous_response_id=ids.wire_id(ids.RESPONSE, previous) if previous else None,
        output=list(output),
        error=ResponseError(code=row.error_code, message=row.error_message)
        if row.error_code
        else None,
        temperature=sampling.get("temperature", 1.0),
        top_p=sampling.get("top_p", 1.0),
        usage=usage,
        store=row.stored,
        background=row.background,
        chatstream=extension,
        **{name: asked[name] for name in _ASKED if asked.get(name) is not None},
    )


def _usage(row: Response) -> Usage:
    details = (row.passed or {}).get("usage", {})
    cached = details.get("prompt_tokens_details", {}).get("cached_tokens", 0)
    return Usage(
        input_tokens=row.prompt_tokens,
        output_tokens=row.completion_tokens,
        total_tokens=row.prompt_tokens + row.completion_tokens,
        input_tokens_details=InputTokensDetails(cached_tokens=cached),
        output_tokens_details=OutputTokensDetails(reasoning_tokens=row.reasoning_tokens),
    )


def _timings(row: Response) -> Timings:
    return Timings(
        queue_ms=milliseconds(row.created_at, row.started_at or row.finished_at),
        ttft_ms=milliseconds(row.created_at, row.first_token_at),
        total_ms=total_ms(row),
        reasoning_ms=row.reasoning_ms,
    )


def _seconds(moment: datetime | None) -> int | None:
    return None if moment is None else int(moment.timestamp())
