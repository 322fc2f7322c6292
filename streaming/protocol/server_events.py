"""The events that the server sends on `/ws/chat/`."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import ConfigDict, Field

from streaming.protocol.base import PROTOCOL_VERSION, WireModel
from streaming.protocol.errors import ErrorCode


class _ServerEvent(WireModel):
    """A client ignores fields that it does not know: a later server may send more."""

    model_config = ConfigDict(extra="ignore")


class Limits(_ServerEvent):
    """The server's limits: Unicode code points of a prompt and of instructions, tokens of an
    answer, and tokens of a conversation with its answer, None before a worker is there."""

    max_input_chars: int
    max_instructions_chars: int | None = None
    max_tokens: int
    context_tokens: int | None


Service = Literal["ready", "loading", "paused", "draining", "away"]
"""What all workers do together. `ready`: at least one serves; `loading`: the first one loads its
model; `paused`: none may take another prompt; `draining`: they finish what they run and take no
more; `away`: there is none. A prompt that was accepted waits."""


class ModelCard(_ServerEvent):
    """What else is known of the model; null is unknown. `parameters`: their number. `dtype`: the
    kind of its weights. `takes_system`: its chat template has a place for instructions; else they
    are put before the first prompt."""

    parameters: int | None = None
    dtype: str | None = None
    takes_system: bool | None = None


class Announcement(_ServerEvent):
    """What an operator tells all users now; `id` is another one for each, `level` is info, warning
    or problem. `ends_at`: when it ends by itself, null if it does not."""

    id: int
    text: str
    level: str
    ends_at: datetime | None


class QueueLoad(_ServerEvent):
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


class SessionCreated(_ServerEvent):
    """The first event on a socket. `load`: the queue as it is now. `sampling`: the model's values
    of parameters that a request does not set. `thinks`: the model may think before it answers.
    `card`: what else is known of it, null before a worker is there. `notice`: the operator's
    message while no new prompt is accepted, else null. `announcement`: what all users are told now,
    if anything."""

    type: Literal["session.created"] = "session.created"
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


class SessionPong(_ServerEvent):
    """The answer to `session.ping`, with its `event_id`."""

    type: Literal["session.pong"] = "session.pong"
    event_id: str | None = None


class SessionUpdated(_ServerEvent):
    """The queue was closed, with the operator's message in `notice`, or opened again (null); or
    there is another `announcement`, or none any more (null). Both are as they are now."""

    type: Literal["session.updated"] = "session.updated"
    notice: str | None
    announcement: Announcement | None = None


class SessionLoad(_ServerEvent):
    """What somebody who asked now would meet has changed: at most every 10 s on a socket, and less
    often where many sockets are open."""

    type: Literal["session.load"] = "session.load"
    service: Service
    load: QueueLoad


class _PositionEvent(_ServerEvent):
    """`position` is 1 for the next in line; `size` counts the responses that wait.
    `eta_low_seconds` and `eta_high_seconds` are about the 10th and the 90th percentile of the wait,
    null where too few answers have ended to tell them."""

    response_id: UUID
    position: int | None
    size: int
    eta_seconds: float | None = None
    eta_low_seconds: float | None = None
    eta_high_seconds: float | None = None
    workers: int | None = None
    service: Service = "ready"


class ResponseQueued(_PositionEvent):
    """The response is accepted. `position` is null while an earlier response of the conversation is
    open, and when it waits no more. `kept_seconds`: for so long it is kept after the last socket
    that shows it has gone; then it is cancelled. Null: as long as the account is signed in."""

    type: Literal["response.queued"] = "response.queued"
    conversation_id: UUID
    kept_seconds: float | None = None


class ResponseQueuePosition(_PositionEvent):
    """The position of a waiting response has changed, or its ETA."""

    type: Literal["response.queue_position"] = "response.queue_position"


class ResponseUpdated(_ServerEvent):
    """The prompt of a waiting response was changed to `input`."""

    type: Literal["response.updated"] = "response.updated"
    response_id: UUID
    input: str


class _Numbered(_ServerEvent):
    """An event that is stored and can be replayed. The waiting list writes `sequence_number` into
    the stored JSON; so clients read it, and no event is made with it."""

    sequence_number: int = Field(0, exclude=True)
    response_id: UUID


class ResponseInProgress(_Numbered):
    """The answer begins. `trimmed_messages`: so many of the oldest messages were left out, since
    they do not fit into the context.

    A second one means that the answer begins anew: discard its text so far. That happens when the
    queue lost its memory (`sequence_number` has jumped ahead then), or when the model's server
    broke off and cannot continue.
    """

    type: Literal["response.in_progress"] = "response.in_progress"
    prompt_tokens: int
    trimmed_messages: int = 0


class OutputTextDelta(_Numbered):
    """More text of the answer. `offset` counts Unicode code points of the answer before it."""

    type: Literal["response.output_text.delta"] = "response.output_text.delta"
    delta: str
    offset: int


class ReasoningTextDelta(_Numbered):
    """More text of what the model thinks, before its answer or within it. `offset` counts Unicode
    code points of the thought before this delta; `reasoning_ms` is how long it has thought, in
    milliseconds."""

    type: Literal["response.reasoning_text.delta"] = "response.reasoning_text.delta"
    delta: str
    offset: int
    reasoning_ms: int = 0


class ResponsePassedDelta(_Numbered):
    """What the model's server sends besides text and thought, for requests to `/v1/` only: `fields`
    has some of `refusal`, `tool_calls`, `logprobs` and `usage`."""

    type: Literal["response.passed.delta"] = "response.passed.delta"
    fields: dict[str, Any]


class LaterEvent(_Numbered):
    """A numbered event of a later version, as a client reads it: its number counts, too."""

    type: str
    sequence_number: int = Field(ge=1, exclude=True)


class Usage(_ServerEvent):
    """Tokens of the prompt and of the completion; `reasoning_tokens` of the latter are thought."""

    prompt_tokens: int
    completion_tokens: int
    reasoning_tokens: int = 0


class Timings(_ServerEvent):
    """Milliseconds from the acceptance to the start, to the first token and to the end; null for
    what never happened. `reasoning_ms`: from the first token of the thought to the first of the
    answer."""

    queue_ms: int | None
    ttft_ms: int | None
    total_ms: int
    reasoning_ms: int | None = None


class ErrorDetail(_ServerEvent):
    """Why a response failed."""

    code: str
    message: str


class ResponseDone(_Numbered):
    """The last event of a response, with all of its text. `passed`: as `fields` of
    `response.passed.delta`, all together."""

    type: Literal["response.done"] = "response.done"
    status: Literal["completed", "incomplete", "cancelled", "failed"]
    finish_reason: str
    text: str
    reasoning: str = ""
    usage: Usage
    timings: Timings
    error: ErrorDetail | None = None
    passed: dict[str, Any] | None = None


class ErrorEvent(_ServerEvent):
    """A client's event cannot be served, or the socket is about to be closed. `param` is the wrong
    field; `event_id` and `response_id` are those of the client's event, if it has any."""

    type: Literal["error"] = "error"
    code: ErrorCode
    message: str
    param: str | None = None
    event_id: str | None = None
    response_id: UUID | None = None
