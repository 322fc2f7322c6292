"""One layer's keys and values, written in place.

Each row holds one response at its own length; what stands beyond it is finite but stale. Rows
are read as views, never copied for a step.
"""

from __future__ import annotations

import math
import mmap
import os

import torch
from torch import Tensor

SlotMapping = tuple[Tensor, ...]
"""Where tokens of a step go in a layer's keys and values, as its kind of slots addresses them.
All layers are alike, so it is found once per step."""


def zeros(shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return zeros whose physical memory is taken only when first written (on CPU)."""
    if device.type != "cpu":
        return torch.zeros(shape, dtype=dtype, device=device)
    # torch.zeros would write them all. With huge pages a row of 4,096 tokens was taken whole by
    # its first token: 94 MB, 0.2 s.
    private = {"flags": mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS} if os.name == "posix" else {}
    memory = mmap.mmap(-1, math.prod(shape) * dtype.itemsize, **private)
    if hasattr(mmap, "MADV_NOHUGEPAGE"):
        memory.madvise(mmap.MADV_NOHUGEPAGE)
    return torch.frombuffer(memory, dtype=dtype).view(shape)


class Slots:
    """One layer's keys and values [rows, kv_heads, max_len, head_dim].

    They take no memory until `allocate`.
    """

    def __init__(self, rows: int, max_len: int) -> None:
        self.rows, self.max_len = rows, max_len
        self.reset()

    def reset(self) -> None:
        """Give the memory back."""
        self.keys = self.values = torch.empty(0)
        self.is_allocated = False

    def allocate(
        self, heads: int, key_dim: int, value_dim: int, dtype: torch.dtype, device: torch.device
    ) -> None:
        """Take memory for `heads` key heads of `key_dim` and `value_dim` numbers, all zeros."""
        self.keys = zeros((self.rows, heads, self.max_len, key_dim), dtype, device)
        self.values = zeros((self.rows, heads, self.max_len, value_dim), dtype, device)
        self.is_allocated = True

    @property
    def room(self) -> int:
        """Return how many tokens a row has memory for; those from `max_len` on nobody writes."""
        return self.max_len

    @property
    def bytes(self) -> int:
        """Return the size of keys and values in bytes."""
        return self.keys.nbytes + self.values.nbytes

    def slot_mapping(self, rows: Tensor, positions: Tensor) -> SlotMapping:
        """Return where tokens at `positions` [n] of `rows` [n] go, for `write`."""
        return rows, positions

    def write(self, mapping: SlotMapping, keys: Tensor, values: Tensor) -> None:
        """Write the keys and values [n, kv_heads, d] of single tokens where `mapping` says."""
        rows, positions = mapping
        self.keys[rows, :, positions] = keys
        self.values[rows, :, positions] = values

    def span_mapping(self, start: int, count: int) -> SlotMapping:
        """Return where `count` tokens of any row from position `start` go, for `write_span`."""
        return ()

    def write_span(
        self, row: int, start: int, mapping: SlotMapping, keys: Tensor, values: Tensor
    ) -> None:
        """Write the keys and values [n, kv_heads, d] of a row's tokens from position `start`;
        `mapping` is the `span_mapping` of these."""
        there = slice(start, start + len(keys))
        self.keys[row, :, there] = keys.transpose(0, 1)
        self.values[row, :, there] = values.transpose(0, 1)

    def read(self, row: int, length: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """Return keys [kv_heads, d, length] and values [kv_heads, length, d] of a row."""
        keys, values = self.keys[row, :, :length], self.values[row, :, :length]
        return keys.to(dtype).transpose(1, 2), values.to(dtype)

    def swap(self, a: int, b: int, length: int) -> None:
        """Exchange the first `length` tokens of two rows."""
        for tensor in (self.keys, self.values):
            saved = tensor[a, :, :length].clone()
            tensor[a, :, :length] = tensor[b, :, :length]
            tensor[b, :, :length] = saved

    def copy(self, source: int, target: int, length: int) -> None:
        """Copy the first `length` tokens of a row to another."""
        for tensor in (self.keys, self.values):
            tensor[target, :, :length] = tensor[source, :, :length]

    def clear(self, row: int) -> None:
        """Fill a row with zeros."""
        for tensor in (self.keys, self.values):
            tensor[row].zero_()

    def holds(self, length: int, reach: int) -> bool:
        """Return whether a row that has had `reach` tokens can go on after its first `length`."""
        return length <= reach
