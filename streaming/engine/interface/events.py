"""What an engine says of its responses."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

UNKNOWN_TOKEN = -1
"""A token that was generated, but by somebody who does not say which."""


class Channel(StrEnum):
    """Which part of an answer a text belongs to: the thought, or the answer itself."""

    REASONING = "reasoning"
    TEXT = "text"


class FinishReason(StrEnum):
    """Why an engine stopped generating a response."""

    STOP = "stop"  # end-of-turn token or a stop string
    LENGTH = "length"  # max_tokens, or the context is full
    TOOL_CALLS = "tool_calls"  # the model waits for the results of its tool calls
    CANCELLED = "cancelled"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Started:
    """The prompt was tokenized and its prefill begins.

    - `prompt_tokens`: 0 if not known yet; `Finished` has it then.
    - `trimmed_messages`: the oldest messages that were left out because the context was full.
    - `cached_tokens`: tokens of the prompt that are still in the cache and are not read again.
    - `anew`: everything said of this response before, by this attempt or an earlier one, is void;
      the answer begins again.
    """

    response_id: str
    prompt_tokens: int
    trimmed_messages: int = 0
    cached_tokens: int = 0
    anew: bool = False


@dataclass(frozen=True, slots=True)
class TextDelta:
    """New tokens and the text they complete, all of one channel.

    `text` may be empty while a character is incomplete. A thought that comes after some text is
    appended to the thought before it. An engine that is told no token ids gives as many
    UNKNOWN_TOKEN as there are tokens.
    """

    response_id: str
    text: str
    tokens: tuple[int, ...]
    channel: Channel = Channel.TEXT


@dataclass(frozen=True, slots=True)
class PassedDelta:
    """New tokens that are no text: `fields` is a part of what `engine.passed` describes."""

    response_id: str
    fields: Mapping[str, Any]
    tokens: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Finished:
    """The last event of a response, exactly one for each `submit`.

    `reasoning_tokens` are those of `completion_tokens` that belong to a thought. `error_code` and
    `error_message` are set for `FinishReason.ERROR` alone.
    """

    response_id: str
    reason: FinishReason
    prompt_tokens: int = 0
    completion_tokens: int = 0
    error_code: str = ""
    error_message: str = ""
    reasoning_tokens: int = 0


EngineEvent = Started | TextDelta | PassedDelta | Finished
EventSink = Callable[[Sequence[EngineEvent]], None]
"""Called from the engine's thread with all events of one step, in order; must return at once."""
