"""The thread that steps, and its thread-safe face.

Other threads only leave requests and cancellations; everything about running responses belongs
to the stepping thread and its `Stepper`. Each turn: cancellations, newcomers, one step, publish.
"""

from __future__ import annotations

import json
import logging
import sys
import threading
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path

import torch

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
    StepRecord,
)
from streaming.engine.local.engine_loader import EngineLoader, EngineOptions
from streaming.engine.local.prompts.preparer import Prepared
from streaming.engine.local.prompts.prompt_queue import PromptQueue
from streaming.engine.local.stepper import Stepper
from streaming.engine.models.report import ModelReport
from streaming.engine.speed import Speed

logger = logging.getLogger("streaming.engine")
step_logger = logging.getLogger("streaming.engine.steps")

_STEPS_KEPT = 4096
_SWITCH_SECONDS = 20e-6
"""Each operation of a step gives the interpreter's lock back and must have it again for the next.
Python lets another thread keep it for 5 ms: a busy event loop made steps half as fast."""

_ADMITTING_SECONDS = 0.005
"""Seconds for which newcomers may be admitted before a step. An engine that does nothing waits so
long for short prompts that are just being tokenized, so that a crowd's are read in the same
steps."""


class LocalEngine(Engine):
    """Generates with a model in this process.

    `model` None is the bundled small one. `device` and `dtype` may be `auto`. `max_running` None
    finds out how many the machine generates well, see `capacity`. `max_rows` is the most that can
    run at once, where the caller means to run `max_running` for now (None: no more than these; 0:
    twice as many on a CPU, where an unused row takes no memory). `context_tokens` None means the
    model's own context or 4096, the smaller. `prefill_chunk` bounds the prompt tokens read in one
    step, all prompts together (None: 512 on a CPU, 2048 elsewhere); while others decode they are
    fewer, see `PrefillBudget`. `threads` None leaves torch's own choice. `chat_template` is a file
    with a template instead of the model's own. `adapter` is a LoRA adapter's folder or Hub id, to
    be merged. `fresh`: load and check the model itself, though an earlier start has kept what it
    made of it. Raises EngineError for a number below 1.
    """

    def __init__(
        self,
        model: str | None = None,
        *,
        device: str = "auto",
        dtype: str = "auto",
        max_running: int | None = 4,
        max_rows: int | None = None,
        context_tokens: int | None = None,
        cache_dir: Path | None = None,
        prefill_chunk: int | None = None,
        threads: int | None = None,
        progress: bool = True,
        chat_template: Path | None = None,
        adapter: str | None = None,
        fresh: bool = False,
    ) -> None:
        options = EngineOptions(
            model, device, dtype, max_running, max_rows, context_tokens, cache_dir, prefill_chunk,
            threads, progress, chat_template, adapter, fresh,
        )  # fmt: skip
        options.check()
        self._loader = EngineLoader(options)
        self._rows = max_running or 1  # known at the start
        self.self_check_seconds = 0.0
        """Seconds for which the model was compared with transformers' own pass; 0: an earlier
        start did."""
        self._info: ModelInfo | None = None
        self._thread: threading.Thread | None = None
        self._sink: EventSink = lambda events: None
        # Guarded by _wake:
        lock = threading.RLock()
        self._wake = threading.Condition(lock)
        self._open: set[str] = set()  # submitted and not finished: guards "exactly one Finished"
        self._prompt_queue = PromptQueue(lock, self._wake)
        self._cancelled: set[str] = set()
        self._closing = False
        self._records: deque[StepRecord] = deque(maxlen=_STEPS_KEPT)
        self._steps = 0
        self._generated_tokens = 0
        self._speed = Speed()
        self._kv_bytes = (0, 0)
        self._thread_id = 0
        self._at_work = False
        self._turns = 0
        self._stepper: Stepper  # touched by the stepping thread only

    # The face: any thread.

    @property
    def info(self) -> ModelInfo:
        """Return the loaded model. Raises EngineError before `start` has returned."""
        if self._info is None:
            raise EngineError("The engine has not started.")
        return self._info

    def prepare(self) -> None:
        """Fetch the model and refuse what cannot be served, see `Engine.prepare`."""
        self._loader.prepare()

    def examine(self) -> ModelReport:
        """Return what is known of the model from headers alone, see `EngineLoader.examine`."""
        return self._loader.examine()

    def start(self, sink: EventSink) -> None:
        """Load the model and begin to step. An engine starts once; see `Engine.start`."""
        if self._thread is not None:
            raise EngineError("The engine has already been started.")
        self._sink = sink
        loaded: Future[ModelInfo] = Future()
        name = "chatstream-engine"
        thread = threading.Thread(target=self._live, args=(loaded,), name=name, daemon=True)
        thread.start()
        info = loaded.result()
        with self._wake:
            self._info, self._thread = info, thread
            self._wake.notify()

    def submit(self, request: GenerationRequest) -> None:
        """Take a request, see `Engine.submit`. Raises EngineError (`duplicate`) for an id that is
        still open."""
        with self._wake:
            if self._thread is None or self._closing:
                raise EngineError("The engine is not running.", "unavailable")
            if request.response_id in self._open:
                raise EngineError(f"Response {request.response_id} is already open.", "duplicate")
            self._open.add(request.response_id)
            self._prompt_queue.add(request)

    def cancel(self, response_id: str) -> None:
        """End a response before the next step, see `Engine.cancel`."""
        with self._wake:
            if response_id in self._open:
                self._cancelled.add(response_id)
                self._wake.notify()

    @property
    def cached_prefix_capacity(self) -> int:
        """Return the number of rows: each keeps what it holds until another sequence needs it."""
        return self._rows

    def stats(self) -> EngineStats:
        """Return the engine's counts at this moment."""
        with self._wake:
            pending = len(self._prompt_queue)
            running = len(self._open) - pending
            lives = self._thread is not None and self._thread.is_alive()
            alive, at_work = lives and not self._closing, lives and self._at_work
            free = max(0, self._rows - running - pending) if alive else 0
            kv_bytes, kv_bytes_used = self._kv_bytes
            return EngineStats(
                running=running,
                pending=pending,
                free=free,
                steps=self._steps,
                generated_tokens=self._generated_tokens,
                alive=alive,
                kv_bytes=kv_bytes,
                kv_bytes_used=kv_bytes_used,
                tokens_per_second=self._speed.per_second(),
                at_work=at_work,
                progress=self._turns + (self._stepper.progress if at_work else 0),
                thread_id=self._thread_id,
                preparing=self._prompt_queue.threads,
            )

    def recent_steps(self) -> list[StepRecord]:
        """Return the last steps, oldest first."""
        with self._wake:
            return list(self._records)

    def close(self, timeout: float = 10.0) -> None:
        """Stop stepping and free the model; a step that takes longer than `timeout` seconds is
        left behind."""
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
            del self._stepper
            self._info = None

    # The thread that steps.

    def _live(self, loaded: Future[ModelInfo]) -> None:
        """Load, then step. All in one thread: OpenMP gives each thread that computes a team of
        its own, and lets none spin once the teams together have more threads than there are
        cores. The model loaded elsewhere made steps half as fast."""
        self._thread_id = threading.get_ident()
        try:
            info = self._load()
        except BaseException as error:
            loaded.set_exception(error)
            return
        loaded.set_result(info)
        sys.setswitchinterval(_SWITCH_SECONDS)
        self._run()

    def _load(self) -> ModelInfo:
        found = self._loader.load()
        self._rows = found.info.max_running
        self.self_check_seconds = found.check_seconds
        self._stepper = found.stepper
        self._prompt_queue.start(found.preparer.prepare)
        return found.info

    def _run(self) -> None:
        try:
            while self._wait_for_work():
                self._turns += 1
                self._at_work = True
                with torch.inference_mode():
                    self._turn()
                self._at_work = False
            self._stepper.end_all(FinishReason.CANCELLED)
            self._publish(self._stepper.take_events())
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
            while not (
                self._closing
                or self._prompt_queue.can_take
                or self._cancelled
                or self._stepper.running
            ):
                self._wake.wait()
            if not self._stepper.running:
                self._wake.wait_for(
                    lambda: self._closing or self._cancelled or not self._prompt_queue.expected,
                    _ADMITTING_SECONDS,
                )
            return not self._closing

    def _turn(self) -> None:
        """Cancellations, then newcomers, then one step for all."""
        began = time.perf_counter()
        stepper = self._stepper
        try:
            for response_id in self._take_cancelled():
                stepper.cancel(response_id)
            while stepper.free and (prepared := self._next_prepared()):
                stepper.begin(prepared)
                self._turns += 1
                if time.perf_counter() - began > _ADMITTING_SECONDS:
                    break
        except Exception:
            logger.exception("Rows could not be given or freed; the running responses fail")
            message = "The engine failed while answering."
            stepper.end_all(FinishReason.ERROR, "engine_error", message)
        with self._wake:
            pending = len(self._prompt_queue)
        if advanced := stepper.step(pending):
            decoded, prefilled = advanced
            self._record(decoded, prefilled, time.perf_counter() - began)
        with self._wake:
            self._kv_bytes = stepper.kv_bytes
        self._publish(stepper.take_events())

    def _take_cancelled(self) -> set[str]:
        """Who is to end now; those that still wait for a row are ended here."""
        with self._wake:
            cancelled, self._cancelled = self._cancelled, set()
            waiting = self._prompt_queue.take_out(cancelled)
        self._publish([Finished(r.response_id, FinishReason.CANCELLED) for r in waiting])
        return cancelled

    def _next_prepared(self) -> Prepared | None:
        with self._wake:
            return self._prompt_queue.take()

    def _finish_all(self, reason: FinishReason, code: str = "", message: str = "") -> None:
        with self._wake:
            self._prompt_queue.close()
            left = sorted(self._open)
        self._publish([Finished(i, reason, 0, 0, code, message) for i in left])

    def _publish(self, events: Sequence[EngineEvent]) -> None:
        """Hand on what is still awaited; exactly one Finished per submit."""
        with self._wake:
            events = [event for event in events if event.response_id in self._open]
            for event in events:
                if isinstance(event, Finished):
                    self._open.discard(event.response_id)
                    self._cancelled.discard(event.response_id)
        if not events:
            return
        try:
            self._sink(events)
        except Exception:
            logger.exception("The engine's event sink failed")

    def _record(self, decoded: tuple[str, ...], prefilled: dict[str, int], seconds: float) -> None:
        with self._wake:
            record = StepRecord(self._steps, decoded, prefilled, seconds)
            self._steps += 1
            self._speed.add(self._stepper.generated_tokens - self._generated_tokens)
            self._generated_tokens = self._stepper.generated_tokens
            self._records.append(record)
        if step_logger.isEnabledFor(logging.DEBUG):
            line = {"step": record.index, "decoded": decoded, "prefilled": prefilled}
            step_logger.debug("%s", json.dumps(line))
