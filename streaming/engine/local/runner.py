"""The only file that loads a model: token ids in, logits out.

It knows rows and positions, but not whose they are.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from streaming.engine.base import EngineError
from streaming.engine.language_part import LANGUAGE_KEYS, language_config
from streaming.engine.local import decoder
from streaming.engine.local.adapters import Adapter
from streaming.engine.local.bags import BlockSlots, can_bag
from streaming.engine.local.cache import SlotCache, Slots
from streaming.engine.local.capacity import rows_in_memory
from streaming.engine.local.decoder import Decoder
from streaming.engine.local.flash import TokenSlots, can_flash
from streaming.engine.local.linear import can_int8
from streaming.engine.local.loading import Filling, load_quantised, open_model
from streaming.engine.local.memory_need import Parameter, memory_need, refuse_unless_it_fits
from streaming.engine.local.packed import Packed, pack_weights
from streaming.engine.local.precision import Precision, choose_precision
from streaming.engine.local.quantised import becomes_plain, is_plain, method_of, refuse_unreadable
from streaming.engine.local.self_check import PartsCheck
from streaming.engine.local.skeleton import skeleton_of
from streaming.engine.local.span import Span
from streaming.engine.local.stock import StockModel, windows_of
from streaming.engine.local.team import Team
from streaming.engine.local.threads import Threads
from streaming.engine.local.weights import Weights, end_ids_of, parameters_of
from streaming.engine.tensor_source import open_tensors

logger = logging.getLogger("streaming.engine")

_USUAL_TOKENS = 512  # of a response, its prompt included


class ModelRunner:
    """A causal language model with a slot cache of `rows` rows, `context_tokens` tokens each
    (None: as many as memory has room for, see `capacity`).

    Models built like Llama run in our own pass, all others in transformers' (`stock` True: these,
    too). `dtype` is a name of CHATSTREAM_DTYPE. `packed` is what an earlier start has made of the
    model in this precision and for this context; what is made now goes to `keep`. `adapter` is the
    folder of one to be merged. There must be memory for `counted` full rows (None: for all of
    them). Raises EngineError.
    """

    def __init__(
        self, path: Path | str, device: torch.device, dtype: str, rows: int | None,
        context_tokens: int, *, stock: bool = False, packed: Packed | None = None,
        keep: Callable[[Packed], None] = lambda packed: None, adapter: Path | None = None,
        counted: int | None = None,
    ) -> None:  # fmt: skip
        config = packed.shape.config if packed else _config(path)
        packable = packed is not None or (
            decoder.fits(config, context_tokens) and not stock and becomes_plain(config)
        )
        self.device = device
        self.precision = choose_precision(dtype, device, packable=packable)
        self.context_tokens = context_tokens
        model: Any = None
        check: PartsCheck | None = None
        if packed is None:
            fits = functools.partial(
                _refuse_unless_it_fits, counted or rows or 1, context_tokens, device,
                self.precision, packable,
            )  # fmt: skip
            model, fill = _opened(Path(path), config, self.precision, packable, adapter, fits)
            config = model.config
            if not packable:
                model = model if model.device.type == device.type else model.to(device)
            else:
                check = PartsCheck(config, self.precision)
                packed = self._packed(model, fill, context_tokens, check)
        self.vocabulary: int = config.vocab_size
        # What is free now, when the weights are there:
        self.rows = rows or rows_in_memory(config, self.precision.cache, context_tokens, device)
        windows = () if packable else tuple(windows_of(config))
        self.cache = SlotCache(
            config.num_hidden_layers, self.rows, context_tokens,
            _slots(config, device, self.precision.cache) if packable else Slots, windows,
        )  # fmt: skip
        self._threads = Threads(torch.get_num_threads()) if device.type == "cpu" else None
        self._team = Team()
        self._model: Decoder | StockModel
        if packed is None:
            self.parameters, self.end_ids = parameters_of(model), end_ids_of(model)
            self._model = StockModel(model, self.cache, context_tokens)
            with torch.inference_mode():
                self._model.check(self.rows, self.precision)
            self.cache.reset()
            return
        self.parameters, self.end_ids = packed.shape.parameters, packed.shape.end_ids
        self._model = Decoder(packed, self.cache, self.precision, context_tokens)
        if check:  # what was kept was checked when it was made
            with torch.inference_mode():
                check.whole(self._model.step, self.rows)
            self.cache.reset()
            keep(packed)

    def _packed(self, model: Any, fill: Filling | None, context: int, check: PartsCheck) -> Packed:
        with torch.inference_mode(), fill.shown() if fill else contextlib.nullcontext():
            weights = Weights(model, self.precision, context, self.device, check, fill)
        return pack_weights(weights, bags=can_bag(self.device), cache=self.precision.cache)

    @property
    def is_exact(self) -> bool:
        """As `Decoder.is_exact`."""
        return self._model.is_exact

    @property
    def turns_at(self) -> int | None:
        """As `StockModel.turns_at`."""
        return self._model.turns_at if isinstance(self._model, StockModel) else None

    def step(
        self, tokens: Sequence[int], positions: Sequence[int], spans: Sequence[Span] = ()
    ) -> Tensor:
        """One token for each of the rows 0..B-1, and spans of prompts for other rows.

        `positions[i]` is where `tokens[i]` stands in row i. Returns the float32 logits
        [B + spans, vocabulary] that follow each of those tokens and each span's last one.
        """
        if self._threads is None:
            return self._model.step(tokens, positions, spans)
        count = len(tokens) + sum(len(span.tokens) for span in spans)
        seen = sum(positions) + sum(span.start for span in spans)
        self._team.resize(self._threads.choose(count, seen))
        began = time.perf_counter()
        logits = self._model.step(tokens, positions, spans)
        self._threads.learn(count, seen, time.perf_counter() - began)
        return logits

    def step_seconds(self, rows: int) -> float:
        """How long a step of so many decoding rows takes, of usual length. The cache is empty
        before and after."""
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
        """Zero a row whose content is not finite: even masked, it would poison longer rows."""
        self.cache.clear_row(row)

    def recover(self) -> None:
        """After a failed step: drop what the rows hold, and give memory back."""
        self.cache.reset()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()


def _slots(config: Any, device: torch.device, dtype: torch.dtype) -> type[Slots]:
    """How our own pass keeps keys and values in this format on this device."""
    if can_bag(device):
        return BlockSlots
    head_dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return TokenSlots if can_flash(device, dtype, head_dim) else Slots


def _config(path: Path | str) -> Any:
    from transformers import AutoConfig

    return language_config(AutoConfig.from_pretrained(str(path), trust_remote_code=False))


def _opened(
    path: Path, config: Any, precision: Precision, packable: bool, adapter: Path | None,
    fits: Callable[..., None],
) -> tuple[Any, Filling | None]:  # fmt: skip
    """The model; where our own pass can take one part after the other, it is empty, and what fills
    these comes with it. `fits` is asked before anything is read, see `_refuse_unless_it_fits`."""
    refuse_unreadable(config, path)
    lora = Adapter(adapter) if adapter else None
    if method := method_of(config):
        plain, dtype = becomes_plain(config), precision.activations
        if plain and dtype.itemsize > 2:
            # What had fewer bits has no more to say in 32, and some readers know 16 only.
            dtype = torch.bfloat16
        fits(skeleton_of(config, dtype), whole=True)
        model = load_quantised(path, config, dtype, LANGUAGE_KEYS)
        if lora:
            lora.merge_into(model)
        if packable and not is_plain(model):
            raise EngineError(
                f"The model in {path} cannot be served: its weights of the kind {method} did not "
                "become plain ones.",
                "model_unsupported",
            )
        return model.to(precision.activations) if plain and not precision.is_int8 else model, None
    source = open_tensors(path)
    changed = lora.on(source) if lora else source
    found = open_model(path, config, precision.activations, changed, LANGUAGE_KEYS)
    itemsize = max((source.dtype(name).itemsize for name in source.names()), default=2)
    if packable and found.fill:
        fits(found.model, whole=False, itemsize=itemsize)
        return found.model, found.fill
    fits(found.model, whole=True, itemsize=itemsize)
    return found.load(), None


def _refuse_unless_it_fits(
    rows: int, context: int, device: torch.device, precision: Precision, packable: bool,
    model: Any, *, whole: bool, itemsize: int = 2,
) -> None:  # fmt: skip
    """Whether the model, which is a skeleton, and `rows` rows have room; its tensors have numbers
    of `itemsize` bytes. Raises EngineError."""
    parameters = [
        Parameter(name, tuple(each.shape), itemsize) for name, each in model.named_parameters()
    ]
    need = memory_need(
        parameters, model.config, precision, rows, context, packed=packable, whole=whole,
        tied=bool(getattr(model.config, "tie_word_embeddings", False)),
    )  # fmt: skip
    int8_helps = packable and device.type == "cpu" and not precision.is_int8 and can_int8()
    refuse_unless_it_fits(need, device, int8_helps=int8_helps)
