"""The events that the server sends on `/ws/chat/` about the connection; those of responses are in
`response_events`."""

from __future__ import annotations

from datetime import datetime
from typing import Literal
from uuid import UUID

from pydantic import Field

from streaming.protocol.base import PROTOCOL_VERSION
from streaming.protocol.errors import ErrorCode
from streaming.protocol.items import Said
from streaming.protocol.response_events import Service


class Limits(Said):
    """The server's limits: Unicode code points of a prompt and of instructions, tokens of an
    answer, and tokens of a conversation with its answer, None before a worker is there."""

    max_input_chars: int
    max_instructions_chars: int | None = None
    max_tokens: int
    context_tokens: int | None


class ModelCard(Said):
    """What else is known of the model; null is unknown. `parameters`: their number. `dtype`: the
    kind of its weights. `takes_system`: its chat template has a place for instructions; else they
    are put before the first prompt."""

    parameters: int | None = None
    dtype: str | None = None
    takes_system: bool | None = None


class Announcement(Said):
    """What an operator tells all users now; `id` is another one for each, `level` is info, warning
    or problem. `ends_at`: when it ends by itself, null if it does not."""

    id: int
    text: str
    level: str
    ends_at: datetime | None


class QueueLoad(Said):
    """What somebody who asked now would meet: how many wait and run, the places of the workers that
    take prompts, and the seconds until the answer would begin (0: at once), about which nothing is
    said (null) where nobody knows. `eta_low_seconds` and `eta_high_seconds` are about the 10th and
    the 90th percentile."""

    waiting: int
    running: int
    capacity: int
    eta_seconds: float | None = None
    eta_low_seconds: float | None = None
    eta_high_seconds: float | None = None


class SessionCreated(Said):
    """The first event on a socket. `load`: the queue as it is now. `sampling`: the model's values
    of parameters that a request does not set. `thinks`: the model may think before it answers.
    `card`: what else is known of it, null before a worker is there. `notice`: the operator's
    message while no new prompt is accepted, else null. `announcement`: what all users are told now,
    if anything."""

    type: Literal["chatstream:session"] = "chatstream:session"
    protocol_version: int = PROTOCOL_VERSION
    model: str | None
    service: Service = "ready"
    load: QueueLoad | None = None
    limits: Limits
    sampling: dict[str, float] = Field(default_factory=dict)
    thinks: bool = False
    card: ModelCard | None = None
    session_token: str | None = None
    notice: str | None = None
    announcement: Announcement | None = None


class SessionPong(Said):
    """The answer to `chatstream:ping`, with its `event_id`."""

    type: Literal["chatstream:pong"] = "chatstream:pong"
    event_id: str | None = None


class SessionUpdated(Said):
    """The queue was closed, with the operator's message in `notice`, or opened again (null); or
    there is another `announcement`, or none any more (null). Both are as they are now."""

    type: Literal["chatstream:session_updated"] = "chatstream:session_updated"
    notice: str | None
    announcement: Announcement | None = None


class SessionLoad(Said):
    """What somebody who asked now would meet has changed: at most every 10 s on a socket, and less
    often where many sockets are open."""

    type: Literal["chatstream:load"] = "chatstream:load"
    service: Service
    load: QueueLoad


class ErrorEvent(Said):
    """A client's event cannot be served, or the socket is about to be closed. `param` is the wrong
    field; `event_id` and `response_id` are those of the client's event, if it has any."""

    type: Literal["error"] = "error"
    code: ErrorCode
    message: str
    param: str | None = None
    event_id: str | None = None
    response_id: UUID | None = None
