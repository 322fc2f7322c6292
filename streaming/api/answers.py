"""What clients get, after OpenAI's chat completions. `chatstream` is a field of our own."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class _Answer(BaseModel):
    model_config = ConfigDict(extra="forbid")


def _if_any(description: str) -> Any:
    """A field that is left out where there is nothing to say."""
    return Field(None, description=description, exclude_if=lambda value: value is None)


class Usage(_Answer):
    """Tokens of the prompt and of the answer."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: dict[str, int] | None = _if_any("As the model's server says.")
    completion_tokens_details: dict[str, int] | None = _if_any(
        "`reasoning_tokens`: those that were thought; others as the model's server says."
    )


class Timings(_Answer):
    """Milliseconds since the request was accepted; null for what never happened."""

    queue_ms: int | None
    ttft_ms: int | None = Field(description="Until the first token, the queue included.")
    total_ms: int
    reasoning_ms: int | None = _if_any("How long it thought before the answer's first token.")


class Ended(_Answer):
    """Of an answer that is complete. Ordinary clients ignore it."""

    response_id: str
    timings: Timings
    trimmed_messages: int = Field(
        0, description="So many of the oldest were left out, as `truncation` `auto` allows."
    )


class Waiting(_Answer):
    """A place in the queue. Ordinary clients ignore it."""

    response_id: str
    position: int | None = Field(description="1 is next; null when it does not wait.")
    size: int | None = Field(description="How many wait.")
    eta_seconds: float | None = Field(description="Until it gets a place; null if unknown.")


class CalledFunction(_Answer):
    """The function that a model wants called, and its arguments."""

    name: str = ""
    arguments: str = Field("", description="JSON, as the model wrote it.")


class AnswerToolCall(_Answer):
    """A call of a tool that a model asks for."""

    id: str = ""
    type: Literal["function"] = "function"
    function: CalledFunction


class AnswerMessage(_Answer):
    """The assistant's message."""

    role: Literal["assistant"] = "assistant"
    content: str | None = Field(
        description="Null if tools are called, or the model refuses, and nothing else is said."
    )
    refusal: str | None = None
    annotations: list[dict[str, Any]] | None = _if_any("Notes of the model's server on the text.")
    tool_calls: list[AnswerToolCall] | None = _if_any("Of a model's server that knows tools.")
    reasoning_content: str | None = _if_any("What the model thought before it answered.")


FinishReason = Literal["stop", "length", "tool_calls", "content_filter"]

_FINGERPRINT = Field(
    None,
    description="The same for as long as the same model answers in the same build of this service; "
    "null where that is not known, as of a model behind another server.",
)


class Choice(_Answer):
    """The one answer of a request."""

    index: Literal[0] = 0
    message: AnswerMessage
    finish_reason: FinishReason
    logprobs: dict[str, Any] | None = None


class ChatCompletion(_Answer):
    """An answer in one piece."""

    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    model: str
    system_fingerprint: str | None = _FINGERPRINT
    service_tier: str | None = _if_any("By which the model's server answered, if it says so.")
    choices: list[Choice]
    usage: Usage
    chatstream: Ended


class CalledFunctionDelta(_Answer):
    """A part of what a call names: its function, or a piece of the arguments."""

    name: str | None = None
    arguments: str | None = None


class ToolCallDelta(_Answer):
    """A part of a call: its id and name once, then its arguments in pieces."""

    index: int
    id: str | None = None
    type: Literal["function"] | None = None
    function: CalledFunctionDelta


class Delta(_Answer):
    """What is new of a message."""

    role: Literal["assistant"] | None = None
    content: str | None = None
    refusal: str | None = None
    annotations: list[dict[str, Any]] | None = None
    tool_calls: list[ToolCallDelta] | None = None
    reasoning_content: str | None = None


class ChunkChoice(_Answer):
    """What is new of the one answer."""

    index: Literal[0] = 0
    delta: Delta
    finish_reason: FinishReason | None = None
    logprobs: dict[str, Any] | None = None


class ChatCompletionChunk(_Answer):
    """One `data:` line of the stream. While the request waits, chunks with an empty text carry
    its place in `chatstream`."""

    id: str
    object: Literal["chat.completion.chunk"] = "chat.completion.chunk"
    created: int
    model: str
    system_fingerprint: str | None = _FINGERPRINT
    service_tier: str | None = _if_any("By which the model's server answered, if it says so.")
    choices: list[ChunkChoice]
    usage: Usage | None = None
    chatstream: Waiting | Ended | None = None


class TextLogprobs(_Answer):
    """Log probabilities of a text's tokens: lists of equal length."""

    tokens: list[str]
    token_logprobs: list[float]
    top_logprobs: list[dict[str, float]]
    text_offset: list[int] = Field(description="Where each begins in the answer's text.")


class TextChoice(_Answer):
    """The one answer to a text, or what of it is new in a chunk of a stream."""

    text: str
    index: Literal[0] = 0
    logprobs: TextLogprobs | None = None
    finish_reason: FinishReason | None


class TextCompletion(_Answer):
    """What follows a text; also one `data:` line of the stream, with what is new of it."""

    id: str
    object: Literal["text_completion"] = "text_completion"
    created: int
    model: str
    system_fingerprint: str | None = _FINGERPRINT
    service_tier: str | None = _if_any("By which the model's server answered, if it says so.")
    choices: list[TextChoice]
    usage: Usage | None = None
    chatstream: Waiting | Ended | None = None


class Model(_Answer):
    """A model that live workers serve."""

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str = "chatstream"


class ModelList(_Answer):
    """All models of the live workers."""

    object: Literal["list"] = "list"
    data: list[Model]


class ErrorExtension(_Answer):
    """Our own code of an error, beside OpenAI's."""

    code: str = Field(description="Ours, which may be more exact.")


class ErrorInfo(_Answer):
    """An error, in OpenAI's shape."""

    message: str
    type: Literal["invalid_request_error", "rate_limit_error", "server_error"]
    param: str | None = Field(description="The field that is wrong.")
    code: str | None = Field(description="OpenAI's, where it has one.")
    chatstream: ErrorExtension


class ErrorBody(_Answer):
    """The body of every answer that is an error."""

    error: ErrorInfo
