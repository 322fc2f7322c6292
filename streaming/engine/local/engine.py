"""The thread that steps, and its thread-safe face.

Other threads only leave requests and cancellations; everything about running responses belongs
to the stepping thread. A step: apply cancellations, admit, run the model once for all that
decode and once per prompt chunk, sample, publish. It does not know how scheduling, sampling or
the cache work.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections import deque
from pathlib import Path

import torch
from torch import Tensor

from streaming.engine.base import (
    Engine,
    EngineError,
    EngineEvent,
    EngineStats,
    EventSink,
    Finished,
    FinishReason,
    GenerationRequest,
    ModelInfo,
    Started,
    StepRecord,
    TextDelta,
)
from streaming.engine.local.detokenizer import Detokenizer
from streaming.engine.local.prompt import PromptBuilder
from streaming.engine.local.runner import ModelRunner, choose_device, choose_dtype
from streaming.engine.local.sampler import sample
from streaming.engine.local.scheduler import Scheduler, StepPlan
from streaming.engine.local.sequence import TokenSequence, check_params
from streaming.engine.model_store import ensure_model
from streaming.engine.model_support import check_supported

logger = logging.getLogger("streaming.engine")
step_logger = logging.getLogger("streaming.engine.steps")

_STEPS_KEPT = 4096
_ADMITTED_PER_STEP = 2  # tokenizing a long prompt takes milliseconds that everyone waits


class LocalEngine(Engine):
    """Generates with a model in this process.

    `model` None is the bundled small one. `device` and `dtype` may be `auto`. `context_tokens`
    None means the model's own context or 4096, the smaller. `prefill_chunk` bounds the prompt
    tokens read in one step, all prompts together (None: 128 on a CPU, 512 elsewhere). `threads`
    None leaves torch's own choice.
    """

    def __init__(
        self,
        model: str | None = None,
        *,
        device: str = "auto",
        dtype: str = "auto",
        max_running: int = 4,
        context_tokens: int | None = None,
        cache_dir: Path | None = None,
        prefill_chunk: int | None = None,
        threads: int | None = None,
        progress: bool = True,
    ) -> None:
        for name, value in (("max_running", max_running), ("prefill_chunk", prefill_chunk),
                            ("threads", threads)):  # fmt: skip
            if value is not None and value < 1:
                raise EngineError(f"{name}={value} is too small: 1 is the least.")
        self._model, self._device, self._dtype = model, device, dtype
        self._max_running = max_running
        self._context_tokens = context_tokens
        self._cache_dir = cache_dir
        self._prefill_chunk = prefill_chunk
        self._threads = threads
        self._progress = progress
        self._info: ModelInfo | None = None
        self._thread: threading.Thread | None = None
        self._sink: EventSink = lambda events: None
        # Guarded by _wake; all below it is touched by the stepping thread only.
        self._wake = threading.Condition()
        self._open: set[str] = set()  # submitted and not finished: guards "exactly one Finished"
        self._pending: deque[GenerationRequest] = deque()
        self._cancelled: set[str] = set()
        self._closing = False
        self._runner: ModelRunner
        self._prompts: PromptBuilder
        self._scheduler: Scheduler
        self._stop_ids: frozenset[int] = frozenset()
        self._sequences: dict[str, TokenSequence] = {}
        self._events: list[EngineEvent] = []
        self._records: deque[StepRecord] = deque(maxlen=_STEPS_KEPT)
        self._steps = 0
        self._generated_tokens = 0

    # The face: any thread.

    @property
    def info(self) -> ModelInfo:
        if self._info is None:
            raise EngineError("The engine has not started.")
        return self._info

    def start(self, sink: EventSink) -> None:
        """Load the model and begin to step. An engine starts once; see `Engine.start`."""
        if self._thread is not None:
            raise EngineError("The engine has already been started.")
        device = choose_device(self._device)
        dtype = choose_dtype(self._dtype, device)
        folder = ensure_model(self._model, self._cache_dir, self._progress)
        context = check_supported(folder.path, self._context_tokens)
        if self._threads is not None:
            torch.set_num_threads(self._threads)
        from transformers import AutoTokenizer

        self._runner = ModelRunner(folder.path, device, dtype, self._max_running, context)
        self._prompts = PromptBuilder(AutoTokenizer.from_pretrained(str(folder.path)))
        self._stop_ids = self._prompts.stop_ids(self._runner.model.generation_config)
        budget = self._prefill_chunk or (128 if device.type == "cpu" else 512)
        self._scheduler = Scheduler(self._max_running, budget, self._runner.cache.swap_rows)
        self._info = ModelInfo(
            name=folder.display_name,
            device=str(device),
            dtype=str(dtype).removeprefix("torch."),
            context_tokens=context,
            max_running=self._max_running,
            parameters=self._runner.parameters,
        )
        self._sink = sink
        self._thread = threading.Thread(target=self._run, name="chatstream-engine", daemon=True)
        self._thread.start()

    def submit(self, request: GenerationRequest) -> None:
        """See `Engine.submit`. An id that is still open raises EngineError (`duplicate`)."""
        with self._wake:
            if self._thread is None or self._closing:
                raise EngineError("The engine is not running.", "unavailable")
            if request.response_id in self._open:
                raise EngineError(f"Response {request.response_id} is already open.", "duplicate")
            self._open.add(request.response_id)
            self._pending.append(request)
            self._wake.notify()

    def cancel(self, response_id: str) -> None:
        with self._wake:
            if response_id in self._open:
                self._cancelled.add(response_id)
                self._wake.notify()

    def stats(self) -> EngineStats:
        with self._wake:
            pending = len(self._pending)
            running = len(self._open) - pending
            alive = self._thread is not None and self._thread.is_alive() and not self._closing
            free = max(0, self._max_running - running - pending) if alive else 0
            return EngineStats(
                running=running,
                pending=pending,
                free=free,
                steps=self._steps,
                generated_tokens=self._generated_tokens,
                alive=alive,
            )

    def recent_steps(self) -> list[StepRecord]:
        with self._wake:
            return list(self._records)

    def close(self, timeout: float = 10.0) -> None:
        with self._wake:
            self._closing = True
            self._wake.notify()
        if self._thread is None or self._thread is threading.current_thread():
            return
        self._thread.join(timeout)
        if self._thread.is_alive():
            logger.error("The engine's step did not end within %.1f s", timeout)
            self._finish_all(FinishReason.CANCELLED)
        elif self._info is not None:
            del self._runner, self._prompts, self._scheduler
            self._info = None

    # The thread that steps.

    def _run(self) -> None:
        if self._threads is not None:
            torch.set_num_threads(self._threads)  # OpenMP keeps the number per thread
        try:
            while self._wait_for_work():
                with torch.inference_mode():
                    self._step()
                self._publish()
            self._finish_all(FinishReason.CANCELLED)
        except BaseException:
            logger.exception("The engine's thread failed")
            with self._wake:
                self._closing = True
            self._finish_all(FinishReason.ERROR, "engine_error", "The engine stopped.")
            raise

    def _wait_for_work(self) -> bool:
        """False when the engine is closing."""
        with self._wake:
            while not (self._closing or self._pending or self._cancelled or self._sequences):
                self._wake.wait()
            return not self._closing

    def _step(self) -> None:
        began = time.perf_counter()
        prefilled: dict[str, int] = {}
        decoded: list[str] = []
        try:
            self._apply_cancellations()
            self._admit()
            plan = self._scheduler.plan()
            if not plan.decode and not plan.prefill:
                return
            prefilled = {chunk.sequence.id: chunk.count for chunk in plan.prefill}
            logits, sequences = self._forward(plan)
            if sequences:
                assert logits is not None
                decoded = self._advance(sequences, logits)
        except Exception:
            logger.exception("A step failed; the responses that were running fail with it")
            self._scheduler.clear()
            for response_id in list(self._sequences):
                self._fail(response_id, "engine_error", "The model failed while answering.")
            self._runner.recover()
        self._record(tuple(decoded), prefilled, time.perf_counter() - began)

    def _apply_cancellations(self) -> None:
        with self._wake:
            cancelled, self._cancelled = self._cancelled, set()
            waiting = [r for r in self._pending if r.response_id in cancelled]
            for request in waiting:
                self._pending.remove(request)
        for request in waiting:
            self._finish(request.response_id, FinishReason.CANCELLED)
        for response_id in cancelled:
            if sequence := self._sequences.get(response_id):
                self._end(sequence, FinishReason.CANCELLED)

    def _admit(self) -> None:
        admitted = 0
        while self._scheduler.free and (
            admitted < _ADMITTED_PER_STEP or not self._scheduler.running
        ):
            with self._wake:
                if not self._pending:
                    return
                request = self._pending.popleft()
            admitted += 1
            try:
                self._begin(request)
            except EngineError as error:
                self._fail(request.response_id, error.code, str(error))
            except Exception:
                logger.exception("Response %s could not begin", request.response_id)
                self._fail(request.response_id, "engine_error", "The prompt could not be read.")

    def _begin(self, request: GenerationRequest) -> None:
        params, context = request.params, self._runner.context_tokens
        check_params(params)
        room = max(1, min(params.max_tokens, context // 4))
        prompt, trimmed = self._prompts.fit(request.messages, context - room)
        vocabulary = self._runner.model.config.vocab_size
        if any(not 0 <= token < vocabulary for token in request.prior_tokens):
            raise EngineError("prior_tokens holds a token that the model lacks.", "invalid_params")
        detokenizer = Detokenizer(self._prompts.decode, params.stop, self._prompts.special_ids)
        for token in request.prior_tokens:  # published by an earlier attempt already
            detokenizer.push(token)
        sequence = TokenSequence(
            request, [*prompt, *request.prior_tokens], len(prompt), detokenizer
        )
        self._sequences[sequence.id] = sequence
        self._events.append(Started(sequence.id, len(prompt), trimmed))
        if reason := self._reason_to_end(sequence):
            self._end(sequence, reason)
        else:
            self._scheduler.admit(sequence)

    def _forward(self, plan: StepPlan) -> tuple[Tensor | None, list[TokenSequence]]:
        """Run the model; logits [N, vocabulary] and the N sequences that get a token by them."""
        outputs: list[Tensor] = []
        sequences = list(plan.decode)
        if plan.decode:
            last = [sequence.tokens[-1] for sequence in plan.decode]
            positions = [sequence.cached for sequence in plan.decode]
            outputs.append(self._runner.decode(last, positions))
            for sequence in plan.decode:
                sequence.cached += 1
        for chunk in plan.prefill:
            sequence, start = chunk.sequence, chunk.sequence.cached
            tokens = sequence.tokens[start : start + chunk.count]
            logits = self._runner.prefill(sequence.row, tokens, start)
            sequence.cached += chunk.count
            if not sequence.unread:
                outputs.append(logits)
                sequences.append(sequence)
        for chunk in plan.prefill:  # rows may move only when all have been read
            if not chunk.sequence.unread:
                self._scheduler.prefill_done(chunk.sequence)
        if not outputs:
            return None, []
        return (outputs[0] if len(outputs) == 1 else torch.cat(outputs)), sequences

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
                self._runner.clear_row(sequence.row)
                self._end(sequence, FinishReason.ERROR, "engine_error",
                          "The model's output is not a number.")  # fmt: skip
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
        if token in self._stop_ids:
            self._end(sequence, FinishReason.STOP)
            return
        sequence.tokens.append(token)
        self._generated_tokens += 1
        text = sequence.detokenizer.push(token)
        reason = self._reason_to_end(sequence)
        self._events.append(TextDelta(sequence.id, text, (token,)))
        if reason:
            self._end(sequence, reason)

    def _reason_to_end(self, sequence: TokenSequence) -> FinishReason | None:
        if sequence.detokenizer.stopped:
            return FinishReason.STOP
        full = len(sequence.tokens) >= self._runner.context_tokens
        if full or sequence.generated >= sequence.params.max_tokens:
            return FinishReason.LENGTH
        return None

    def _end(
        self, sequence: TokenSequence, reason: FinishReason, code: str = "", message: str = ""
    ) -> None:
        """Free the row and say the last words."""
        if sequence.row >= 0:
            self._scheduler.remove(sequence)
        whole = reason in (FinishReason.STOP, FinishReason.LENGTH)
        if whole and (held := sequence.detokenizer.flush()):
            self._events.append(TextDelta(sequence.id, held, ()))
        self._finish(sequence.id, reason, code, message)

    def _fail(self, response_id: str, code: str, message: str) -> None:
        self._finish(response_id, FinishReason.ERROR, code, message)

    def _finish(
        self, response_id: str, reason: FinishReason, code: str = "", message: str = ""
    ) -> None:
        sequence = self._sequences.pop(response_id, None)
        with self._wake:
            if response_id not in self._open:
                return  # close() gave up on this thread and has finished it
            self._open.discard(response_id)
            self._cancelled.discard(response_id)
        prompt = sequence.prompt_tokens if sequence else 0
        generated = sequence.generated if sequence else 0
        self._events.append(Finished(response_id, reason, prompt, generated, code, message))

    def _finish_all(self, reason: FinishReason, code: str = "", message: str = "") -> None:
        with self._wake:
            self._pending.clear()
            left = sorted(self._open)
        for response_id in left:
            self._finish(response_id, reason, code, message)
        self._publish()

    def _publish(self) -> None:
        events, self._events = self._events, []
        if not events:
            return
        try:
            self._sink(events)
        except Exception:
            logger.exception("The engine's event sink failed")

    def _record(
        self, decoded: tuple[str, ...], prefilled: dict[str, int], seconds: float
    ) -> None:  # fmt: skip
        with self._wake:
            record = StepRecord(self._steps, decoded, prefilled, seconds)
            self._steps += 1
            self._records.append(record)
        if step_logger.isEnabledFor(logging.DEBUG):
            line = {"step": record.index, "decoded": decoded, "prefilled": prefilled}
            step_logger.debug("%s", json.dumps(line))
