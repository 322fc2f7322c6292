"""Prompts on their way to the stepping thread: rendered and tokenized beside it.

Two threads, one for short conversations and one for long ones, so that nobody's short prompt
waits behind a long one. Short ones are prepared in their order; of long ones the shortest is next,
though not for ever: who comes later counts as somewhat longer.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from streaming.engine.base import (
    EngineError,
    GenerationRequest,
    ThreadStats,
    context_exceeded,
)
from streaming.engine.local.prompts.prompt import OnProgress, PromptBuilder
from streaming.engine.local.prompts.trimming import chars_of
from streaming.engine.local.sequence import TokenSequence, check_params
from streaming.engine.models.own_sampling import resolved

logger = logging.getLogger("streaming.engine")

SHORT_CHARS = 16_000
"""Of all messages of a short conversation: it takes a few milliseconds."""

_LATER_CHARS = 8_000
"""So many more a long one counts as having than the one that came before it."""

_ANSWER_PART = 8
"""Of what the context has left for it, this part of an answer is kept from its thought."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A request that can begin: its sequence, or the fault because of which it never will."""

    request: GenerationRequest
    sequence: TokenSequence | None = None
    trimmed_messages: int = 0
    fault: EngineError | None = None


Prepare = Callable[[GenerationRequest, OnProgress], Prepared]


class Preparer:
    """Makes sequences for a model that reads `context_tokens` and knows `vocabulary` tokens;
    `sampling`: what it takes for parameters that nobody asked for."""

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
        """Check and tokenize a request; whatever is wrong with it is the result's `fault`."""
        try:
            sequence, trimmed = self._sequence_of(request, on_progress)
        except EngineError as error:
            return Prepared(request, fault=error)
        except BaseException:  # a panic of the tokenizer is no Exception, and nobody else's end
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
        room = max(1, min(self._wanted(request), self._context // 4))
        if request.trims:
            # Old turns make room for an answer; the newest one leaves it what is left.
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
        if any(not 0 <= token < self._vocabulary for token in request.prior_tokens):
            raise EngineError("prior_tokens holds a token that the model lacks.", "invalid_params")
        if max(prompt, default=0) >= self._vocabulary:  # a tokenizer with more than its model
            raise EngineError("The prompt holds a token that the model lacks.", "engine_error")
        most_thought = self._most_thought(request, self._context - len(prompt))
        newest = request.messages[-1]
        detokenizer = self._prompts.answers.begin(prompt, params, newest, most_thought)
        for token in request.prior_tokens:  # published by an earlier attempt already
            detokenizer.read(token)
        tokens = [*prompt, *request.prior_tokens]
        return TokenSequence(request, tokens, len(prompt), detokenizer), trimmed

    def _wanted(self, request: GenerationRequest) -> int:
        """How many tokens the answer may have, its thought included."""
        if not self._prompts.answers.thinks or request.thinking.effort == "off":
            return request.params.max_tokens
        return request.params.max_tokens + (request.thinking.max_tokens or self._context)

    def _most_thought(self, request: GenerationRequest, left: int) -> int:
        """Of the tokens that the context has `left`, those that a thought may have: it ends while
        there is room for an answer."""
        kept = min(request.params.max_tokens, left // _ANSWER_PART)
        most = max(1, left - kept)
        return min(request.thinking.max_tokens or most, most)


class Prompting:
    """What was submitted and has no row yet. The caller holds the lock of `ready` in each call;
    that is notified when there is something new to `take`."""

    def __init__(self, lock: threading.RLock, ready: threading.Condition) -> None:
        self._ready = ready
        self._lanes = [_Lane(lock, in_order=True), _Lane(lock, in_order=False)]
        self._prepared: deque[Prepared] = deque()
        self._closing = False

    def start(self, prepare: Prepare) -> None:
        for lane in self._lanes:
            arguments = (lane, prepare)
            name = "chatstream-prompts"
            threading.Thread(target=self._work, args=arguments, name=name, daemon=True).start()

    def __len__(self) -> int:
        return len(self._prepared) + sum(len(lane) for lane in self._lanes)

    @property
    def threads(self) -> tuple[ThreadStats, ...]:
        """How each thread gets on, also with what nobody wants any more."""
        return tuple(
            ThreadStats(lane.thread_id, lane.at_work, lane.progress) for lane in self._lanes
        )

    @property
    def expected(self) -> bool:
        """Whether a short one will be ready in a moment."""
        return len(self._lanes[0]) > 0

    @property
    def can_take(self) -> bool:
        return bool(self._prepared)

    def add(self, request: GenerationRequest) -> None:
        chars = sum(map(chars_of, request.messages))
        self._lanes[chars > SHORT_CHARS].add(request, chars)

    def take(self) -> Prepared | None:
        """The next one to begin."""
        return self._prepared.popleft() if self._prepared else None

    def take_out(self, response_ids: set[str]) -> list[GenerationRequest]:
        """Those of these that have not begun; they never will."""
        out = [request for lane in self._lanes for request in lane.take_out(response_ids)]
        for prepared in [p for p in self._prepared if p.request.response_id in response_ids]:
            self._prepared.remove(prepared)
            out.append(prepared.request)
        return out

    def close(self) -> None:
        """Forget all; the threads end with what they are at."""
        self._closing = True
        self._prepared.clear()
        for lane in self._lanes:
            lane.clear()
            lane.changed.notify_all()

    def _work(self, lane: _Lane, prepare: Prepare) -> None:
        lane.thread_id = threading.get_ident()
        while True:
            with lane.changed:
                while not (self._closing or lane.waiting):
                    lane.changed.wait()
                if self._closing:
                    return
                request = lane.begin()
            prepared = prepare(request, lane.get_on)
            with lane.changed:
                lane.at_work = False
                if lane.end(request):
                    self._prepared.append(prepared)
                    self._ready.notify_all()


class _Lane:
    """Requests that one thread prepares; the one that it is at is among them."""

    def __init__(self, lock: threading.RLock, *, in_order: bool) -> None:
        self.changed = threading.Condition(lock)
        self._in_order = in_order
        self.waiting: list[tuple[int, GenerationRequest]] = []  # with what it counts as
        self._arrivals = 0
        self._present: GenerationRequest | None = None
        self.thread_id = 0
        self.at_work = False
        self.progress = 0

    def get_on(self) -> None:
        self.progress += 1

    def __len__(self) -> int:
        return len(self.waiting) + (self._present is not None)

    def add(self, request: GenerationRequest, chars: int) -> None:
        self._arrivals += 1
        self.waiting.append((chars + self._arrivals * _LATER_CHARS, request))
        self.changed.notify()

    def begin(self) -> GenerationRequest:
        every = range(len(self.waiting))
        at = 0 if self._in_order else min(every, key=lambda each: self.waiting[each][0])
        _, self._present = self.waiting.pop(at)
        self.at_work = True
        self.get_on()
        return self._present

    def end(self, request: GenerationRequest) -> bool:
        """False if nobody wants it any more."""
        if self._present is not request:
            return False
        self._present = None
        return True

    def take_out(self, response_ids: set[str]) -> list[GenerationRequest]:
        out = [request for _, request in self.waiting if request.response_id in response_ids]
        self.waiting = [each for each in self.waiting if each[1].response_id not in response_ids]
        if self._present is not None and self._present.response_id in response_ids:
            out.append(self._present)
            self._present = None
        return out

    def clear(self) -> None:
        self.waiting.clear()
        self._present = None
