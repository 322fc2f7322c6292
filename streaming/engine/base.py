"""The interface every engine fills: submit, cancel, events, stats.

An engine generates several responses concurrently and reports by events. It does not know
who waits, who reads, or where anything is stored; an engine that forwards to a remote
server fills the same interface as the local one.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal

CHARS_PER_TOKEN = 16
"""Ordinary text has fewer. A conversation with more of them than this for each token of the context
does not fit, whatever the tokenizer."""


class EngineError(Exception):
    """An engine cannot start or cannot serve a request; the text is for people.

    `code` is the machine-readable name that reaches the client.
    """

    def __init__(self, message: str, code: str = "engine_error") -> None:
        super().__init__(message)
        self.code = code


class Channel(StrEnum):
    """What a part of an answer is: what the model thought before, or what it says."""

    REASONING = "reasoning"
    TEXT = "text"


@dataclass(frozen=True, slots=True)
class ChatMessage:
    """One turn of a conversation, oldest first in a request.

    `reasoning` is what an assistant's turn thought before its content; whether the model sees it
    again is for its chat template to say. `fields` are what else it has, as OpenAI's API names it:
    `tool_calls` of an assistant's, whose content may be empty then; `tool_call_id` of a tool's.
    Only some engines take such turns.
    """

    role: Literal["system", "user", "assistant", "tool"]
    content: str
    fields: Mapping[str, Any] = field(default_factory=dict, hash=False)
    reasoning: str = ""


Effort = Literal["auto", "off", "low", "medium", "high"]


@dataclass(frozen=True, slots=True)
class Thinking:
    """Whether a model that can think does so before it answers, and how much.

    `effort` `auto` is the model's own way. `template`: variables for its chat template, which count
    more than what `effort` makes of them. `max_tokens` bounds the thought, which is ended then and
    the answer begins; 0: the context alone does. Models that do not think take no notice.
    `asked`: the effort as a request named it, in OpenAI's words, for another server.
    """

    effort: Effort = "auto"
    template: Mapping[str, Any] = field(default_factory=dict, hash=False)
    max_tokens: int = 0
    asked: str = ""


@dataclass(frozen=True, slots=True)
class SamplingParams:
    """How one response's tokens are drawn.

    `temperature` 0 is greedy decoding. `top_k` 0 switches top-k off, `top_p` 1 top-p.
    `seed` is always concrete: the same seed gives the same answer alone, in a crowd, and
    after a crash. `max_tokens` bounds the generated tokens, those of earlier attempts included, but
    not those of a thought.
    `ignore_eos`: the model's own end of its answer is a token like others, so that answers are
    equally long where that is what one measures; `stop` still ends them.

    `asked`: the names of those that somebody asked for, which is all that an engine before another
    server tells it; None: all. `passed`: parameters that only such a server understands, such as
    `tools`, and that all of its answer is wanted (`PassedDelta`); None: the text alone is.
    """

    max_tokens: int
    seed: int
    temperature: float = 0.3
    top_p: float = 0.9
    top_k: int = 50
    repetition_penalty: float = 1.0
    stop: tuple[str, ...] = ()
    ignore_eos: bool = False
    asked: frozenset[str] | None = None
    passed: Mapping[str, Any] | None = field(default=None, hash=False)


@dataclass(frozen=True, slots=True)
class GenerationRequest:
    """One response to generate.

    When the last message is the assistant's, the answer continues it mid-sentence and repeats
    none of it; with `reasoning` and no content it continues the thought. `prior_tokens` are tokens
    that an earlier attempt already generated and published, and `prior_reasoning` and `prior_text`
    are what they say: the engine continues right after them and repeats none of
    their text. One that cannot says so by a `Started` with `anew`. `prior_passed` is what was
    published besides the text. `left_out`: so many messages came before these and fit no context;
    they count as trimmed. `trims` false: none may be left out, and what does not fit ends with the
    error `context_length_exceeded`.
    """

    response_id: str
    messages: tuple[ChatMessage, ...]
    params: SamplingParams
    prior_tokens: tuple[int, ...] = ()
    prior_text: str = ""
    left_out: int = 0
    trims: bool = True
    prior_passed: Mapping[str, Any] = field(default_factory=dict, hash=False)
    prior_reasoning: str = ""
    thinking: Thinking = Thinking()


def context_exceeded(context: int = 0, taken: int = 0) -> EngineError:
    """The error of a request that does not fit and must not be trimmed, with the tokens that its
    messages take; 0: nobody knows. Programs look for the first words."""
    numbers = f"{context} tokens, and the messages take {taken or 'more'}"
    return EngineError(
        f"This model's maximum context length is {numbers if context else 'exceeded'}. Shorten the "
        'conversation, or send `"truncation": "auto"` to have its oldest turns left out.',
        "context_length_exceeded",
    )


UPSTREAM = "upstream"
"""The device of a model that another server holds."""

UNKNOWN_TOKEN = -1
"""A token that was generated, but by somebody who does not say which."""


class FinishReason(StrEnum):
    """Why an engine stopped generating a response."""

    STOP = "stop"  # end-of-turn token or a stop string
    LENGTH = "length"  # max_tokens, or the context is full
    TOOL_CALLS = "tool_calls"  # the model waits for what the tools say
    CANCELLED = "cancelled"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Started:
    """The prompt was tokenized and its prefill begins.

    `prompt_tokens` 0: not known yet, `Finished` says it. `trimmed_messages` counts the oldest
    messages left out because the context was full; `cached_tokens` of the prompt's tokens need not
    be read, since the engine still has them. `anew`: what was said of this response before, by
    this attempt or an earlier one, is void; the answer begins again.
    """

    response_id: str
    prompt_tokens: int
    trimmed_messages: int = 0
    cached_tokens: int = 0
    anew: bool = False


@dataclass(frozen=True, slots=True)
class TextDelta:
    """New tokens and the text they complete; `text` may be empty while a character is half-done.
    All of it is of one channel; a thought that comes after some text is added to the one before.

    An engine that is told no token ids gives as many UNKNOWN_TOKEN as there are tokens.
    """

    response_id: str
    text: str
    tokens: tuple[int, ...]
    channel: Channel = Channel.TEXT


@dataclass(frozen=True, slots=True)
class PassedDelta:
    """New tokens that are no text: a part of what `engine.passed` describes."""

    response_id: str
    fields: Mapping[str, Any]
    tokens: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Finished:
    """Always the last event of a response, exactly one for each `submit`. `reasoning_tokens` are
    those of `completion_tokens` that were thought."""

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


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """`max_running`: the most that the engine can generate concurrently, whatever it is asked.
    `capacity`: as many as it is meant to, by the settings or by what it measured; 0 says nothing
    else than `max_running`. `sampling`: what it takes for parameters that nobody asked for, by
    their names in SamplingParams. `thinks`: its answers may begin with a thought."""

    name: str
    device: str
    dtype: str
    context_tokens: int
    max_running: int
    parameters: int
    capacity: int = 0
    sampling: Mapping[str, float] = field(default_factory=dict, hash=False)
    thinks: bool = False


@dataclass(frozen=True, slots=True)
class StepRecord:
    """What one step did: ids that advanced by one token, and prompt tokens read per id."""

    index: int
    decoded: tuple[str, ...]
    prefilled: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class ThreadStats:
    """One thread of an engine, by its id of `threading.get_ident`.

    `progress` grows whenever it gets on; while `at_work` a number that stands still is how one
    that hangs is told.
    """

    thread_id: int
    at_work: bool
    progress: int


@dataclass(frozen=True, slots=True)
class EngineStats:
    """`pending` are submitted but without a row yet; `free` rows can be claimed for.

    `kv_bytes`: the memory set aside for keys and values, 0 before the first prompt; of it
    `kv_bytes_used` hold tokens of running responses. `tokens_per_second` over the last 10 s.

    `at_work`, `progress` (it grows several times in a step) and `thread_id` (0 before there is
    one) are those of the thread that steps, as in ThreadStats; `preparing` has the threads that
    make prompts for it.
    """

    running: int
    pending: int
    free: int
    steps: int
    generated_tokens: int
    alive: bool
    kv_bytes: int = 0
    kv_bytes_used: int = 0
    tokens_per_second: float = 0.0
    at_work: bool = False
    progress: int = 0
    thread_id: int = 0
    preparing: tuple[ThreadStats, ...] = ()


class Engine(ABC):
    """Thread-safe face of an engine. `submit` and `cancel` return at once, from any thread."""

    @property
    @abstractmethod
    def info(self) -> ModelInfo:
        """The loaded model. Raises EngineError before `start` has returned."""

    def prepare(self) -> None:
        """Fetch and check what `start` needs, where a person sees the progress.

        Raises EngineError if the model cannot be had or cannot be served.
        """
        return None

    @abstractmethod
    def start(self, sink: EventSink) -> None:
        """Load the model (blocking) and begin to step. Raises EngineError if it cannot serve."""

    @abstractmethod
    def submit(self, request: GenerationRequest) -> None:
        """Take a request. Its faults come as a Finished event, never as an exception here.

        Raises EngineError only when the engine is not running or the id is still open.
        """

    @abstractmethod
    def cancel(self, response_id: str) -> None:
        """End a response before the next step; unknown ids are ignored. Returns at once, even
        while a step hangs."""

    @property
    def unavailable_reason(self) -> str:
        """Why nothing can be answered just now, though the engine is alive; empty if it can."""
        return ""

    @property
    def shares_cores(self) -> bool:
        """Whether it computes on the cores of this machine, and waits while others use them."""
        return True

    @property
    def prefixes(self) -> int:
        """Of how many prompts it keeps what it read, the latest ones, so that one that begins as
        one of them is read faster by this engine than by another. 0: of none."""
        return 0

    @abstractmethod
    def stats(self) -> EngineStats: ...

    @abstractmethod
    def recent_steps(self) -> list[StepRecord]:
        """The last steps, oldest first, for tests and operators."""

    @abstractmethod
    def close(self, timeout: float = 10.0) -> None:
        """Stop stepping and free the model; running responses finish as cancelled."""
