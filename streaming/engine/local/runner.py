"""The only file that loads a model: token ids in, logits out.

It knows rows and positions, but not whose they are.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from streaming.engine.base import EngineError
from streaming.engine.gguf_conversion import without_progress_bars
from streaming.engine.language_part import LANGUAGE_KEYS, language_config
from streaming.engine.local import decoder
from streaming.engine.local.bags import BlockSlots, can_bag
from streaming.engine.local.cache import SlotCache, Slots
from streaming.engine.local.capacity import rows_in_memory
from streaming.engine.local.decoder import Decoder
from streaming.engine.local.span import Span
from streaming.engine.local.flash import TokenSlots, can_flash
from streaming.engine.local.packed import Packed, pack_weights
from streaming.engine.local.precision import choose_precision
from streaming.engine.local.self_check import PartsCheck
from streaming.engine.local.stock import StockModel, windows_of
from streaming.engine.local.team import Team
from streaming.engine.local.threads import Threads
from streaming.engine.local.weights import Weights, end_ids_of, parameters_of

logger = logging.getLogger("streaming.engine")

_USUAL_TOKENS = 512  # of a response, its prompt included


class ModelRunner:
    """A causal language model with a slot cache of `rows` rows, `context_tokens` tokens each
    (None: as many as memory has room for, see `capacity`).

    Models built like Llama run in our own pass, all others in transformers' (`stock` True: these,
    too). `dtype` is a name of CHATSTREAM_DTYPE. `packed` is what an earlier start has made of the
    model in this precision and for this context; what is made now goes to `keep`. Raises
    EngineError.
    """

    def __init__(
        self, path: Path | str, device: torch.device, dtype: str, rows: int | None,
        context_tokens: int, *, stock: bool = False, packed: Packed | None = None,
        keep: Callable[[Packed], None] = lambda packed: None,
    ) -> None:  # fmt: skip
        config = packed.shape.config if packed else _config(path)
        packable = packed is not None or (decoder.fits(config, context_tokens) and not stock)
        self.device = device
        self.precision = choose_precision(dtype, device, packable=packable)
        self.context_tokens = context_tokens
        model: Any = None
        if packed is None:
            model = _load(path, device, self.precision.activations)
            config = model.config
        self.vocabulary: int = config.vocab_size
        self.rows = rows or rows_in_memory(config, self.precision.cache, context_tokens, device)
        self.cache = SlotCache(
            config.num_hidden_layers, self.rows, context_tokens,
            _slots(config, device, self.precision.cache) if packable else Slots,
            () if packable else list(windows_of(config)),
        )  # fmt: skip
        self._threads = Threads(torch.get_num_threads()) if device.type == "cpu" else None
        self._team = Team()
        self._model: Decoder | StockModel
        if not packable:
            self.parameters, self.end_ids = parameters_of(model), end_ids_of(model)
            self._model = StockModel(model, self.cache, context_tokens)
            with torch.inference_mode():
                self._model.check(self.rows, self.precision)
            self.cache.reset()
            return
        check = None
        if packed is None:
            check = PartsCheck(config, self.precision)
            with torch.inference_mode():
                weights = Weights(model, self.precision, context_tokens, check)
            fresh = pack_weights(weights, bags=can_bag(device), cache=self.precision.cache)
        packed = packed or fresh
        self.parameters, self.end_ids = packed.shape.parameters, packed.shape.end_ids
        self._model = Decoder(packed, self.cache, self.precision, context_tokens)
        if check:  # what was kept was checked when it was made
            with torch.inference_mode():
                check.whole(self._model.step, self.rows)
            self.cache.reset()
            keep(packed)

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


def _load(path: Path | str, device: torch.device, dtype: torch.dtype) -> Any:
    from transformers import AutoModelForCausalLM

    auto: Any = AutoModelForCausalLM
    arguments = {"dtype": dtype, "trust_remote_code": False, "config": _config(path)}
    arguments["key_mapping"] = dict(LANGUAGE_KEYS)
    try:
        with without_progress_bars():
            try:
                model = auto.from_pretrained(str(path), attn_implementation="sdpa", **arguments)
            except ValueError:  # a model without it says so with a ValueError
                model = auto.from_pretrained(str(path), attn_implementation="eager", **arguments)
        return model.to(device).eval().requires_grad_(False)
    except Exception as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise EngineError(f"The model in {path} cannot be loaded: {reason}") from error
