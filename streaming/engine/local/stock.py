"""The forward pass of any model that transformers can run, over the slot cache.

The model sees the cache as transformers' own `Cache`. A step says beforehand which rows it
touches; `update` then writes the new keys and values where they belong and returns views. The
model gets a 4-D mask, for rows shorter than the longest see other rows' length.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import Cache, CacheLayerMixin

from streaming.engine.local.cache import SlotCache, Slots
from streaming.engine.local.decoder import Span
from streaming.engine.model_support import cache_argument


class StockModel:
    """A causal language model of transformers, as it is."""

    is_exact = False  # its kernels sum in an order that depends on how much there is to sum

    def __init__(self, model: Any, cache: SlotCache) -> None:
        self.device: torch.device = model.device
        self._model = model
        self._place = _Place()
        layers: list[Any] = [_Layer(self._place, cache, slots) for slots in cache.slots]
        self._kept = {cache_argument(type(model)): Cache(layers=layers)}
        self._boolean_mask = model.config._attn_implementation == "sdpa"

    def step(
        self, tokens: Sequence[int], positions: Sequence[int], spans: Sequence[Span]
    ) -> Tensor:
        """As `Decoder.step`: one pass for the rows that decode, and one for each span."""
        outputs = [self._decode(tokens, positions)] if tokens else []
        outputs += [self._read(span) for span in spans]
        return outputs[0] if len(outputs) == 1 else torch.cat(outputs)

    def _decode(self, tokens: Sequence[int], positions: Sequence[int]) -> Tensor:
        length = max(positions) + 1
        at = torch.tensor(positions, device=self.device)
        self._place.decode(at, length)
        visible = torch.arange(length, device=self.device)[None, :] <= at[:, None]
        ids = torch.tensor(tokens, device=self.device)[:, None]
        return self._forward(ids, at[:, None], visible[:, None, None, :])

    def _read(self, span: Span) -> Tensor:
        start, end = span.start, span.start + len(span.tokens)
        self._place.read(span.row, start, end)
        at = torch.arange(start, end, device=self.device)
        visible = torch.arange(end, device=self.device)[None, :] <= at[:, None]
        ids = torch.tensor(span.tokens, device=self.device)[None, :]
        return self._forward(ids, at[None, :], visible[None, None, :, :])

    def _forward(self, ids: Tensor, positions: Tensor, visible: Tensor) -> Tensor:
        """ids [B, n], positions [B, n], visible [B, 1, n, length]; the last token's logits."""
        mask = visible
        if not self._boolean_mask:
            dtype = self._model.dtype
            mask = torch.zeros(visible.shape, dtype=dtype, device=self.device)
            mask.masked_fill_(~visible, torch.finfo(dtype).min)
        output = self._model(
            input_ids=ids,
            attention_mask=mask,
            position_ids=positions,
            use_cache=True,
            logits_to_keep=1,
            **self._kept,
        )
        logits: Tensor = output.logits[:, -1]
        return logits.float()


class _Place:
    """Where this step writes; shared by all layers."""

    __slots__ = ("length", "positions", "row", "rows", "start")

    def __init__(self) -> None:
        self.positions: Tensor | None = None  # [B] when decoding, None when one row reads
        self.rows: Tensor | None = None
        self.row = 0
        self.start = 0
        self.length = 0

    def decode(self, positions: Tensor, length: int) -> None:
        """One token for each of the rows 0..B-1; the longest row's length afterwards."""
        self.positions, self.length = positions, length
        self.rows = torch.arange(len(positions), device=positions.device)

    def read(self, row: int, start: int, end: int) -> None:
        self.positions = None
        self.row, self.start, self.length = row, start, end


class _Layer(CacheLayerMixin):  # type: ignore[no-untyped-call]
    """One layer's Slots as transformers sees them."""

    is_sliding = False

    def __init__(self, place: _Place, cache: SlotCache, slots: Slots) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._place, self._cache, self._slots = place, cache, slots

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        """Shapes are known at the first call: [batch, kv_heads, n, head_dim]."""
        heads, key_dim, value_dim = key_states.shape[1], key_states.shape[3], value_states.shape[3]
        self._slots.allocate(heads, key_dim, value_dim, key_states.dtype, key_states.device)

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        """Write [B, kv_heads, n, head_dim] and return views [B, kv_heads, length, head_dim]."""
        slots, place = self._slots, self._place
        self._cache.progress += 1
        if not slots.is_allocated:
            self.lazy_initialization(key_states, value_states)
        if place.positions is not None:
            slots.keys[place.rows, :, place.positions] = key_states[:, :, 0]
            slots.values[place.rows, :, place.positions] = value_states[:, :, 0]
            rows = slice(0, len(place.positions))
        else:
            rows = slice(place.row, place.row + 1)
            slots.keys[place.row, :, place.start : place.length] = key_states[0]
            slots.values[place.row, :, place.start : place.length] = value_states[0]
        return slots.keys[rows, :, : place.length], slots.values[rows, :, : place.length]

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self._place.length, 0

    def get_seq_length(self) -> int:
        return self._place.start

    def get_max_length(self) -> int:
        return self._slots.max_len
