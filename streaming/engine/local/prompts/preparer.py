"""Makes the token sequence that a request begins with, or finds what is wrong with the request."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from streaming.engine.base import EngineError, GenerationRequest, context_exceeded
from streaming.engine.local.answers.channel_parser import ChannelParser
from streaming.engine.local.answers.detokenizer import Detokenizer
from streaming.engine.local.prompts.prompt import OnProgress, PromptBuilder
from streaming.engine.local.sequence import TokenSequence, check_params
from streaming.engine.models.own_sampling import resolved

logger = logging.getLogger("streaming.engine")

_ANSWER_PART = 8
"""This part (1/8) of the tokens that the context has left is kept from a thought for the answer."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A request whose prompt was made: its `sequence`, or the `fault` because of which it ends."""

    request: GenerationRequest
    sequence: TokenSequence | None = None
    trimmed_messages: int = 0
    fault: EngineError | None = None


class Preparer:
    """Makes token sequences for a model with a context of `context_tokens` and a vocabulary of
    `vocabulary` tokens; `sampling` are its defaults for parameters that a request does not set."""

    def __init__(
        self,
        prompts: PromptBuilder,
        context_tokens: int,
        vocabulary: int,
        sampling: Mapping[str, float] | None = None,
    ) -> None:
        self._prompts = prompts
        self._sampling = sampling or {}
        self._context = context_tokens
        self._vocabulary = vocabulary

    def prepare(self, request: GenerationRequest, on_progress: OnProgress) -> Prepared:
        """Check and tokenize a request. Raises nothing: what is wrong with it is the result's
        `fault`."""
        try:
            sequence, trimmed = self._sequence_of(request, on_progress)
        except EngineError as error:
            return Prepared(request, fault=error)
        except BaseException:  # a panic of the tokenizer is no Exception, and must end nothing else
            logger.exception("Response %s could not begin", request.response_id)
            return Prepared(request, fault=EngineError("The prompt could not be read."))
        return Prepared(request, sequence, request.left_out + trimmed)

    def _sequence_of(
        self, request: GenerationRequest, on_progress: OnProgress
    ) -> tuple[TokenSequence, int]:
        params = resolved(request.params, self._sampling)
        check_params(params)
        request = replace(request, params=params)
        if params.passed or any(message.fields for message in request.messages):
            message = "This model takes no tools, and no other parameters that are passed on."
            raise EngineError(message, "invalid_params")
        if request.raw:
            return self._raw_sequence(request, on_progress), 0
        room = max(1, min(self._wanted(request), self._context // 4))
        if request.trims:
            # Older turns make room for the answer; the newest one need leave it one token only.
            prompt, trimmed = self._prompts.fit(
                request.messages,
                self._context - room,
                on_progress,
                most=self._context - 1,
                thinking=request.thinking,
            )
        elif request.left_out:
            raise context_exceeded(self._context)
        else:
            prompt = self._prompts.whole(
                request.messages, self._context, on_progress, request.thinking
            )
            trimmed = 0
        self._check_tokens(request, prompt)
        most_thought = self._most_thought(request, self._context - len(prompt))
        newest = request.messages[-1]
        detokenizer = self._prompts.answers.begin(prompt, params, newest, most_thought)
        return _begun(request, prompt, detokenizer), trimmed

    def _raw_sequence(self, request: GenerationRequest, on_progress: OnProgress) -> TokenSequence:
        """Return the sequence of a text that is gone on with as it is."""
        text = "".join(message.content for message in request.messages)
        prompt = self._prompts.raw(text, self._context, on_progress)
        self._check_tokens(request, prompt)
        return _begun(request, prompt, self._prompts.answers.begin_raw(prompt, request.params))

    def _check_tokens(self, request: GenerationRequest, prompt: Sequence[int]) -> None:
        if any(not 0 <= token < self._vocabulary for token in request.prior_tokens):
            raise EngineError("prior_tokens holds a token that the model lacks.", "invalid_params")
        if max(prompt, default=0) >= self._vocabulary:  # of a tokenizer with more of them
            raise EngineError("The prompt holds a token that the model lacks.", "engine_error")

    def _wanted(self, request: GenerationRequest) -> int:
        """Return how many tokens the answer may have, its thought included."""
        if not self._prompts.answers.thinks or request.thinking.effort == "off":
            return request.params.max_tokens
        return request.params.max_tokens + (request.thinking.max_tokens or self._context)

    def _most_thought(self, request: GenerationRequest, left: int) -> int:
        """Return the most tokens of a thought, of the tokens that the context has `left`: some are
        kept for the answer."""
        kept = min(request.params.max_tokens, left // _ANSWER_PART)
        most = max(1, left - kept)
        return min(request.thinking.max_tokens or most, most)


def _begun(
    request: GenerationRequest, prompt: Sequence[int], reader: Detokenizer | ChannelParser
) -> TokenSequence:
    """Return a sequence that goes on after what earlier attempts have generated."""
    for token in request.prior_tokens:  # published already
        reader.read(token)
    return TokenSequence(request, [*prompt, *request.prior_tokens], len(prompt), reader)
