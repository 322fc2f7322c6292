"""The events that the server sends on `/ws/chat/`."""

from __future__ import annotations

from typing import Any, Literal
from uuid import UUID

from pydantic import ConfigDict, Field

from streaming.protocol.base import PROTOCOL_VERSION, WireModel
from streaming.protocol.errors import ErrorCode


class _ServerEvent(WireModel):
    """A newer server may say more; a client must ignore what it does not know."""

    model_config = ConfigDict(extra="ignore")


class Limits(_ServerEvent):
    max_input_chars: int
    max_tokens: int
    context_tokens: int | None


Service = Literal["ready", "loading", "paused", "draining", "away"]
"""What the workers do, all together: one serves; the first one loads its model; none may take
another prompt; those that are there finish what they run and take no more; there is none. A prompt
that was accepted waits."""


class SessionCreated(_ServerEvent):
    """`notice`: no new prompt is taken, and these are the operator's words for it. `sampling`: what
    the model takes for parameters that nobody asks for. `thinks`: it may think before answering."""

    type: Literal["session.created"] = "session.created"
    protocol_version: int = PROTOCOL_VERSION
    model: str | None
    service: Service = "ready"
    limits: Limits
    sampling: dict[str, float] = Field(default_factory=dict)
    thinks: bool = False
    session_token: str | None = None
    notice: str | None = None


class SessionPong(_ServerEvent):
    """The answer to `session.ping`, with its `event_id`."""

    type: Literal["session.pong"] = "session.pong"
    event_id: str | None = None


class SessionUpdated(_ServerEvent):
    """The queue was closed, and `notice` has the operator's words for it, or opened again."""

    type: Literal["session.updated"] = "session.updated"
    notice: str | None


class _PositionEvent(_ServerEvent):
    response_id: UUID
    position: int | None
    size: int
    eta_seconds: float | None = None
    workers: int | None = None
    service: Service = "ready"


class ResponseQueued(_PositionEvent):
    """Accepted. `position` is None while an earlier answer of the conversation is open."""

    type: Literal["response.queued"] = "response.queued"
    conversation_id: UUID


class ResponseQueuePosition(_PositionEvent):
    type: Literal["response.queue_position"] = "response.queue_position"


class ResponseUpdated(_ServerEvent):
    """The prompt of a waiting response is now this."""

    type: Literal["response.updated"] = "response.updated"
    response_id: UUID
    input: str


class _Numbered(_ServerEvent):
    """Stored and replayable: the waiting list splices `sequence_number` in as it stores, hence
    it is read (by clients), but never written from here."""

    sequence_number: int = Field(0, exclude=True)
    response_id: UUID


class ResponseInProgress(_Numbered):
    """The answer begins; `trimmed_messages` of the oldest were left out, the context being full.

    A second one means that the answer begins anew, and what was received of it before is void:
    the queue lost its memory (the number has jumped ahead then), or the model's server broke off
    and cannot go on.
    """

    type: Literal["response.in_progress"] = "response.in_progress"
    prompt_tokens: int
    trimmed_messages: int = 0


class OutputTextDelta(_Numbered):
    """`offset` counts Unicode code points of the answer before this delta."""

    type: Literal["response.output_text.delta"] = "response.output_text.delta"
    delta: str
    offset: int


class ReasoningTextDelta(_Numbered):
    """What the model thinks before it answers, or between. `offset` counts Unicode code points of
    the thought before this delta, `reasoning_ms` milliseconds that it has taken up to here."""

    type: Literal["response.reasoning_text.delta"] = "response.reasoning_text.delta"
    delta: str
    offset: int
    reasoning_ms: int = 0


class ResponsePassedDelta(_Numbered):
    """What the model's server says besides text and thought, of a request to `/v1/` alone: `fields`
    has some of `refusal`, `tool_calls`, `logprobs` and `usage`."""

    type: Literal["response.passed.delta"] = "response.passed.delta"
    fields: dict[str, Any]


class LaterEvent(_Numbered):
    """For clients: a numbered event of a later version, whose number counts all the same."""

    type: str
    sequence_number: int = Field(ge=1, exclude=True)


class Usage(_ServerEvent):
    """`reasoning_tokens` of the completion's were thought."""

    prompt_tokens: int
    completion_tokens: int
    reasoning_tokens: int = 0


class Timings(_ServerEvent):
    """Milliseconds since the prompt was accepted; None for what never happened. `reasoning_ms`:
    how long it thought, from the first token of the thought to the first of the answer."""

    queue_ms: int | None
    ttft_ms: int | None
    total_ms: int
    reasoning_ms: int | None = None


class ErrorDetail(_ServerEvent):
    code: str
    message: str


class ResponseDone(_Numbered):
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
    type: Literal["error"] = "error"
    code: ErrorCode
    message: str
    param: str | None = None
    event_id: str | None = None
    response_id: UUID | None = None
