"""What an engine is asked: a conversation, how to sample, and what is already generated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

CHARS_PER_TOKEN = 16
"""More characters than ordinary text has for each token. A conversation with more of them for each
token of the context does not fit, whatever the tokenizer."""


@dataclass(frozen=True, slots=True)
class ChatMessage:
    """One message of a conversation; a request has the oldest first.

    `reasoning` is what the assistant thought before `content`; the chat template decides whether
    the model sees it again. `fields` are further fields as OpenAI's API names them: `tool_calls`
    of an assistant's message, whose content may be empty then, and `tool_call_id` of a tool's.
    Only engines that forward take messages with `fields`. `parts` are the parts of a content that
    is not one text, as Open Responses names them (`input_text`, `input_image`, whose `image_url`
    is a data URL or an address); `content` is what of it is text. Only models with `takes_images`
    are given images.
    """

    role: Literal["system", "user", "assistant", "tool"]
    content: str
    fields: Mapping[str, Any] = field(default_factory=dict, hash=False)
    reasoning: str = ""
    parts: tuple[Mapping[str, Any], ...] = field(default=(), hash=False)


Effort = Literal["auto", "off", "low", "medium", "high"]


@dataclass(frozen=True, slots=True)
class Thinking:
    """Whether a model thinks before it answers, and how much. Models that never think ignore it.

    - `effort`: `auto` is the model's own default.
    - `template`: variables for the chat template; they override those that `effort` sets.
    - `max_tokens`: the most tokens of a thought. A longer one is ended and the answer begins; 0
      leaves it to the context.
    - `asked`: the effort as the request named it, in OpenAI's words, for an upstream server.
    """

    effort: Effort = "auto"
    template: Mapping[str, Any] = field(default_factory=dict, hash=False)
    max_tokens: int = 0
    asked: str = ""


@dataclass(frozen=True, slots=True)
class SamplingParams:
    """How one response's tokens are drawn, and when it ends.

    - `max_tokens`: the most generated tokens, those of earlier attempts included, those of a
      thought not.
    - `seed` is always concrete: the same seed gives the same answer alone, in a crowd, and after
      a crash.
    - `temperature` 0 is greedy decoding; `top_k` 0 switches top-k off, `top_p` 1 top-p.
    - `stop`: the text ends before the first of these strings.
    - `ignore_eos`: the model's end-of-turn tokens do not end the answer (benchmarks want answers of
      equal length); `stop` still does.
    - `asked`: the names of the parameters that the request set; None means all. An upstream server
      is told only these.
    - `passed`: parameters that only an upstream server understands, such as `tools`, as Chat
      Completions names them. Not None also means that the request's client sends earlier turns with
      their thoughts, which the model is then shown.
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

    If the last message is the assistant's, the answer continues it mid-sentence and repeats none
    of it; one with `reasoning` and no content continues the thought.

    - `prior_tokens`: tokens that an earlier attempt generated and published; `prior_reasoning`,
      `prior_text` and `prior_passed` are what they said. The engine continues right after them and
      repeats none of their text; one that cannot says so by a `Started` with `anew`.
    - `prior_in_thought`: a thought is what they said last, though there may be text before it.
    - `left_out`: messages before `messages` that fit no context; they count as trimmed.
    - `trims`: whether the oldest messages may be left out to make the prompt fit. If not, a prompt
      that does not fit ends with the error `context_length_exceeded`.
    - `raw`: the prompt is the text of the messages as it is, without the chat template, and the
      answer is what follows it, without a thought. Only models that `completes_text` take it.
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
    prior_in_thought: bool = False
    thinking: Thinking = Thinking()
    raw: bool = False
