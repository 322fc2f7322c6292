"""The only file that loads a model: token ids in, logits out.

It knows rows and positions, but not whose they are.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from streaming.engine.faults import Faults
from streaming.engine.local.attention.cache import SlotCache
from streaming.engine.local.attention.choice import choose_attention
from streaming.engine.local.attention.interface import Attention
from streaming.engine.local.attention.slots import Slots
from streaming.engine.local.attention.span import Span
from streaming.engine.local.forward.cpu_affinity import CpuAffinity
from streaming.engine.local.forward.decoder import Decoder
from streaming.engine.local.forward.packed import Packed, pack_weights
from streaming.engine.local.forward.parts_check import PartsCheck
from streaming.engine.local.forward.precision import choose_precision
from streaming.engine.local.forward.self_check import steps_taken
from streaming.engine.local.forward.thread_tuner import ThreadTuner
from streaming.engine.local.forward.transformers_model import TransformersModel, windows_of
from streaming.engine.local.forward.weights import Shape, Weights, end_ids_of, parameters_of
from streaming.engine.local.loading.capacity import kept_row_bytes, row_bytes, rows_in_memory
from streaming.engine.local.loading.checkpoint import Checkpoint, open_checkpoint
from streaming.engine.local.loading.memory_need import int8_helps, refuse_unless_it_fits
from streaming.engine.local.loading.module_filler import ModuleFiller
from streaming.engine.models.architecture import misfit
from streaming.engine.models.language_part import language_config
from streaming.engine.models.quantised import becomes_plain

logger = logging.getLogger("streaming.engine")

_USUAL_TOKENS = 512  # of a response, its prompt included


class ModelRunner:
    """Loads a causal language model, and runs it over a slot cache of `rows` rows (None: as many
    as memory has room for, see `capacity`) of `context_tokens` tokens each.

    Models built like Llama run in our own pass, all others in the general one, which is
    transformers' (with `general` those, too). `dtype` is a value of CHATSTREAM_DTYPE. `packed`
    is what an earlier start has made of the model in this precision and for this context; what
    is made now goes to `keep`. `adapter` is the folder of a LoRA adapter to be merged. There
    must be memory for `counted` full rows (None: for all of them). `checkpoint` is the model,
    if it has been opened and examined already. Raises EngineError if the model cannot be
    served.
    """

    def __init__(
        self, path: Path | str, device: torch.device, dtype: str, rows: int | None,
        context_tokens: int, *, general: bool = False, packed: Packed | None = None,
        keep: Callable[[Packed], None] = lambda packed: None, adapter: Path | None = None,
        counted: int | None = None, checkpoint: Checkpoint | None = None,
    ) -> None:  # fmt: skip
        config = packed.shape.config if packed else _config(path)
        packable = packed is not None or (
            not misfit(config) and not general and becomes_plain(config)
        )
        self.device = device
        self.precision = choose_precision(dtype, device, packable=packable)
        self.context_tokens = context_tokens
        model: Any = None
        check: PartsCheck | None = None
        if packed is None:
            if checkpoint is None:
                checkpoint = self._opened(
                    Path(path), config, adapter, counted or rows or 1, packable=packable
                )
            model, fill = checkpoint.load()
            config = model.config
            if not packable:
                model = model if model.device.type == device.type else model.to(device)
            else:
                check = PartsCheck(config, self.precision)
                packed = self._packed(model, fill, context_tokens, check)
        self.vocabulary: int = config.vocab_size
        # What is free now, when the weights are there:
        if not rows:
            cache = self.precision.cache
            row = (kept_row_bytes(packed.shape, cache, context_tokens) if packed
                   else row_bytes(config, cache, context_tokens))  # fmt: skip
            rows = rows_in_memory(row, device)
        self.rows = rows
        self.check_seconds = 0.0  # of the comparison with transformers' own pass
        self._thread_tuner = ThreadTuner(torch.get_num_threads()) if device.type == "cpu" else None
        self._affinity = CpuAffinity()
        self._model: Decoder | TransformersModel
        if packed is None:
            self.cache = SlotCache(
                config.num_hidden_layers, rows, context_tokens, Slots, tuple(windows_of(config))
            )
            self.parameters, self.end_ids = parameters_of(model), end_ids_of(model)
            self._model = TransformersModel(model, self.cache, context_tokens)
            began = time.perf_counter()
            with torch.inference_mode(), steps_taken():
                self._model.check(self.rows, self.precision)
            self.cache.reset()
            self.check_seconds = time.perf_counter() - began
            return
        shape = packed.shape
        attention = self._attention(shape)
        self.cache = SlotCache(shape.layers, rows, context_tokens, attention.slots_class)
        self.parameters, self.end_ids = shape.parameters, shape.end_ids
        self._model = Decoder(
            packed,
            attention(self.cache, shape.attention_config(self.precision, packed.embedding.device)),
        )
        if check:  # what was kept was checked when it was made
            with torch.inference_mode(), steps_taken():
                check.whole(self._model.step, self.rows)
            self.cache.reset()
            self.check_seconds = check.seconds
            keep(packed)

    def _opened(
        self, path: Path, config: Any, adapter: Path | None, rows: int, *, packable: bool
    ) -> Checkpoint:
        """A model that is whole, and that there is memory for."""
        checkpoint = open_checkpoint(
            path, config, self.precision, adapter, Faults(strict=True), packable=packable
        )
        need = checkpoint.need(self.precision, rows, self.context_tokens, packable=packable)
        refuse_unless_it_fits(
            need, self.device, int8_helps=int8_helps(self.precision, self.device, packable=packable)
        )
        return checkpoint

    def _packed(
        self, model: Any, fill: ModuleFiller | None, context: int, check: PartsCheck
    ) -> Packed:
        with torch.inference_mode(), fill.shown() if fill else contextlib.nullcontext():
            weights = Weights(model, self.precision, context, self.device, check, fill)
        attention = self._attention(weights.shape)
        return pack_weights(weights, self.precision, records_decoding=attention.takes_recordings)

    def _attention(self, shape: Shape) -> type[Attention]:
        return choose_attention(self.device, self.precision.cache, shape.head_dim, shape.windows)

    @property
    def is_exact(self) -> bool:
        """Return whether a token's numbers depend on its text alone, see `Decoder.is_exact`."""
        return self._model.is_exact

    @property
    def turns_at(self) -> int | None:
        """Return the length beyond which a row has other positions, see
        `TransformersModel.turns_at`."""
        return self._model.turns_at if isinstance(self._model, TransformersModel) else None

    def step(
        self, tokens: Sequence[int], positions: Sequence[int], spans: Sequence[Span] = ()
    ) -> Tensor:
        """Read one token for each of the rows 0..B-1, and spans of prompts for other rows.

        `positions[i]` is where `tokens[i]` stands in row i. Return the float32 logits
        [B + spans, vocabulary] that follow each of those tokens and each span's last one.
        """
        if self._thread_tuner is None:
            return self._model.step(tokens, positions, spans)
        count = len(tokens) + sum(len(span.tokens) for span in spans)
        seen = sum(positions) + sum(span.start for span in spans)
        self._affinity.resize(self._thread_tuner.choose(count, seen))
        began = time.perf_counter()
        logits = self._model.step(tokens, positions, spans)
        self._thread_tuner.learn(count, seen, time.perf_counter() - began)
        return logits

    def step_seconds(self, rows: int) -> float:
        """Return the seconds that a step of `rows` decoding rows of usual length takes, measured.
        The cache is empty before and after."""
        where = min(_USUAL_TOKENS, self.context_tokens - 1)
        taken = []
        with torch.inference_mode():
            for _ in range(4):  # the first one warms up
                began = time.perf_counter()
                self.step([0] * rows, [where] * rows).argmax(-1).tolist()
                taken.append(time.perf_counter() - began)
        self.recover()
        return min(taken[1:])

    def clear_row(self, row: int) -> None:
        """Fill a row with zeros whose content is not finite: even masked, it would make the sums
        of longer rows no numbers."""
        self.cache.clear_row(row)

    def recover(self) -> None:
        """Drop what the rows hold after a failed step, and give memory back."""
        self.cache.reset()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()


def _config(path: Path | str) -> Any:
    from transformers import AutoConfig

    return language_config(AutoConfig.from_pretrained(str(path), trust_remote_code=False))
