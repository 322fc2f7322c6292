"""Every event on `/ws/chat/`: what clients send and what the server sends.

Names follow the OpenAI Realtime and Responses events. A frame is one JSON object with a
`type`; clients may put an `event_id` on anything, and an error caused by it carries it back.
"""

from __future__ import annotations

from typing import Annotated, get_args

from pydantic import BaseModel, Field

from streaming.protocol.client_events import (
    ResponseCancel,
    ResponseCreate,
    ResponseResume,
    ResponseUpdate,
    SessionPing,
    SessionResume,
)
from streaming.protocol.server_events import (
    ErrorEvent,
    OutputTextDelta,
    ReasoningTextDelta,
    ResponseDone,
    ResponseInProgress,
    ResponsePassedDelta,
    ResponseQueued,
    ResponseQueuePosition,
    ResponseUpdated,
    SessionCreated,
    SessionLoad,
    SessionPong,
    SessionUpdated,
)

ClientEvent = Annotated[
    SessionResume | SessionPing | ResponseCreate | ResponseUpdate | ResponseCancel | ResponseResume,
    Field(discriminator="type"),
]

ServerEvent = (
    SessionCreated
    | SessionPong
    | SessionUpdated
    | SessionLoad
    | ResponseQueued
    | ResponseQueuePosition
    | ResponseUpdated
    | ResponseInProgress
    | OutputTextDelta
    | ReasoningTextDelta
    | ResponsePassedDelta
    | ResponseDone
    | ErrorEvent
)


def client_events() -> tuple[type[BaseModel], ...]:
    """Return the models of what clients send."""
    union, *_ = get_args(ClientEvent)
    return get_args(union)


def server_events() -> tuple[type[BaseModel], ...]:
    """Return the models of what the server sends."""
    return get_args(ServerEvent)


def type_of(model: type[BaseModel]) -> str:
    """Return an event's name on the wire."""
    (name,) = get_args(model.model_fields["type"].annotation)
    return str(name)
