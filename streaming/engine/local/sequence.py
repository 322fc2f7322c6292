"""One response inside the engine: its tokens, its sampling parameters, where it stands."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import TYPE_CHECKING

from streaming.engine.base import EngineError, GenerationRequest, SamplingParams

if TYPE_CHECKING:
    from streaming.engine.local.answers.channel_parser import ChannelParser
    from streaming.engine.local.answers.detokenizer import Detokenizer


class SequencePhase(Enum):
    """What a sequence does in a step."""

    PREFILL = auto()  # still reading its tokens
    DECODE = auto()  # every step adds one token


@dataclass(eq=False, slots=True)
class TokenSequence:
    """A request as tokens. `tokens` are the prompt's and then the generated ones; the first
    `prompt_tokens` are the prompt. `row` is its cache row, -1 without one, which holds keys and
    values of the first `cached` tokens; `to_read` is what was `unread` when it got the row.
    """

    request: GenerationRequest
    tokens: list[int]
    prompt_tokens: int
    detokenizer: Detokenizer | ChannelParser
    row: int = -1
    cached: int = 0
    to_read: int = 0
    phase: SequencePhase = field(default=SequencePhase.PREFILL)

    @property
    def id(self) -> str:
        """Return the response's id."""
        return self.request.response_id

    @property
    def params(self) -> SamplingParams:
        """Return the request's sampling parameters."""
        return self.request.params

    @property
    def generated(self) -> int:
        """Return the number of tokens of the answer so far, those of earlier attempts included."""
        return len(self.tokens) - self.prompt_tokens

    @property
    def answered(self) -> int:
        """Return the number of generated tokens that `max_tokens` bounds: all but a thought's."""
        return self.generated - self.detokenizer.uncounted

    @property
    def unread(self) -> int:
        """Return the number of tokens that prefill has yet to read."""
        return len(self.tokens) - self.cached


def check_params(params: SamplingParams) -> None:
    """Raise EngineError (`invalid_params`) naming the first parameter that is out of range."""
    faults = (
        (params.max_tokens < 1, "max_tokens must be at least 1"),
        (not _at_least(params.temperature, 0.0), "temperature must be a number from 0"),
        (not (0.0 < params.top_p <= 1.0), "top_p must be above 0 and at most 1"),
        (params.top_k < 0, "top_k must be at least 0"),
        (
            not (_at_least(params.repetition_penalty, 0.0) and params.repetition_penalty > 0),
            "repetition_penalty must be a number above 0",
        ),
    )
    for wrong, message in faults:
        if wrong:
            raise EngineError(message + ".", "invalid_params")


def _at_least(value: float, bound: float) -> bool:
    return math.isfinite(value) and value >= bound
