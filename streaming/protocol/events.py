"""Every event on `/ws/chat/`: what clients send and what the server sends.

Those of responses are Open Responses', each with its `response_id`; what that has no words for
begins with `chatstream:`. A frame is one JSON object with a `type`; clients may put an `event_id`
on anything, and an error caused by it carries it back.
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
from streaming.protocol.response_events import (
    Numbered,
    ResponseCreated,
    ResponseQueued,
    ResponseQueuePosition,
    ResponseUpdated,
)
from streaming.protocol.server_events import (
    ErrorEvent,
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
    | ResponseCreated
    | ResponseQueued
    | ResponseQueuePosition
    | ResponseUpdated
    | Numbered
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
