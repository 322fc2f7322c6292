"""What clients send and get, after OpenAI's chat completions. Fields of our own are said so.

Unknown fields are ignored, as ordinary clients expect. Known ones that would change the answer
and cannot be honoured are refused by name, so that nobody takes for granted what is not there.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    FailFast,
    Field,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import PydanticCustomError

from streaming.protocol import Params, Text

MAX_MESSAGES = 1000
_MAX_PARTS = 100

_ONLY: dict[str, tuple[object, ...]] = {
    "n": (None, 1),
    "logprobs": (None, False),
    "top_logprobs": (None, 0),
    "tools": (None, []),
    "tool_choice": (None, "none", "auto"),
    "functions": (None, []),
    "function_call": (None, "none", "auto"),
    "presence_penalty": (None, 0),
    "frequency_penalty": (None, 0),
    "logit_bias": (None, {}),
    "response_format": (None, {"type": "text"}),
    "modalities": (None, ["text"]),
    "audio": (None,),
    "web_search_options": (None,),
}
"""Fields that this server knows in no other way than off."""


def _refuse_unsupported(data: Any) -> Any:
    if isinstance(data, dict):
        for name, allowed in _ONLY.items():
            if name in data and data[name] not in allowed:
                raise PydanticCustomError(
                    "unsupported_value" if name == "n" else "unsupported_parameter",
                    "`{param}` is not supported here.",
                    {"param": name},
                )
    return data


def _text_of(content: object) -> object:
    """Text as it is, or the text parts of a list, a line each."""
    if not isinstance(content, list):
        return content
    if not 0 < len(content) <= _MAX_PARTS:
        raise PydanticCustomError(
            "invalid_content", "A message's content has 1 to {most} parts.", {"most": _MAX_PARTS}
        )
    texts: list[str] = []
    for number, part in enumerate(content):
        kind = part.get("type") if isinstance(part, dict) else None
        text = part.get("text") if isinstance(part, dict) else None
        if kind != "text":
            raise PydanticCustomError(
                "invalid_content",
                "Part {number} of the content is of type {kind}; only `text` is supported.",
                {"number": number, "kind": repr(kind)[:50]},
            )
        if not isinstance(text, str):
            raise PydanticCustomError(
                "invalid_content", "Part {number} of the content lacks `text`.", {"number": number}
            )
        texts.append(text)
    return "\n".join(texts)


def _as_stops(value: object) -> object:
    if value is None:
        return []
    return [value] if isinstance(value, str) else value


_TEXT_PART = {
    "type": "object",
    "properties": {"type": {"const": "text"}, "text": {"type": "string"}},
    "required": ["type", "text"],
}
_CONTENT = {
    "anyOf": [
        {"type": "string"},
        {"type": "array", "items": _TEXT_PART, "minItems": 1, "maxItems": _MAX_PARTS},
    ],
    "description": "Text, or a list of text parts, which become a line each.",
}
_STOP = {
    "anyOf": [
        {"type": "string", "minLength": 1, "maxLength": 100},
        {"type": "array", "items": {"type": "string"}, "maxItems": 4},
        {"type": "null"},
    ],
    "description": "The answer ends before any of these texts.",
}


# --- what clients send ---------------------------------------------------------------------


class RequestMessage(BaseModel):
    model_config = ConfigDict(frozen=True)

    role: Literal["system", "developer", "user", "assistant"] = Field(
        description="`developer` is the same as `system`."
    )
    content: Annotated[Text, BeforeValidator(_text_of), WithJsonSchema(_CONTENT)]


class StreamOptions(BaseModel):
    model_config = ConfigDict(frozen=True)

    include_usage: bool | None = Field(
        None, description="Send `usage` in a chunk of its own, with empty `choices`, at the end."
    )


class ChatCompletionRequest(Params):
    """`top_k` and `repetition_penalty` are extensions. `n` may be 1 only; penalties other than 0,
    logprobs, tools and structured output are refused; what is unknown is ignored."""

    model_config = ConfigDict(extra="ignore", frozen=True, allow_inf_nan=False)

    model: str = Field(
        min_length=1, max_length=200, description="An id from `/v1/models`, or `default`."
    )
    messages: Annotated[list[RequestMessage], FailFast()] = Field(
        min_length=1,
        max_length=MAX_MESSAGES,
        description="The conversation, oldest first. The last one is the user's, or the "
        "beginning of the assistant's answer, which is continued and not repeated.",
    )
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: int | None = Field(
        None,
        ge=1,
        strict=True,
        description="Most tokens of the answer; the server's own bound if absent. A larger value "
        "is refused.",
    )
    max_completion_tokens: int | None = Field(
        None, ge=1, strict=True, description="OpenAI's newer name of `max_tokens`."
    )
    stop: Annotated[
        list[Annotated[Text, Field(min_length=1, max_length=100)]],
        BeforeValidator(_as_stops),
        WithJsonSchema(_STOP),
    ] = Field(default_factory=list, max_length=4)

    @model_validator(mode="before")
    @classmethod
    def _only_supported(cls, data: Any) -> Any:
        return _refuse_unsupported(data)

    @property
    def include_usage(self) -> bool:
        return bool(self.stream_options and self.stream_options.include_usage)


# --- what clients get ----------------------------------------------------------------------


class _Answer(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Usage(_Answer):
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class Timings(_Answer):
    """Milliseconds since the request was accepted; null for what never happened."""

    queue_ms: int | None
    ttft_ms: int | None = Field(description="Until the first token, the queue included.")
    total_ms: int


class Extension(_Answer):
    """Our own. Ordinary clients ignore it."""

    response_id: str | None = None
    position: int | None = Field(None, description="1 is next; null when it does not wait.")
    size: int | None = Field(None, description="How many wait.")
    eta_seconds: float | None = Field(None, description="Until it gets a place; null if unknown.")
    timings: Timings | None = None


class AnswerMessage(_Answer):
    role: Literal["assistant"] = "assistant"
    content: str
    refusal: None = None


FinishReason = Literal["stop", "length"]


class Choice(_Answer):
    index: Literal[0] = 0
    message: AnswerMessage
    finish_reason: FinishReason
    logprobs: None = None


class ChatCompletion(_Answer):
    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    model: str
    choices: list[Choice]
    usage: Usage
    chatstream: Extension


class Delta(_Answer):
    role: Literal["assistant"] | None = None
    content: str | None = None


class ChunkChoice(_Answer):
    index: Literal[0] = 0
    delta: Delta
    finish_reason: FinishReason | None = None
    logprobs: None = None


class ChatCompletionChunk(_Answer):
    """One `data:` line of the stream. While the request waits, chunks with an empty text carry
    its place in `chatstream`."""

    id: str
    object: Literal["chat.completion.chunk"] = "chat.completion.chunk"
    created: int
    model: str
    choices: list[ChunkChoice]
    usage: Usage | None = None
    chatstream: Extension | None = None


class Model(_Answer):
    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str = "chatstream"


class ModelList(_Answer):
    object: Literal["list"] = "list"
    data: list[Model]


class ErrorInfo(_Answer):
    message: str
    type: Literal["invalid_request_error", "rate_limit_error", "server_error"]
    param: str | None = Field(description="The field that is wrong.")
    code: str | None


class ErrorBody(_Answer):
    error: ErrorInfo
