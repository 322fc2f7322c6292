"""The events that a client sends about one answer.

Each has an `event_id` of its kind and the answer's id, by which an error says what it refuses.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from pydantic import BaseModel
from pydantic_core import PydanticSerializationError

from streaming.client.errors import ChatError, invalid_event
from streaming.client.frames import MAX_SENT_BYTES, frame_of
from streaming.protocol.client_events import (
    ResponseCancel,
    ResponseCreate,
    ResponseResume,
    ResponseUpdate,
)
from streaming.protocol.server_events import ErrorEvent


def create(response_id: UUID, **fields: Any) -> ResponseCreate:
    """Return the request for a new answer. Raises ChatError for fields that cannot be sent."""
    with invalid_event(response_id):
        event = ResponseCreate(
            type="response.create",
            event_id=f"create {response_id}",
            response_id=response_id,
            **fields,
        )
    _check_frame(event)
    return event


def update(response_id: UUID, text: str) -> ResponseUpdate:
    """Return the request to change a prompt. Raises ChatError for a text that cannot be sent."""
    with invalid_event(response_id):
        event = ResponseUpdate(
            type="chatstream:update",
            response_id=response_id,
            input=text,
            event_id=f"update {response_id}",
        )
    _check_frame(event)
    return event


def resume(response_id: UUID, starting_after: int) -> ResponseResume:
    """Return the request for all events with numbers greater than `starting_after`."""
    return ResponseResume(
        type="chatstream:resume",
        response_id=response_id,
        starting_after=starting_after,
        event_id=f"resume {response_id}",
    )


def cancel(response_id: UUID) -> ResponseCancel:
    """Return the request to end an answer."""
    return ResponseCancel(
        type="response.cancel", response_id=response_id, event_id=f"cancel {response_id}"
    )


def refused_by(error: ErrorEvent) -> tuple[str, UUID | None]:
    """Return the kind of the request that was refused, and the answer's id.

    The id is None if the error does not say which request it is about.
    """
    kind, _, response_id = (error.event_id or "").partition(" ")
    try:
        return kind, UUID(response_id) if kind else None
    except ValueError:
        return kind, None


def _check_frame(event: BaseModel) -> None:
    """Raise ChatError for an event that is no JSON, or longer than the server lets through."""
    try:
        size = len(frame_of(event).encode())
    except PydanticSerializationError:
        message = "The prompt has half a character (a lone surrogate) in it."
        raise ChatError("invalid_event", message, "input") from None
    if size > MAX_SENT_BYTES:
        raise ChatError("input_too_long", "The prompt is longer than 1 MiB.", "input")
