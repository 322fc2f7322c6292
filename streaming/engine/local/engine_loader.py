"""From an engine's options to a model that can step: found, examined, loaded, measured.

Knows no threads: `engine` calls `load` in the thread that is to step.
"""

from __future__ import annotations

import contextlib
import ctypes
import logging
from dataclasses import dataclass
from pathlib import Path

import torch

from streaming.engine.base import EngineError, ModelInfo
from streaming.engine.faults import Faults
from streaming.engine.local.forward.parts_check import TooCoarse
from streaming.engine.local.forward.precision import AUTO, choose_device, without_int8
from streaming.engine.local.forward.weights import Shape
from streaming.engine.local.loading.capacity import most_rows
from streaming.engine.local.loading.examination import Asked, examine, prompts_of, report_on_kept
from streaming.engine.local.loading.kept import KeptPass
from streaming.engine.local.loading.memory_need import MemoryNeed, kept_need, refuse_unless_it_fits
from streaming.engine.local.prompts.preparer import Preparer
from streaming.engine.local.runner import ModelRunner
from streaming.engine.local.stepper import Stepper
from streaming.engine.models.adapter_folder import ensure_adapter
from streaming.engine.models.model_name import shown_name
from streaming.engine.models.own_sampling import own_sampling
from streaming.engine.models.report import ModelReport
from streaming.engine.models.report_text import log_lines
from streaming.engine.models.store import default_cache_dir, ensure_model
from streaming.engine.models.support import check_supported
from streaming.engine.templates.choice import read_template

logger = logging.getLogger("streaming.engine")


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """What `LocalEngine` is made with; see there."""

    model: str | None
    device: str
    dtype: str
    max_running: int | None
    max_rows: int | None
    context_tokens: int | None
    cache_dir: Path | None
    prefill_chunk: int | None
    threads: int | None
    progress: bool
    chat_template: Path | None
    adapter: str | None
    fresh: bool

    def check(self) -> None:
        """Raise EngineError naming the first number that is too small."""
        for name in ("max_running", "prefill_chunk", "threads"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise EngineError(f"{name}={value} is too small: 1 is the least.")


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model with its cache, ready to step. `check_seconds` is how long it was compared with
    transformers' own pass, 0 if an earlier start did."""

    info: ModelInfo
    stepper: Stepper
    preparer: Preparer
    check_seconds: float


class EngineLoader:
    """Finds, examines and loads the model that the options name."""

    def __init__(self, options: EngineOptions) -> None:
        self._options = options
        self._dtype = options.dtype
        self._need: MemoryNeed

    def prepare(self) -> None:
        """Fetch the model and refuse what cannot be served, see `Engine.prepare`."""
        options = self._options
        self._template()
        folder = ensure_model(options.model, options.cache_dir, options.progress)
        adapter = ensure_adapter(options.adapter, options.progress)
        if not self._kept(folder.path, choose_device(options.device), adapter).is_there:
            has_template = options.chat_template is not None
            check_supported(folder.path, options.context_tokens, adapter, has_template=has_template)

    def examine(self) -> ModelReport:
        """Return what is known of the model from headers alone, with all that stands in its way.
        Nothing is loaded, and of the Hub no weights are fetched."""
        faults = Faults()
        try:
            asked = self._asked(faults, weights=False)
        except EngineError as error:
            return ModelReport(shown_name(self._options.model or ""), faults=[str(error)])
        return examine(asked, faults).report

    def load(self) -> LoadedModel:
        """Load the model, in the thread that is to step. With `dtype` auto a model for which 8
        bits are too coarse is loaded again in more. Raises EngineError if it cannot be served."""
        try:
            return self._load()
        except TooCoarse as error:
            finer = without_int8()
            if self._dtype != AUTO:
                raise EngineError(f"{error} CHATSTREAM_DTYPE={finer} may do.", error.code) from None
            logger.warning(
                "%s So it is served in %s; with CHATSTREAM_DTYPE=%s it starts sooner.",
                error, finer, finer,
            )  # fmt: skip
            self._dtype = finer
        _trim_memory()
        return self._load()

    def rows(self, device: torch.device, capacity: int) -> int:
        """Return how many rows the cache has where `capacity` responses are to run."""
        most = self._options.max_rows
        if most is None:
            return capacity
        doubled = 2 if device.type == "cpu" else 1
        return max(capacity, most or doubled * capacity)

    def _asked(self, faults: Faults, *, weights: bool = True) -> Asked:
        """What is to be served. Raises EngineError where there is nothing to go on with."""
        options = self._options
        device = choose_device(options.device)
        folder = ensure_model(options.model, options.cache_dir, options.progress, weights=weights)
        adapter = template = None
        with faults.noted():
            adapter = ensure_adapter(options.adapter, options.progress)
        with faults.noted():
            template = self._template()
        return Asked(
            folder, device, self._dtype, options.max_running or 1, options.context_tokens, adapter,
            template,
        )  # fmt: skip

    def _template(self) -> str | None:
        path = self._options.chat_template
        return None if path is None else read_template(path)

    def _kept(self, model: Path, device: torch.device, adapter: Path | None) -> KeptPass:
        options = self._options
        cache = options.cache_dir or default_cache_dir()
        return KeptPass(cache, model, device, self._dtype, options.context_tokens, adapter)

    def _load(self) -> LoadedModel:
        options = self._options
        faults = Faults(strict=True)
        asked = self._asked(faults)
        folder, device, adapter = asked.folder, asked.device, asked.adapter
        kept = self._kept(folder.path, device, adapter)
        packed = None if options.fresh else kept.load(self._refuse_unless_it_fits)
        if options.threads is not None:
            torch.set_num_threads(options.threads)
        # All of this before the weights are loaded, which may take minutes.
        if packed is None:
            found = examine(asked, faults, kept.tokenizer)
            report, prompts, checkpoint = found.report, found.prompts, found.checkpoint
        else:
            prompts, checkpoint = prompts_of(asked, kept.tokenizer()), None
            prompts.template.check()
            report = report_on_kept(asked, packed, self._need)
        assert prompts is not None  # strict ones are raised
        context = report.context
        for line in log_lines(report):
            logger.info("%s", line)

        def load(rows: int | None) -> ModelRunner:
            return ModelRunner(
                folder.path, device, self._dtype, rows, context, packed=packed, keep=kept.keep,
                adapter=adapter, counted=options.max_running or 1, checkpoint=checkpoint,
            )  # fmt: skip

        if options.max_running is None:
            runner = load(None)
            capacity = most_rows(runner.step_seconds, runner.rows)
            logger.info("This machine generates %d responses at once comfortably.", capacity)
            rows = min(runner.rows, self.rows(device, capacity))
        else:
            capacity = options.max_running
            rows = self.rows(device, capacity)
            runner = load(rows)
        chunk = options.prefill_chunk or (512 if device.type == "cpu" else 2048)
        stepper = Stepper(runner, prompts, rows, chunk)
        sampling = own_sampling(folder.path)
        preparer = Preparer(prompts, context, runner.vocabulary, sampling)
        _trim_memory()
        info = ModelInfo(
            name=folder.display_name,
            device=str(device),
            dtype=runner.precision.name,
            context_tokens=context,
            max_running=rows,
            parameters=runner.parameters,
            capacity=capacity,
            sampling=sampling,
            thinks=prompts.answers.thinks,
            takes_system=prompts.template.traits.takes_system,
            completes_text=True,
        )
        return LoadedModel(info, stepper, preparer, runner.check_seconds)

    def _refuse_unless_it_fits(self, shape: Shape, context: int, size: int) -> None:
        """Of what an earlier start has kept, `size` bytes of it."""
        need = kept_need(shape, size, self._options.max_running or 1, context)
        self._need = need
        refuse_unless_it_fits(need, torch.device("cpu"), int8_helps=False)


def _trim_memory() -> None:
    """glibc keeps what is freed, and loading a model frees more than the model takes."""
    with contextlib.suppress(OSError, AttributeError, TypeError):  # another C library
        ctypes.CDLL(None).malloc_trim(0)
