"""Every event on `/ws/chat/`, typed, and the validation of what clients send.

Names follow the OpenAI Realtime and Responses events. A frame is one JSON object with a
`type`; clients may put an `event_id` on anything, and an error caused by it carries it back.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
)

PROTOCOL_VERSION = 1

ErrorCode = Literal[
    "invalid_event",  # malformed, or a field is wrong: `param` names it
    "input_too_long",
    "queue_full",
    "user_limit",
    "address_limit",
    "not_found",
    "forbidden",
    "already_done",
    "unavailable",  # no worker, or the server is ending
    "login_required",
    "rate_limited",  # events or sockets: too many
    "internal_error",
]


class ProtocolError(Exception):
    """A client's event cannot be served; becomes one `error` event."""

    def __init__(self, code: ErrorCode, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.param = param


class _Event(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


# --- what clients send ---------------------------------------------------------------------


def _no_nul(text: str) -> str:
    if "\x00" in text:
        raise ValueError("the character U+0000 is not allowed")
    return text


def _as_list(value: object) -> object:
    return [value] if isinstance(value, str) else value


Text = Annotated[str, AfterValidator(_no_nul)]


class Params(_Event):
    """Sampling parameters of one response; what is absent takes the server's default."""

    max_tokens: int | None = Field(None, ge=1, strict=True)
    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, gt=0, le=1)
    top_k: int | None = Field(None, ge=0, le=1000, strict=True)
    seed: int | None = Field(None, ge=0, lt=2**63, strict=True)
    repetition_penalty: float | None = Field(None, ge=0.5, le=2)
    stop: Annotated[
        list[Annotated[Text, Field(min_length=1, max_length=100)]], BeforeValidator(_as_list)
    ] = Field(default_factory=list, max_length=4)


class _ClientEvent(_Event):
    event_id: str | None = Field(None, max_length=200)


class SessionResume(_ClientEvent):
    type: Literal["session.resume"]
    session_token: str = Field(max_length=500)


class ResponseCreate(_ClientEvent):
    type: Literal["response.create"]
    response_id: UUID | None = None
    conversation_id: UUID | None = None
    input: Text = Field(min_length=1)
    params: Params = Params()


class ResponseCancel(_ClientEvent):
    type: Literal["response.cancel"]
    response_id: UUID


class ResponseResume(_ClientEvent):
    """Replay the events after number `starting_after`, then go on live."""

    type: Literal["response.resume"]
    response_id: UUID
    starting_after: int = Field(0, ge=0, strict=True)


ClientEvent = Annotated[
    SessionResume | ResponseCreate | ResponseCancel | ResponseResume, Field(discriminator="type")
]
_client_event: TypeAdapter[ClientEvent] = TypeAdapter(ClientEvent)


def parse_client_event(text: str) -> ClientEvent:
    """One frame's event. Raises ProtocolError(`invalid_event`) that names the wrong field."""
    try:
        return _client_event.validate_json(text)
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        message, param = _explain(fault)
        raise ProtocolError("invalid_event", message, param) from None


def peek_event_id(text: str) -> str | None:
    """The `event_id` of a frame that may be invalid otherwise, so that its error can carry it."""
    try:
        value = _loose.validate_json(text).get("event_id")
    except ValidationError:
        return None
    return value if isinstance(value, str) and len(value) <= 200 else None


_loose: TypeAdapter[dict[str, Any]] = TypeAdapter(dict[str, Any])


_PARAM_CHARS = 100
"""So much of a field's name is repeated; the client may have made up a long one."""


def _explain(fault: Any) -> tuple[str, str | None]:
    kind, location = fault["type"], fault["loc"]
    if kind == "json_invalid":
        return f"The frame is not valid JSON: {fault['ctx']['error']}.", None
    if kind in ("union_tag_not_found", "union_tag_invalid"):
        names = "session.resume, response.create, response.cancel, response.resume"
        return f"`type` must be one of {names}.", "type"
    if not location:
        return "The frame must be one JSON object.", None
    param = ".".join(str(part) for part in location[1:])[:_PARAM_CHARS] or None
    if kind == "extra_forbidden":
        return f"`{param}` is not a field of {location[0]}.", param
    return f"`{param}`: {fault['msg']}.", param


# --- what the server sends -----------------------------------------------------------------


class Limits(_Event):
    max_input_chars: int
    max_tokens: int
    context_tokens: int | None


class SessionCreated(_Event):
    type: Literal["session.created"] = "session.created"
    protocol_version: int = PROTOCOL_VERSION
    model: str | None
    limits: Limits
    session_token: str | None = None


class _PositionEvent(_Event):
    response_id: UUID
    position: int | None
    size: int
    eta_seconds: float | None = None
    workers: int | None = None


class ResponseQueued(_PositionEvent):
    """Accepted. `position` is None while an earlier answer of the conversation is open."""

    type: Literal["response.queued"] = "response.queued"
    conversation_id: UUID


class ResponseQueuePosition(_PositionEvent):
    type: Literal["response.queue_position"] = "response.queue_position"


class _Numbered(_Event):
    """Stored and replayable: the waiting list splices `sequence_number` in as it stores."""

    response_id: UUID


class ResponseInProgress(_Numbered):
    """The answer begins; `trimmed_messages` of the oldest were left out, the context being full.

    A second one (its number has jumped ahead) means that the queue lost its memory: the answer
    begins anew, and what was received of it before is void.
    """

    type: Literal["response.in_progress"] = "response.in_progress"
    prompt_tokens: int
    trimmed_messages: int = 0


class OutputTextDelta(_Numbered):
    """`offset` counts Unicode code points of the answer before this delta."""

    type: Literal["response.output_text.delta"] = "response.output_text.delta"
    delta: str
    offset: int


class Usage(_Event):
    prompt_tokens: int
    completion_tokens: int


class Timings(_Event):
    """Milliseconds since the prompt was accepted; None for what never happened."""

    queue_ms: int | None
    ttft_ms: int | None
    total_ms: int


class ErrorDetail(_Event):
    code: str
    message: str


class ResponseDone(_Numbered):
    type: Literal["response.done"] = "response.done"
    status: Literal["completed", "incomplete", "cancelled", "failed"]
    finish_reason: str
    text: str
    usage: Usage
    timings: Timings
    error: ErrorDetail | None = None


class ErrorEvent(_Event):
    type: Literal["error"] = "error"
    code: ErrorCode
    message: str
    param: str | None = None
    event_id: str | None = None
    response_id: UUID | None = None


ServerEvent = (
    SessionCreated
    | ResponseQueued
    | ResponseQueuePosition
    | ResponseInProgress
    | OutputTextDelta
    | ResponseDone
    | ErrorEvent
)
