"""What one step does to the running responses: admit, forward, sample, append, end.

It belongs to one thread and knows no other; its events are taken after each step. It does not
know how scheduling, sampling or the cache work.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence

from torch import Tensor

from streaming.engine.base import (
    EngineError,
    EngineEvent,
    Finished,
    FinishReason,
    Started,
    TextDelta,
)
from streaming.engine.local.answers.detokenizer import Part
from streaming.engine.local.attention.span import Span
from streaming.engine.local.prefill_budget import PrefillBudget
from streaming.engine.local.prefix_cache import PrefixCache
from streaming.engine.local.prompts.preparer import Prepared
from streaming.engine.local.prompts.prompt import PromptBuilder
from streaming.engine.local.runner import ModelRunner
from streaming.engine.local.sampler import are_usable, sample
from streaming.engine.local.scheduler import Chunk, Scheduler, StepPlan
from streaming.engine.local.sequence import TokenSequence

logger = logging.getLogger("streaming.engine")


class Stepper:
    """Advances the running responses of one model, `step` by step."""

    def __init__(
        self, runner: ModelRunner, prompts: PromptBuilder, max_running: int, prefill_chunk: int
    ) -> None:
        self.generated_tokens = 0
        self._runner = runner
        self._prompts = prompts
        cache = runner.cache
        rows = PrefixCache(
            max_running, cache.swap_rows, cache.copy_row, apart=runner.is_exact,
            holds=cache.holds, turns_at=runner.turns_at,
        )  # fmt: skip
        self._scheduler = Scheduler(rows)
        self._prefill_budget = PrefillBudget(prefill_chunk)
        self._stop_ids = prompts.stop_ids(runner.end_ids)
        self._sequences: dict[str, TokenSequence] = {}
        self._events: list[EngineEvent] = []

    @property
    def free(self) -> int:
        """Return the number of rows that nobody has."""
        return self._scheduler.free

    @property
    def kv_bytes(self) -> tuple[int, int]:
        """Return the memory set aside for keys and values in bytes, and how much of it running
        responses use."""
        cache = self._runner.cache
        tokens = sum(sequence.cached for sequence in self._scheduler.running)
        return cache.bytes, tokens * cache.bytes_per_token

    @property
    def running(self) -> int:
        """Return the number of responses that have begun and not ended."""
        return len(self._sequences)

    @property
    def progress(self) -> int:
        """Return a count that grows while a step goes through the layers of the model."""
        return self._runner.cache.progress

    def take_events(self) -> list[EngineEvent]:
        """Return the events since the last call, in order."""
        events, self._events = self._events, []
        return events

    def begin(self, prepared: Prepared) -> None:
        """Give a prompt a row (the caller has checked `free`).

        A request at fault ends here, with its Finished event.
        """
        response_id = prepared.request.response_id
        try:
            self._begin(prepared)
        except EngineError as error:
            self._finish(response_id, FinishReason.ERROR, error.code, str(error))
        except Exception:
            logger.exception("Response %s could not begin", response_id)
            self._finish(response_id, FinishReason.ERROR, "engine_error",
                         "The prompt could not be read.")  # fmt: skip

    def cancel(self, response_id: str) -> None:
        """Free the row of a running response at once; unknown ids are ignored."""
        if sequence := self._sequences.get(response_id):
            self._end(sequence, FinishReason.CANCELLED)

    def step(self, pending: int = 0) -> tuple[tuple[str, ...], dict[str, int]] | None:
        """Advance all that run. Return the ids that got a token, and the prompt tokens read by id;
        None if nobody runs. `pending` more requests wait for a row.

        A fault of the model fails all that run, and leaves the stepper fit for the next.
        """
        prefilled: dict[str, int] = {}
        decoded: list[str] = []
        try:
            began = time.perf_counter()
            waiting = self._scheduler
            waiting.read_again()
            reading = waiting.reading + min(pending, waiting.free)
            budget = self._prefill_budget.budget(waiting.decoding, reading, waiting.longest)
            plan = waiting.plan(budget)
            if not plan.decode and not plan.prefill:
                return None
            prefilled = {chunk.sequence.id: chunk.count for chunk in plan.prefill}
            logits, sequences = self._forward(plan)
            if sequences:
                decoded = self._advance(sequences, logits)
            seconds = time.perf_counter() - began
            self._prefill_budget.learn(len(plan.decode), sum(prefilled.values()), seconds)
        except Exception:
            logger.exception("A step failed; the responses that were running fail with it")
            self.end_all(FinishReason.ERROR, "engine_error", "The model failed while answering.")
        return tuple(decoded), prefilled

    def end_all(self, reason: FinishReason, code: str = "", message: str = "") -> None:
        """End all that run, whatever state they are in; take back all rows and their content."""
        self._scheduler.clear()
        for response_id in list(self._sequences):
            self._finish(response_id, reason, code, message)
        self._runner.recover()

    def _begin(self, prepared: Prepared) -> None:
        if prepared.fault:
            raise prepared.fault
        sequence, trimmed = prepared.sequence, prepared.trimmed_messages
        assert sequence is not None
        self._sequences[sequence.id] = sequence
        reason = self._reason_to_end(sequence)
        if reason is None:
            self._scheduler.admit(sequence)
        started = Started(sequence.id, sequence.prompt_tokens, trimmed, sequence.cached)
        self._events.append(started)
        if reason:
            self._end(sequence, reason)

    def _forward(self, plan: StepPlan) -> tuple[Tensor, list[TokenSequence]]:
        """Run the model; logits [N, vocabulary] and the N sequences that get a token by them."""
        logits = self._runner.step(
            [sequence.tokens[-1] for sequence in plan.decode],
            [sequence.cached for sequence in plan.decode],
            [_span(part) for part in plan.prefill],
        )
        for sequence in plan.decode:
            sequence.cached += 1
        for part in plan.prefill:
            part.sequence.cached += part.count
        read = [part.sequence for part in plan.prefill if not part.sequence.unread]
        for sequence in read:
            self._scheduler.prefill_done(sequence)
        if len(read) < len(plan.prefill):  # those that read on get no token
            first = len(plan.decode)
            got = [first + at for at, part in enumerate(plan.prefill) if not part.sequence.unread]
            self._drop_unusable(plan.prefill, logits[first:])
            logits = logits[[*range(first), *got]]
        return logits, [*plan.decode, *read]

    def _drop_unusable(self, chunks: Sequence[Chunk], logits: Tensor) -> None:
        """End those whose prompt is not read yet and gives no numbers: else what the row holds
        would be given to others if somebody cancels before the last chunk tells."""
        for chunk, ok in zip(chunks, are_usable(logits), strict=True):
            if not ok and chunk.sequence.unread:
                self._end_unusable(chunk.sequence)

    def _end_unusable(self, sequence: TokenSequence) -> None:
        """End one whose logits are not numbers, and let nobody have what its row holds, nor what
        free rows hold of the same beginning, which it may have come from."""
        self._runner.clear_row(sequence.row)
        for row in self._scheduler.forget(sequence):
            self._runner.clear_row(row)
        message = "The model's output is not a number."
        self._end(sequence, FinishReason.ERROR, "engine_error", message, keep=False)

    def _advance(self, sequences: list[TokenSequence], logits: Tensor) -> list[str]:
        """Give each sequence its next token; the ids of those that got one."""
        tokens, usable = sample(
            logits,
            [sequence.params for sequence in sequences],
            [sequence.generated for sequence in sequences],
            [sequence.tokens for sequence in sequences],
        )
        decoded = []
        for sequence, token, ok in zip(sequences, tokens, usable, strict=True):
            if not ok:
                self._end_unusable(sequence)
                continue
            decoded.append(sequence.id)
            try:
                self._append(sequence, token)
            except Exception:
                logger.exception("Response %s failed", sequence.id)
                self._end(sequence, FinishReason.ERROR, "engine_error",
                          "The answer's text could not be made.")  # fmt: skip
        return decoded

    def _append(self, sequence: TokenSequence, token: int) -> None:
        text = sequence.detokenizer
        forced = text.forced()
        if forced is not None:
            token = forced
        elif not sequence.params.ignore_eos and (token in self._stop_ids or text.ends(token)):
            self._end(sequence, FinishReason.STOP)
            return
        sequence.tokens.append(token)
        self.generated_tokens += 1
        parts = text.read(token)
        reason = self._reason_to_end(sequence)
        self._say(sequence, parts, (token,))
        if reason:
            self._end(sequence, reason)

    def _say(self, sequence: TokenSequence, parts: Sequence[Part], tokens: tuple[int, ...]) -> None:
        """New tokens belong to the first of the texts that they complete."""
        if not parts:
            parts = ((sequence.detokenizer.channel, ""),) if tokens else ()
        for channel, text in parts:
            self._events.append(TextDelta(sequence.id, text, tokens, channel))
            tokens = ()

    def _reason_to_end(self, sequence: TokenSequence) -> FinishReason | None:
        if sequence.detokenizer.stopped:
            return FinishReason.STOP
        full = len(sequence.tokens) >= self._runner.context_tokens
        if full or sequence.answered >= sequence.params.max_tokens:
            return FinishReason.LENGTH
        return None

    def _end(
        self, sequence: TokenSequence, reason: FinishReason, code: str = "", message: str = "",
        *, keep: bool = True,
    ) -> None:  # fmt: skip
        """Free the row and say the last words; `keep` as in Scheduler.remove."""
        if sequence.row >= 0:
            self._scheduler.remove(sequence, keep=keep)
        if reason in (FinishReason.STOP, FinishReason.LENGTH):
            self._say(sequence, sequence.detokenizer.end(), ())
        self._finish(sequence.id, reason, code, message)

    def _finish(
        self, response_id: str, reason: FinishReason, code: str = "", message: str = ""
    ) -> None:
        sequence = self._sequences.pop(response_id, None)
        prompt = sequence.prompt_tokens if sequence else 0
        generated = sequence.generated if sequence else 0
        thought = sequence.detokenizer.thought_tokens if sequence else 0
        self._events.append(
            Finished(response_id, reason, prompt, generated, code, message, thought)
        )


def _span(chunk: Chunk) -> Span:
    """The tokens of a chunk, and where they go."""
    sequence, start = chunk.sequence, chunk.sequence.cached
    end = start + chunk.count
    generated = max(0, end - max(start, sequence.prompt_tokens))
    tokens = sequence.tokens
    return Span(sequence.row, tokens[start:end], start, generated, len(tokens))
