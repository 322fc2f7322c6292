"""The only file that touches the model: token ids in, logits out.

It knows rows and positions, but not whose they are.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from streaming.engine.base import EngineError
from streaming.engine.gguf_conversion import without_progress_bars
from streaming.engine.local.cache import SlotCache

logger = logging.getLogger("streaming.engine")

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def choose_device(name: str) -> torch.device:
    """`auto` is CUDA, then Apple's MPS, then the CPU. Raises EngineError if not usable."""
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        if torch.backends.mps.is_available():
            return torch.device("mps")
        return torch.device("cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).strip().splitlines()[0]
        raise EngineError(f"CHATSTREAM_DEVICE={name} cannot be used here: {reason}") from error
    return device


def choose_dtype(name: str, device: torch.device) -> torch.dtype:
    """`auto` is bfloat16 where the hardware multiplies it, else float32."""
    if name != "auto":
        try:
            return _DTYPES[name]
        except KeyError:
            allowed = ", ".join(["auto", *_DTYPES])
            raise EngineError(f"CHATSTREAM_DTYPE={name} is not one of {allowed}.") from None
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    if device.type == "mps":
        return torch.float16
    for probe in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"):
        if getattr(torch.cpu, probe, lambda: False)():
            return torch.bfloat16
    return torch.float32


class ModelRunner:
    """A causal language model with a slot cache of `rows` rows, `context_tokens` tokens each."""

    def __init__(
        self, path: Path | str, device: torch.device, dtype: torch.dtype, rows: int,
        context_tokens: int,
    ) -> None:  # fmt: skip
        self.device, self.dtype = device, dtype
        self.context_tokens = context_tokens
        self.model = _load(path, device, dtype)
        self.parameters = sum(parameter.numel() for parameter in self.model.parameters())
        self.cache = SlotCache(self.model.config.num_hidden_layers, rows, context_tokens)
        self._boolean_mask = self.model.config._attn_implementation == "sdpa"

    def decode(self, tokens: Sequence[int], positions: Sequence[int]) -> Tensor:
        """One token for each of the rows 0..B-1; logits [B, vocabulary] in float32.

        `positions[i]` is where `tokens[i]` stands in row i.
        """
        length = max(positions) + 1
        at = torch.tensor(positions, device=self.device)
        self.cache.decode_rows(at, length)
        visible = torch.arange(length, device=self.device)[None, :] <= at[:, None]
        ids = torch.tensor(tokens, device=self.device)[:, None]
        return self._forward(ids, at[:, None], visible[:, None, None, :])

    def prefill(self, row: int, tokens: Sequence[int], start: int) -> Tensor:
        """Read `tokens` into `row` from position `start`; logits [1, vocabulary] of the last."""
        count = len(tokens)
        self.cache.prefill_row(row, start, count)
        at = torch.arange(start, start + count, device=self.device)
        visible = torch.arange(start + count, device=self.device)[None, :] <= at[:, None]
        ids = torch.tensor(tokens, device=self.device)[None, :]
        return self._forward(ids, at[None, :], visible[None, None, :, :])

    def _forward(self, ids: Tensor, positions: Tensor, visible: Tensor) -> Tensor:
        """ids [B, n], positions [B, n], visible [B, 1, n, length]; the last token's logits."""
        mask = visible
        if not self._boolean_mask:
            mask = torch.zeros(visible.shape, dtype=self.dtype, device=self.device)
            mask.masked_fill_(~visible, torch.finfo(self.dtype).min)
        output = self.model(
            input_ids=ids,
            attention_mask=mask,
            position_ids=positions,
            past_key_values=self.cache,
            use_cache=True,
            logits_to_keep=1,
        )
        logits: Tensor = output.logits[:, -1]
        return logits.float()

    def clear_row(self, row: int) -> None:
        """Zero a row whose content is not finite: even masked, it would poison longer rows."""
        self.cache.clear_row(row)

    def recover(self) -> None:
        """After a failed step: drop what the rows hold, and give memory back."""
        for layer in self.cache.layers:
            layer.reset()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()


def _load(path: Path | str, device: torch.device, dtype: torch.dtype) -> Any:
    from transformers import AutoModelForCausalLM

    auto: Any = AutoModelForCausalLM
    arguments = {"dtype": dtype, "trust_remote_code": False}
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
