"""The slot cache as transformers' own `Cache`: its layers write where a step says, and return what
the step may see."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import CacheLayerMixin

from streaming.engine.local.attention.cache import SlotCache
from streaming.engine.local.attention.ring_slots import RingSlots
from streaming.engine.local.attention.slots import Slots
from streaming.engine.models.layer_kinds import LayerKind


class CachePosition:
    """Where this step writes; shared by all layers."""

    __slots__ = ("length", "positions", "row", "rows", "start")

    def __init__(self) -> None:
        self.positions: Tensor | None = None  # [B] when decoding, None when one row reads
        self.rows: Tensor | None = None
        self.row = 0
        self.start = 0
        self.length = 0

    def decode(self, positions: Tensor, length: int) -> None:
        """Set a step of one token for each of the rows 0..B-1, at `positions` [B]; the longest row
        has `length` tokens afterwards."""
        self.positions, self.start, self.length = positions, length - 1, length
        self.rows = torch.arange(len(positions), device=positions.device)

    def read(self, row: int, start: int, end: int) -> None:
        """Set a step that reads the tokens from `start` to `end` of one row."""
        self.positions = None
        self.row, self.start, self.length = row, start, end


def first_seen(slots: Slots, start: int) -> int:
    """Return the position of the first token that those from position `start` on see."""
    return max(0, start - slots.window + 1) if isinstance(slots, RingSlots) else 0


class SlotsLayer(CacheLayerMixin):  # type: ignore[no-untyped-call]
    """One layer's Slots as a layer of transformers' `Cache`."""

    def __init__(
        self, position: CachePosition, cache: SlotCache, slots: Slots, kind: LayerKind
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._position, self._cache, self._slots = position, cache, slots
        self.is_sliding = bool(kind.window)

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        """Take memory, for shapes are known at the first call: [batch, kv_heads, n, head_dim]."""
        heads, key_dim, value_dim = key_states.shape[1], key_states.shape[3], value_states.shape[3]
        self._slots.allocate(heads, key_dim, value_dim, key_states.dtype, key_states.device)

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        """Write keys and values [B, kv_heads, n, head_dim], and return those that the step sees
        [B, kv_heads, length, head_dim]."""
        slots, position = self._slots, self._position
        self._cache.progress += 1
        if not slots.is_allocated:
            self.lazy_initialization(key_states, value_states)
        if position.positions is not None:
            indices = position.positions % slots.room
            slots.keys[position.rows, :, indices] = key_states[:, :, 0]
            slots.values[position.rows, :, indices] = value_states[:, :, 0]
            seen = slice(0, len(position.positions)), slice(None), slice(0, position.length)
            return slots.keys[seen], slots.values[seen]
        if isinstance(slots, RingSlots):
            keys, values = slots.before(position.row, position.start)
            slots.put(position.row, position.start, key_states[0], value_states[0])
            return torch.cat((keys, key_states), 2), torch.cat((values, value_states), 2)
        slots.keys[position.row, :, position.start : position.length] = key_states[0]
        slots.values[position.row, :, position.start : position.length] = value_states[0]
        rows = slice(position.row, position.row + 1)
        return slots.keys[rows, :, : position.length], slots.values[rows, :, : position.length]

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """Return how many keys the step sees, and the position of the first."""
        first = first_seen(self._slots, self._position.start)
        return self._position.length - first, first

    def get_seq_length(self) -> int:
        """Return how many tokens there were before the step."""
        return self._position.start

    def get_max_length(self) -> int:
        """Return the most tokens of a row."""
        return self._slots.max_len
