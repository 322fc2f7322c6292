"""The last event of a response, `response.done`, as its row tells it."""

from __future__ import annotations

from uuid import UUID

from streaming.models import Response
from streaming.protocol.server_events import ErrorDetail, ResponseDone, Timings, Usage
from streaming.record.durations import milliseconds, total_ms
from streaming.record.endings import Ending
from streaming.record.output import Output


def done_event(response: Response) -> ResponseDone:
    """Return the last event of an ended response."""
    error = ErrorDetail(code=response.error_code, message=response.error_message)
    return ResponseDone(
        response_id=response.pk,
        status=response.status,
        finish_reason=response.finish_reason,
        text=response.text,
        reasoning=response.reasoning,
        usage=Usage(
            prompt_tokens=response.prompt_tokens,
            completion_tokens=response.completion_tokens,
            reasoning_tokens=response.reasoning_tokens,
        ),
        timings=Timings(
            queue_ms=milliseconds(response.created_at, response.started_at or response.finished_at),
            ttft_ms=milliseconds(response.created_at, response.first_token_at),
            total_ms=total_ms(response),
            reasoning_ms=response.reasoning_ms,
        ),
        error=error if response.error_code else None,
        passed=response.passed,
    )


def deleted_event(response_id: UUID | str, output: Output) -> ResponseDone:
    """Return the last event of a response whose row is gone."""
    ending = Ending.cancelled(output)
    return ResponseDone(
        response_id=UUID(str(response_id)),
        status=ending.status.value,
        finish_reason=ending.finish_reason,
        text=output.text,
        reasoning=output.reasoning,
        usage=Usage(prompt_tokens=0, completion_tokens=0),
        timings=Timings(queue_ms=None, ttft_ms=None, total_ms=0, reasoning_ms=output.reasoning_ms),
        passed=dict(output.passed) or None,
    )
