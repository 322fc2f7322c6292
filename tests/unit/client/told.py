"""The numbered events of an answer, as the server's own writer makes them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

from streaming.engine.base import Channel
from streaming.lifecycle.items import output_items
from streaming.protocol import ids
from streaming.protocol.response_events import (
    Numbered,
    ResponseCompleted,
    ResponseFailed,
    ResponseIncomplete,
    ResponseInProgress,
)
from streaming.protocol.response_resource import (
    IncompleteDetails,
    ResponseError,
    ResponseExtension,
    ResponseResource,
    Timings,
    Usage,
)
from streaming.worker.output_writer import OutputWriter, Part

TEXT, THOUGHT = Channel.TEXT, Channel.REASONING
Said = tuple[Channel | None, str | Mapping[str, Any]]
"""What an engine says at once: text of a channel, or fields without a channel."""


def refusal(text: str) -> Said:
    return None, {"refusal": text}


def call(index: int, arguments: str, name: str = "weather") -> Said:
    """A part of a call: its name counts once."""
    function = {"name": name, "arguments": arguments} if name else {"arguments": arguments}
    return None, {"tool_calls": [{"index": index, "id": f"call_{index}", "function": function}]}


def resource(response_id: UUID, status: str = "in_progress", **fields: Any) -> ResponseResource:
    """A response as the server shows it."""
    key = ids.wire_id(ids.RESPONSE, response_id)
    return ResponseResource(id=key, created_at=1, status=status, model="scripted", **fields)


def begun(response_id: UUID, number: int = 1) -> ResponseInProgress:
    """The first event of an answer."""
    return ResponseInProgress(
        response_id=response_id,
        sequence_number=number,
        response=resource(response_id),
        prompt_tokens=1,
    )


def ended(
    response_id: UUID,
    number: int,
    writer: OutputWriter,
    status: str = "completed",
    error: tuple[str, str] | None = None,
) -> ResponseCompleted | ResponseIncomplete | ResponseFailed:
    """The last event of an answer that consists of what a writer has written."""
    last = "completed" if status == "completed" else "incomplete"
    shown = resource(
        response_id,
        status,
        output=output_items(response_id, writer.said(0.0), last),
        usage=Usage(input_tokens=1, output_tokens=1, total_tokens=2),
        error=error and ResponseError(code=error[0], message=error[1]),
        incomplete_details=IncompleteDetails(reason="max_output_tokens")
        if status == "incomplete"
        else IncompleteDetails(reason="cancelled")
        if status == "cancelled"
        else None,
        chatstream=ResponseExtension(
            finish_reason="stop", timings=Timings(queue_ms=1, ttft_ms=1, total_ms=1)
        ),
    )
    kinds = {"completed": ResponseCompleted, "failed": ResponseFailed}
    model = kinds.get(status, ResponseIncomplete)
    return model(response_id=response_id, sequence_number=number, response=shown)


def answer(
    said: Iterable[Said], response_id: UUID, first: int = 1, status: str = "completed"
) -> list[Numbered]:
    """All events of an answer that says this, each at once."""
    writer = OutputWriter(response_id)
    log: list[Any] = [begun(response_id)]
    for channel, content in said:
        log += writer.write([Part(channel, content)])
    log += writer.close("completed" if status == "completed" else "incomplete")
    log.append(ended(response_id, 0, writer, status))
    return [
        event.model_copy(update={"sequence_number": number})
        for number, event in enumerate(log, first)
    ]
