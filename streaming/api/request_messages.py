"""The messages of a conversation that a request brings along."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field, WithJsonSchema, model_validator
from pydantic.json_schema import SkipJsonSchema
from pydantic_core import PydanticCustomError

from streaming import conf
from streaming.api import passing
from streaming.api.content_parts import CONTENT_SCHEMA, content_of
from streaming.api.errors import ApiError
from streaming.engine.base import ChatMessage
from streaming.protocol.base import Text


def _text_of(content: object) -> object:
    """Text as it is, or the text of a list of parts."""
    read = content_of(content)
    return content if read is None else read.text


def _with_parts(message: Any) -> Any:
    """The message with the parts of its content, if it has others than text."""
    if not isinstance(message, dict):
        return message
    with contextlib.suppress(PydanticCustomError):  # the content's own validator says it
        read = content_of(message.get("content"))
        return {**message, "parts": read.parts if read else ()}
    return {**message, "parts": ()}


class RequestMessage(passing.MessageFields):
    """A message of the conversation that a request brings along."""

    model_config = ConfigDict(frozen=True)

    role: Literal["system", "developer", "user", "assistant", "tool"] = Field(
        description="`developer` is the same as `system`."
    )
    content: Annotated[Text, BeforeValidator(_text_of), WithJsonSchema(CONTENT_SCHEMA)]
    reasoning_content: Text | None = Field(
        None,
        description="Of the assistant's: what it thought before. Models that are not to see it "
        "again do not. Of the last message without `content`: the thought is gone on with.",
    )
    reasoning: Text | None = Field(None, description="Another name of `reasoning_content`.")
    parts: SkipJsonSchema[tuple[Mapping[str, Any], ...]] = ()

    @model_validator(mode="before")
    @classmethod
    def _may_call_tools(cls, data: Any) -> Any:
        return _with_parts(passing.with_content(data))


def messages_of(said: Sequence[RequestMessage], *, to_server: bool = False) -> list[ChatMessage]:
    """Return the messages for the engine, their `parts` as they came. Raises ApiError for what no
    model could answer. `to_server`: they are passed on to one that knows tools."""
    settings = conf.get()
    limit, most = settings.max_input_chars, settings.conversation_chars
    for number, message in enumerate(said):
        if len(message.content) > limit:
            text = (
                f"The message has {len(message.content):,} characters; at most {limit:,} are "
                "allowed."
            )
            raise ApiError(400, "input_too_long", text, f"messages.{number}.content")
    total = sum(len(message.content) for message in said)
    if total > most:
        text = f"The messages have {total:,} characters together; at most {most:,} are allowed."
        raise ApiError(400, "context_length_exceeded", text, "messages")
    thoughts = [_thought_of(message) for message in said]
    if (thought := sum(map(len, thoughts))) > most:
        text = (
            f"What was thought has {thought:,} characters together; at most {most:,} are allowed."
        )
        raise ApiError(400, "input_too_long", text, "messages")
    last = said[-1]
    if last.tool_calls:
        text = "The last message calls tools; what they say has to follow."
        raise ApiError(400, "invalid_value", text, "messages")
    if not (last.content.strip() or last.role == "tool" or thoughts[-1] or last.parts):
        text = "There is nothing to answer: the last message is empty."
        raise ApiError(400, "invalid_value", text, "messages")
    return [
        ChatMessage(
            "system" if message.role == "developer" else message.role,
            message.content,
            passing.fields_of(number, message.role, message, to_server=to_server),
            thought,
            message.parts,
        )
        for number, (message, thought) in enumerate(zip(said, thoughts, strict=True))
    ]


def _thought_of(message: RequestMessage) -> str:
    thought = message.reasoning_content or message.reasoning or ""
    return thought if message.role == "assistant" else ""
