"""Every event on `/ws/chat/`, typed, and the validation of what clients send.

Names follow the OpenAI Realtime and Responses events. A frame is one JSON object with a
`type`; clients may put an `event_id` on anything, and an error caused by it carries it back.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
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
    model_validator,
)
from pydantic_core import PydanticCustomError

from streaming.engine.base import SamplingParams
from streaming.protocol.thinking_params import ThinkingParams

PROTOCOL_VERSION = 1

MOST_SEQUENCE = 10**12
"""No event has a greater number. The scripts in Redis count and write exactly up to 10**14."""

ErrorCode = Literal[
    "invalid_event",  # malformed, or a field is wrong: `param` names it
    "input_too_long",
    "queue_full",
    "user_limit",
    "address_limit",
    "queue_closed",  # by an operator, whose words the message is
    "not_found",
    "forbidden",
    "already_done",
    "already_started",  # too late to edit the prompt
    "unavailable",  # no worker, or the server is ending
    "login_required",
    "session_changed",  # signed in or out elsewhere: connect again
    "rate_limited",  # events or sockets: too many
    "internal_error",
]


FaultCode = Literal[
    "input_too_long",  # in tokens
    "context_length_exceeded",  # the same, where `truncation` is `disabled`
    "context_full",  # of an answer that was to be continued
    "invalid_messages",  # the model's chat template refuses them
    "invalid_params",
    "template_overrun",  # the template took too long, or too much memory
    "engine_error",
    "worker_lost",  # three of them
    "queue_timeout",
    "generation_timeout",
    "unavailable",
    "upstream_unavailable",
    "upstream_refused",
    "not_continuable",
    "tool_calls",
    "content_filter",
    "internal_error",
]
"""Why a response failed: `error.code` of `response.done`. An engine of one's own may say others."""


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


def _some_tokens(count: int) -> int:
    if count == 0:
        raise ValueError("an answer has at least 1 token; -1 for as many as the server allows")
    return count


MOST_STOPS = 64
MOST_TOP_K = 1000

Text = Annotated[str, AfterValidator(_no_nul)]
StopText = Annotated[Text, Field(min_length=1, max_length=100)]


def _default(name: str, words: str) -> str:
    """A parameter's description: what a model in this process takes if nothing is asked for."""
    value = SamplingParams.__dataclass_fields__[name].default
    return (
        f"By default what the model's makers say, or {value:g}; {words}. In front of another "
        "server its own."
    )


Tokens = Annotated[int, Field(strict=True, ge=-1), AfterValidator(_some_tokens)] | None


class Params(ThinkingParams, _Event):
    """Sampling parameters of one response; what is absent is as the model's makers say, or else
    takes the default, or in front of another server that one's.

    What OpenAI, vLLM and llama.cpp take means the same here. `max_tokens` above the server's bound
    is that bound, as -1 is; `top_p` 0 takes the likeliest token each time; `top_k` 0 or -1 is no
    bound, and more than 1000 is 1000; `seed` -1 is none. `truncation` `disabled`: a conversation
    that does not fit fails, and loses no turn.
    """

    max_tokens: Tokens = None
    temperature: float | None = Field(
        None, ge=0, description=_default("temperature", "0 is the likeliest token each time")
    )
    top_p: float | None = Field(None, ge=0, le=1, description=_default("top_p", "1 is no bound"))
    top_k: int | None = Field(
        None, ge=-1, strict=True, description=_default("top_k", "0 is no bound")
    )
    seed: int | None = Field(None, ge=-(2**63), lt=2**63, strict=True)
    repetition_penalty: float | None = Field(
        None, ge=0.5, le=2, description=_default("repetition_penalty", "which is none")
    )
    stop: Annotated[
        list[StopText], BeforeValidator(_as_list, json_schema_input_type=StopText | list[StopText])
    ] = Field(default_factory=list, max_length=MOST_STOPS)
    ignore_eos: bool | None = Field(None, strict=True)
    truncation: Literal["auto", "disabled"] | None = None


class _ClientEvent(_Event):
    event_id: str | None = Field(None, max_length=200)


class SessionResume(_ClientEvent):
    type: Literal["session.resume"]
    session_token: str = Field(max_length=500)


class SessionPing(_ClientEvent):
    """Is anybody there? Answered at once, whatever else is being done."""

    type: Literal["session.ping"]


class ResponseCreate(_ClientEvent):
    """Ask for an answer: to a new prompt (`input`), once more to the prompt of an ended response
    (`regenerates`), or for more of one that was cut (`continues`): exactly one of the three.

    A new prompt follows `previous_response_id`, which may still be open: absent, the newest
    response of the conversation; null, none (the conversation begins anew on a branch).
    """

    type: Literal["response.create"]
    response_id: UUID | None = None
    conversation_id: UUID | None = None
    input: Text | None = Field(None, min_length=1)
    previous_response_id: UUID | None = None
    regenerates: UUID | None = None
    continues: UUID | None = None
    params: Params = Params()

    @model_validator(mode="after")
    def _one_task(self) -> ResponseCreate:
        tasks = [self.input, self.regenerates, self.continues]
        if sum(task is not None for task in tasks) != 1:
            raise PydanticCustomError(
                "one_task", "Give exactly one of `input`, `regenerates` and `continues`"
            )
        if self.input is None and "previous_response_id" in self.model_fields_set:
            raise PydanticCustomError("one_task", "`previous_response_id` goes with `input` only")
        return self

    @property
    def follows_newest(self) -> bool:
        """No previous response is named, which is not the same as naming none (null)."""
        return "previous_response_id" not in self.model_fields_set


class ResponseUpdate(_ClientEvent):
    """Change a prompt that still waits; it keeps its place."""

    type: Literal["response.update"]
    response_id: UUID
    input: Text = Field(min_length=1)


class ResponseCancel(_ClientEvent):
    type: Literal["response.cancel"]
    response_id: UUID


class ResponseResume(_ClientEvent):
    """Replay the events after number `starting_after`, then go on live."""

    type: Literal["response.resume"]
    response_id: UUID
    starting_after: int = Field(0, ge=0, le=MOST_SEQUENCE, strict=True)


ClientEvent = Annotated[
    SessionResume | SessionPing | ResponseCreate | ResponseUpdate | ResponseCancel | ResponseResume,
    Field(discriminator="type"),
]
_client_event: TypeAdapter[ClientEvent] = TypeAdapter(ClientEvent)
_CLIENT_EVENT_NAMES = (
    "session.resume",
    "session.ping",
    "response.create",
    "response.update",
    "response.cancel",
    "response.resume",
)


_PING_CHARS = 500
"""No ping is longer."""


def parse_ping(text: str) -> SessionPing | None:
    """The ping in a frame; None if there is anything else."""
    if len(text) > _PING_CHARS or '"session.ping"' not in text:
        return None
    try:
        return SessionPing.model_validate_json(text)
    except ValidationError:
        return None


_MANY_FIELDS, _MANY_FIELDS_CHARS = 100, 10_000
"""To explain what is wrong with tens of thousands of fields takes long, and helps nobody."""


def parse_client_event(text: str) -> ClientEvent:
    """One frame's event. Raises ProtocolError(`invalid_event`) that names the wrong field."""
    try:
        if len(text) > _MANY_FIELDS_CHARS and _has_many_fields(_loose.validate_json(text)):
            raise ProtocolError("invalid_event", "The frame has too many fields.")
        return _client_event.validate_json(text)
    except ValidationError as error:
        if param := _broken_field(text):
            message = f"`{param}` has half a character in it (a lone surrogate)."
            raise ProtocolError("invalid_event", message, param) from None
        fault = error.errors(include_url=False)[0]
        message, param = _explain(fault)
        raise ProtocolError("invalid_event", message, param) from None


def _has_many_fields(event: dict[str, Any]) -> bool:
    return any(
        isinstance(part, dict) and len(part) > _MANY_FIELDS for part in (event, *event.values())
    )


def peek_event_id(text: str) -> str | None:
    """The `event_id` of a frame that may be invalid otherwise, so that its error can carry it."""
    try:
        value = _loose.validate_json(text).get("event_id")
    except ValidationError:
        value = _leniently(text).get("event_id")
    known = isinstance(value, str) and len(value) <= 200 and not _SURROGATE.search(value)
    return value if known else None


_SURROGATE = re.compile("[\ud800-\udfff]")
_ESCAPED_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


def _leniently(text: str) -> dict[str, Any]:
    """A frame that is refused only for its lone surrogates, which strict parsers do not take and
    JavaScript writes; empty for any other."""
    if not _ESCAPED_SURROGATE.search(text):
        return {}
    try:
        event = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return event if isinstance(event, dict) else {}


def _broken_field(text: str) -> str | None:
    """The first field of a frame with a lone surrogate in it, or in its name; None without one."""
    for name, value in _leaves(_leniently(text)):
        if _SURROGATE.search(name + value):
            return _SURROGATE.sub("\ufffd", name)[:_PARAM_CHARS]
    return None


def _leaves(value: Any, name: str = "", depth: int = 3) -> Iterator[tuple[str, str]]:
    """What stands in an event: the fields by their names, with a dot for those inside others."""
    if isinstance(value, dict | list) and depth:
        inner = value.items() if isinstance(value, dict) else enumerate(value)
        for key, each in inner:
            yield from _leaves(each, f"{name}.{key}" if name else str(key), depth - 1)
    else:
        yield name, value if isinstance(value, str) else ""


_loose: TypeAdapter[dict[str, Any]] = TypeAdapter(dict[str, Any])


_PARAM_CHARS = 100
"""So much of a field's name is repeated; the client may have made up a long one."""


def _explain(fault: Any) -> tuple[str, str | None]:
    kind, location = fault["type"], fault["loc"]
    if kind == "json_invalid":
        return f"The frame is not valid JSON: {fault['ctx']['error']}.", None
    if kind in ("union_tag_not_found", "union_tag_invalid"):
        return f"`type` must be one of {', '.join(_CLIENT_EVENT_NAMES)}.", "type"
    if not location:
        return "The frame must be one JSON object.", None
    location = (*location, *(name for name in [fault.get("ctx", {}).get("param")] if name))
    param = ".".join(str(part) for part in location[1:])[:_PARAM_CHARS] or None
    if kind == "extra_forbidden":
        return f"`{param}` is not a field of {location[0]}.", param
    if kind == "one_task":
        return f"{fault['msg']}.", "input"
    return f"`{param}`: {fault['msg'].removeprefix('Value error, ')}.", param


# --- what the server sends -----------------------------------------------------------------


class _ServerEvent(_Event):
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


ServerEvent = (
    SessionCreated
    | SessionPong
    | SessionUpdated
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
