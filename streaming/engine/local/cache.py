"""The slot KV cache: per layer one tensor [rows, kv_heads, max_len, head_dim], written in place.

Each row holds one response at its own length. A step says beforehand which rows it touches
(`decode_rows` or `prefill_row`); `update` then writes the new keys and values where they belong
and returns views, never copies. The model must get a 4-D mask, for rows shorter than the
longest see other rows' length (the content beyond a row's own length is finite but stale).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers.cache_utils import Cache, CacheLayerMixin


class _Place:
    """Where this step writes; shared by all layers."""

    __slots__ = ("count", "length", "positions", "row", "rows", "start")

    def __init__(self) -> None:
        self.positions: Tensor | None = None  # [B] when decoding, None when one row prefills
        self.rows: Tensor | None = None
        self.count = 0
        self.row = 0
        self.start = 0
        self.length = 0


def _zeros(shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    """Zeros whose physical memory is taken only when first written (on CPU)."""
    if device.type != "cpu":
        return torch.zeros(shape, dtype=dtype, device=device)
    # numpy takes zeroed pages from the system untouched; torch.zeros would write them all
    size = int(np.prod(shape)) * dtype.itemsize
    return torch.from_numpy(np.zeros(size, dtype=np.uint8)).view(dtype).view(shape)


class SlotLayer(CacheLayerMixin):  # type: ignore[no-untyped-call]
    """One layer's keys and values."""

    is_sliding = False

    def __init__(self, place: _Place, rows: int, max_len: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._place = place
        self._rows = rows
        self._max_len = max_len
        self.bytes = 0

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        """Shapes are known at the first call: [batch, kv_heads, n, head_dim]."""
        self.dtype, self.device = key_states.dtype, key_states.device
        for name, states in (("keys", key_states), ("values", value_states)):
            shape = (self._rows, states.shape[1], self._max_len, states.shape[3])
            setattr(self, name, _zeros(shape, states.dtype, states.device))
            self.bytes += getattr(self, name).nbytes
        self.is_initialized = True

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        """Write [B, kv_heads, n, head_dim] and return views [B, kv_heads, length, head_dim]."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        keys, values, place = self.keys, self.values, self._place
        assert keys is not None
        assert values is not None
        if place.positions is not None:
            keys[place.rows, :, place.positions] = key_states[:, :, 0]
            values[place.rows, :, place.positions] = value_states[:, :, 0]
            return (
                keys[: place.count, :, : place.length],
                values[: place.count, :, : place.length],
            )
        row, start, length = place.row, place.start, place.length
        keys[row, :, start:length] = key_states[0]
        values[row, :, start:length] = value_states[0]
        return keys[row : row + 1, :, :length], values[row : row + 1, :, :length]

    def swap(self, a: int, b: int, length: int) -> None:
        if not self.is_initialized or length == 0:
            return
        for tensor in (self.keys, self.values):
            assert tensor is not None
            saved = tensor[a, :, :length].clone()
            tensor[a, :, :length] = tensor[b, :, :length]
            tensor[b, :, :length] = saved

    def clear_row(self, row: int) -> None:
        for tensor in (self.keys, self.values):
            if tensor is not None:
                tensor[row].zero_()

    def reset(self) -> None:
        """Give the memory back; the next update takes it anew."""
        self.keys = self.values = None
        self.bytes = 0
        self.is_initialized = False

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self._place.length, 0

    def get_seq_length(self) -> int:
        return self._place.start

    def get_max_length(self) -> int:
        return self._max_len


class SlotCache(Cache):
    """`layers` SlotLayers of `rows` rows and `max_len` tokens each."""

    def __init__(self, layers: int, rows: int, max_len: int) -> None:
        self._place = _Place()
        self._slots = [SlotLayer(self._place, rows, max_len) for _ in range(layers)]
        self._tokens = rows * max_len
        super().__init__(layers=list(self._slots))

    @property
    def bytes(self) -> int:
        """The memory set aside, 0 before the first prompt. On a CPU the system gives it a page
        at a time, when first written to."""
        return sum(layer.bytes for layer in self._slots)

    @property
    def bytes_per_token(self) -> int:
        return self.bytes // self._tokens

    def decode_rows(self, positions: Tensor, length: int) -> None:
        """The next forward adds one token to each of the rows 0..B-1, at `positions` [B].

        `length` is the longest row's length afterwards.
        """
        place = self._place
        place.count = positions.shape[0]
        place.positions, place.length = positions, length
        place.rows = torch.arange(place.count, device=positions.device)

    def prefill_row(self, row: int, start: int, count: int) -> None:
        """The next forward adds `count` tokens to `row`, from position `start`."""
        place = self._place
        place.positions = None
        place.row, place.start, place.length = row, start, start + count

    def swap_rows(self, a: int, b: int, length: int) -> None:
        """Exchange the first `length` tokens of two rows."""
        for layer in self._slots:
            layer.swap(a, b, length)

    def clear_row(self, row: int) -> None:
        for layer in self._slots:
            layer.clear_row(row)
