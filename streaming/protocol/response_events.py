"""The events of one response, on all doors: Open Responses' (2026-04-24), and ours, whose names
begin with `chatstream:`.

Numbered events are stored by the waiting list in the order of their numbers, and replayed. What
tells only how it stands (`response.created`, `response.queued`, `chatstream:queue_position`) has
the number 0: it is told anew, as it is then, to whoever comes later.
"""

from __future__ import annotations

from typing import Any, Literal
from uuid import UUID

from pydantic import Field

from streaming.protocol.items import Item, Part, Said
from streaming.protocol.response_resource import ResponseResource

TERMINAL_TYPES = ("response.completed", "response.incomplete", "response.failed")
"""Of the last event of a response; one that was cancelled is `response.incomplete`."""


class ResponseEvent(Said):
    """An event of the response `response_id`. A stored one gets its `sequence_number` from the
    waiting list, in the stored JSON; so clients read it, and no event is made with it."""

    sequence_number: int = Field(0, exclude=True)
    response_id: UUID


# --- how the response stands ---


class ResponseInProgress(ResponseEvent):
    """The answer begins. A second one means that it begins anew: discard all of its items so far.
    That happens when the queue lost its memory (`sequence_number` has jumped ahead then), or when
    the model's server broke off and cannot continue.

    `prompt_tokens` is 0 where nobody knows yet.
    """

    type: Literal["response.in_progress"] = "response.in_progress"
    response: ResponseResource
    prompt_tokens: int = 0


class ResponseCompleted(ResponseEvent):
    """The answer is complete, with all of its items."""

    type: Literal["response.completed"] = "response.completed"
    response: ResponseResource


class ResponseIncomplete(ResponseEvent):
    """The answer ended before it was complete, or was cancelled."""

    type: Literal["response.incomplete"] = "response.incomplete"
    response: ResponseResource


class ResponseFailed(ResponseEvent):
    """There is no answer, or only the beginning of one; `response.error` says why."""

    type: Literal["response.failed"] = "response.failed"
    response: ResponseResource


# --- items and their parts ---


class OutputItemAdded(ResponseEvent):
    """An item begins."""

    type: Literal["response.output_item.added"] = "response.output_item.added"
    output_index: int
    item: Item


class OutputItemDone(ResponseEvent):
    """An item is complete."""

    type: Literal["response.output_item.done"] = "response.output_item.done"
    output_index: int
    item: Item


class ContentPartAdded(ResponseEvent):
    """A part of an item's content begins."""

    type: Literal["response.content_part.added"] = "response.content_part.added"
    item_id: str
    output_index: int
    content_index: int
    part: Part


class ContentPartDone(ResponseEvent):
    """A part of an item's content is complete."""

    type: Literal["response.content_part.done"] = "response.content_part.done"
    item_id: str
    output_index: int
    content_index: int
    part: Part


class TextExtension(Said):
    """`offset`: Unicode code points of the response's text, or thought, before this delta, over all
    of its items. `reasoning_ms`: how long it has thought."""

    offset: int
    reasoning_ms: int | None = Field(None, exclude_if=lambda value: value is None)


class OutputTextDelta(ResponseEvent):
    """More text of the answer."""

    type: Literal["response.output_text.delta"] = "response.output_text.delta"
    item_id: str
    output_index: int
    content_index: int
    delta: str
    logprobs: list[dict[str, Any]] = Field(default_factory=list)
    chatstream: TextExtension


class OutputTextDone(ResponseEvent):
    """The text of a part is complete."""

    type: Literal["response.output_text.done"] = "response.output_text.done"
    item_id: str
    output_index: int
    content_index: int
    text: str
    logprobs: list[dict[str, Any]] = Field(default_factory=list)


class ReasoningTextDelta(ResponseEvent):
    """More text of what the model thinks."""

    type: Literal["response.reasoning_text.delta"] = "response.reasoning_text.delta"
    item_id: str
    output_index: int
    content_index: int
    delta: str
    chatstream: TextExtension


class ReasoningTextDone(ResponseEvent):
    """A thought is complete."""

    type: Literal["response.reasoning_text.done"] = "response.reasoning_text.done"
    item_id: str
    output_index: int
    content_index: int
    text: str


class RefusalDelta(ResponseEvent):
    """More text of a refusal."""

    type: Literal["response.refusal.delta"] = "response.refusal.delta"
    item_id: str
    output_index: int
    content_index: int
    delta: str


class RefusalDone(ResponseEvent):
    """A refusal is complete."""

    type: Literal["response.refusal.done"] = "response.refusal.done"
    item_id: str
    output_index: int
    content_index: int
    refusal: str


class FunctionCallArgumentsDelta(ResponseEvent):
    """More of a call's arguments."""

    type: Literal["response.function_call_arguments.delta"] = (
        "response.function_call_arguments.delta"
    )
    item_id: str
    output_index: int
    delta: str


class FunctionCallArgumentsDone(ResponseEvent):
    """A call's arguments are complete."""

    type: Literal["response.function_call_arguments.done"] = "response.function_call_arguments.done"
    item_id: str
    output_index: int
    name: str
    arguments: str


class PassedDelta(ResponseEvent):
    """What the model's server says that is no part of an item: `fields` has some of `usage` (the
    details of the counts) and `logprobs` of tokens without text."""

    type: Literal["chatstream:passed"] = "chatstream:passed"
    fields: dict[str, Any]


# --- how it stands, told to each reader ---


class ResponseCreated(ResponseEvent):
    """The response is accepted."""

    type: Literal["response.created"] = "response.created"
    sequence_number: int = 0
    response: ResponseResource


Service = Literal["ready", "loading", "paused", "draining", "away"]
"""What all workers do together. `ready`: at least one serves; `loading`: the first one loads its
model; `paused`: none may take another prompt; `draining`: they finish what they run and take no
more; `away`: there is none. A prompt that was accepted waits."""


class QueuePlace(Said):
    """`position` is 1 for the next in line; `size` counts the responses that wait.
    `eta_low_seconds` and `eta_high_seconds` are about the 10th and the 90th percentile of the wait,
    null where too few answers have ended to tell them."""

    position: int | None
    size: int
    eta_seconds: float | None = None
    eta_low_seconds: float | None = None
    eta_high_seconds: float | None = None
    workers: int | None = None
    service: Service = "ready"


class ResponseQueued(ResponseEvent, QueuePlace):
    """The response has its place. `position` is null while an earlier response of the conversation
    is open, and when it waits no more. `kept_seconds`: for so long it is kept after the last socket
    that shows it has gone; then it is cancelled. Null: as long as the account is signed in."""

    type: Literal["response.queued"] = "response.queued"
    sequence_number: int = 0
    response: ResponseResource
    conversation_id: UUID
    kept_seconds: float | None = None


class ResponseQueuePosition(ResponseEvent, QueuePlace):
    """The position of a waiting response has changed, or its ETA."""

    type: Literal["chatstream:queue_position"] = "chatstream:queue_position"
    sequence_number: int = 0


class ResponseUpdated(ResponseEvent):
    """The prompt of a waiting response was changed to `input`."""

    type: Literal["chatstream:updated"] = "chatstream:updated"
    sequence_number: int = 0
    input: str


class LaterEvent(ResponseEvent):
    """A numbered event of a later version, as a client reads it: its number counts, too."""

    type: str
    sequence_number: int = Field(ge=1, exclude=True)


ENDS = ResponseCompleted | ResponseIncomplete | ResponseFailed

Numbered = (
    ResponseInProgress
    | OutputItemAdded
    | OutputItemDone
    | ContentPartAdded
    | ContentPartDone
    | OutputTextDelta
    | OutputTextDone
    | ReasoningTextDelta
    | ReasoningTextDone
    | RefusalDelta
    | RefusalDone
    | FunctionCallArgumentsDelta
    | FunctionCallArgumentsDone
    | PassedDelta
    | ResponseCompleted
    | ResponseIncomplete
    | ResponseFailed
)
"""Events that are stored and can be replayed."""
