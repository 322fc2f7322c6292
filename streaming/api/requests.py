"""What clients send, after OpenAI's chat completions, and what it means here.

Unknown fields are ignored, as ordinary clients expect. Known ones that would change the answer
and cannot be honoured are refused by name, so that nobody takes for granted what is not there.
"""

from __future__ import annotations

from collections.abc import Mapping
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

from streaming import conf
from streaming.api import passing
from streaming.api.errors import ApiError
from streaming.engine.base import ChatMessage
from streaming.lifecycle import params
from streaming.protocol.base import Text
from streaming.protocol.sampling_params import MOST_STOPS, Params, Tokens
from streaming.protocol.thinking_params import LooseThinkingParams

MAX_MESSAGES = 1000
_MAX_PARTS = 100

_ONLY: dict[str, tuple[object, ...]] = {
    "functions": (None, []),
    "function_call": (None, "none", "auto"),
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
                    "unsupported_parameter",
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
        {"type": "array", "items": {"type": "string"}, "maxItems": MOST_STOPS},
        {"type": "null"},
    ],
    "description": "The answer ends before any of these texts.",
}


class RequestMessage(passing.MessageFields):
    """A message of the conversation that a request brings along."""

    model_config = ConfigDict(frozen=True)

    role: Literal["system", "developer", "user", "assistant", "tool"] = Field(
        description="`developer` is the same as `system`."
    )
    content: Annotated[Text, BeforeValidator(_text_of), WithJsonSchema(_CONTENT)]
    reasoning_content: Text | None = Field(
        None,
        description="Of the assistant's: what it thought before. Models that are not to see it "
        "again do not. Of the last message without `content`: the thought is gone on with.",
    )
    reasoning: Text | None = Field(None, description="Another name of `reasoning_content`.")

    @model_validator(mode="before")
    @classmethod
    def _may_call_tools(cls, data: Any) -> Any:
        return passing.with_content(data)


class StreamOptions(BaseModel):
    """Options of a stream, as OpenAI's."""

    model_config = ConfigDict(frozen=True)

    include_usage: bool | None = Field(
        None, description="Send `usage` in a chunk of its own, with empty `choices`, at the end."
    )


class ChatCompletionRequest(passing.PassedOn, LooseThinkingParams, Params):
    """`top_k`, `repetition_penalty`, `ignore_eos` and `truncation` are extensions. `n` may be 1
    only. Where the model runs in this service, penalties other than 0, logprobs, tools and
    structured output are refused; in front of another server they are passed on to it. What is
    unknown is ignored."""

    model_config = ConfigDict(extra="ignore", frozen=True, allow_inf_nan=False)

    model: str = Field(
        min_length=1, max_length=200, description="An id from `/v1/models`, or `default`."
    )
    messages: Annotated[list[RequestMessage], FailFast()] = Field(
        min_length=1,
        max_length=MAX_MESSAGES,
        description="The conversation, oldest first. If the last one is the assistant's, it is the "
        "beginning of the answer, which is continued and not repeated.",
    )
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: Tokens = Field(
        None,
        description="Most tokens of the answer; the server's own bound if absent, -1 or larger. An "
        "answer that ends there has the `finish_reason` `length`.",
    )
    max_completion_tokens: Tokens = Field(
        None,
        description="Another name of `max_tokens`. Neither counts a thought, which has a bound of "
        "its own; OpenAI's does.",
    )
    truncation: Literal["auto", "disabled"] | None = Field(
        None,
        description="`auto`: the oldest turns of a conversation that does not fit are left out, "
        "and `chatstream.trimmed_messages` says how many messages. Else it is refused, with "
        "`context_length_exceeded`.",
    )
    stop: Annotated[
        list[Annotated[Text, Field(min_length=1, max_length=100)]],
        BeforeValidator(_as_stops),
        WithJsonSchema(_STOP),
    ] = Field(default_factory=list, max_length=MOST_STOPS)

    @model_validator(mode="before")
    @classmethod
    def _only_supported(cls, data: Any) -> Any:
        return _refuse_unsupported(data)

    @property
    def include_usage(self) -> bool:
        """Return whether the stream ends with a chunk of its own for the usage."""
        return bool(self.stream_options and self.stream_options.include_usage)


def messages_of(request: ChatCompletionRequest, *, to_server: bool = False) -> list[ChatMessage]:
    """Raises ApiError for what no model could answer. `to_server`: they are passed on to one that
    knows tools."""
    settings = conf.get()
    limit, most = settings.max_input_chars, settings.conversation_chars
    for number, message in enumerate(request.messages):
        if len(message.content) > limit:
            text = (
                f"The message has {len(message.content):,} characters; at most {limit:,} are "
                "allowed."
            )
            raise ApiError(400, "input_too_long", text, f"messages.{number}.content")
    total = sum(len(message.content) for message in request.messages)
    if total > most:
        text = f"The messages have {total:,} characters together; at most {most:,} are allowed."
        raise ApiError(400, "context_length_exceeded", text, "messages")
    thoughts = [_thought_of(message) for message in request.messages]
    if (thought := sum(map(len, thoughts))) > most:
        text = (
            f"What was thought has {thought:,} characters together; at most {most:,} are allowed."
        )
        raise ApiError(400, "input_too_long", text, "messages")
    last = request.messages[-1]
    if last.tool_calls:
        text = "The last message calls tools; what they say has to follow."
        raise ApiError(400, "invalid_value", text, "messages")
    if not (last.content.strip() or last.role == "tool" or thoughts[-1]):
        text = "There is nothing to answer: the last message is empty."
        raise ApiError(400, "invalid_value", text, "messages")
    return [
        ChatMessage(
            "system" if message.role == "developer" else message.role,
            message.content,
            passing.fields_of(number, message.role, message, to_server=to_server),
            thought,
        )
        for number, (message, thought) in enumerate(zip(request.messages, thoughts, strict=True))
    ]


def _thought_of(message: RequestMessage) -> str:
    thought = message.reasoning_content or message.reasoning or ""
    return thought if message.role == "assistant" else ""


def params_of(request: ChatCompletionRequest, model: Mapping[str, Any]) -> dict[str, Any]:
    """As the record keeps them, for a model that its worker describes so. Raises ApiError for what
    contradicts itself."""
    names = ("max_completion_tokens", "max_tokens")
    limits = {name: limit for name in names if (limit := getattr(request, name)) is not None}
    if len(set(limits.values())) > 1:
        text = "`max_tokens` and `max_completion_tokens` are the same; send one of them."
        raise ApiError(400, "invalid_value", text, "max_tokens")
    given = {name: getattr(request, name) for name in Params.model_fields}
    given["max_tokens"] = next(iter(limits.values()), None)
    given["truncation"] = request.truncation or "disabled"
    return params.resolve(Params(**given), model, thinking=request)
