"""A response as the server shows it: what was asked, how far it is, and what it has said."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from streaming.protocol.items import Item, Said


class IncompleteDetails(Said):
    """Why an answer is not complete: `max_output_tokens`, `content_filter`, or `cancelled`."""

    reason: str


class ResponseError(Said):
    """Why a response failed."""

    code: str
    message: str


class InputTokensDetails(Said):
    """`cached_tokens`: those of the input that were in the cache and were not read again."""

    cached_tokens: int = 0


class OutputTokensDetails(Said):
    """`reasoning_tokens`: those of the output that were thought."""

    reasoning_tokens: int = 0


class Usage(Said):
    """Tokens of the input and of the output."""

    input_tokens: int
    output_tokens: int
    total_tokens: int
    input_tokens_details: InputTokensDetails = InputTokensDetails()
    output_tokens_details: OutputTokensDetails = OutputTokensDetails()


class ReasoningAsked(Said):
    """How much the model was asked to think."""

    effort: str | None = None
    summary: str | None = None


class Timings(Said):
    """Milliseconds from the acceptance to the start, to the first token and to the end; null for
    what never happened. `reasoning_ms`: how long the model thought."""

    queue_ms: int | None = None
    ttft_ms: int | None = None
    total_ms: int | None = None
    reasoning_ms: int | None = None


class ResponseExtension(Said):
    """What the specification has no words for. `finish_reason`, `timings`: of an ended response.
    `trimmed_messages`: so many of the oldest messages were left out, since they do not fit into
    the context. `attempt`: how many workers have begun it."""

    conversation_id: str | None = None
    finish_reason: str | None = None
    trimmed_messages: int = 0
    attempt: int = 0
    timings: Timings | None = None


class ResponseResource(Said):
    """A response. All fields are always there, as the specification wants them.

    In events that are stored, `instructions`, `tools` and `metadata` are empty: they are the
    request's own, may be long, and are added at the doors of `/v1/responses`.
    """

    id: str
    object: Literal["response"] = "response"
    created_at: int
    completed_at: int | None = None
    status: str
    incomplete_details: IncompleteDetails | None = None
    model: str
    previous_response_id: str | None = None
    instructions: str | None = None
    output: list[Item] = Field(default_factory=list)
    error: ResponseError | None = None
    tools: list[dict[str, Any]] = Field(default_factory=list)
    tool_choice: str | dict[str, Any] = "auto"
    truncation: Literal["auto", "disabled"] = "disabled"
    parallel_tool_calls: bool = True
    text: dict[str, Any] = Field(default_factory=lambda: {"format": {"type": "text"}})
    top_p: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    top_logprobs: int = 0
    temperature: float = 1.0
    reasoning: ReasoningAsked | None = ReasoningAsked()
    usage: Usage | None = None
    max_output_tokens: int | None = None
    max_tool_calls: int | None = None
    store: bool = True
    background: bool = False
    service_tier: str = "default"
    metadata: dict[str, Any] = Field(default_factory=dict)
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None
    chatstream: ResponseExtension = ResponseExtension()
