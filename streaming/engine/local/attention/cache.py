"""The slot KV cache: per layer one tensor [rows, kv_heads, max_len, head_dim], written in place.

Each row holds one response at its own length; what stands beyond it is finite but stale. Rows
are read as views, never copied for a step.
"""

from __future__ import annotations

import functools
import math
import mmap
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


def zeros(shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    """Zeros whose physical memory is taken only when first written (on CPU)."""
    if device.type != "cpu":
        return torch.zeros(shape, dtype=dtype, device=device)
    # torch.zeros would write them all. With huge pages a row of 4,096 tokens was taken whole by
    # its first token: 94 MB, 0.2 s.
    private = {"flags": mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS} if os.name == "posix" else {}
    memory = mmap.mmap(-1, math.prod(shape) * dtype.itemsize, **private)
    if hasattr(mmap, "MADV_NOHUGEPAGE"):
        memory.madvise(mmap.MADV_NOHUGEPAGE)
    return torch.frombuffer(memory, dtype=dtype).view(shape)


@dataclass
class Places:
    """Where new tokens of a step go: `positions` [n] of `rows` [n]."""

    rows: Tensor
    positions: Tensor
    numbers: tuple[Tensor, Tensor] | None = None
    """Where each of their numbers lies in a layer's keys and values, as if these were flat. The
    layers are alike: the first one finds out."""

    @functools.cached_property
    def blocks(self) -> tuple[Tensor, Tensor]:
        """For keys that lie in blocks: which block, and where in it."""
        return self.positions // BLOCK, self.positions % BLOCK


@dataclass(frozen=True, slots=True)
class Stretch:
    """`count` new tokens of `row` from `start`; they begin at `first` in the step."""

    first: int
    row: int
    start: int
    count: int
    places: Places


def stretch_of(first: int, row: int, start: int, count: int, device: torch.device) -> Stretch:
    """With the places of its tokens."""
    at = torch.arange(start, start + count, device=device)
    return Stretch(first, row, start, count, Places(torch.full_like(at, row), at))


BLOCK = 64
"""Tokens of a block, see `bags`."""


class Slots:
    """One layer's keys and values [rows, kv_heads, max_len, head_dim]; no memory until
    `allocate`."""

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
        self.keys = zeros((self.rows, heads, self.max_len, key_dim), dtype, device)
        self.values = zeros((self.rows, heads, self.max_len, value_dim), dtype, device)
        self.is_allocated = True

    @property
    def room(self) -> int:
        """So many places has a row; those from `max_len` on nobody fills."""
        return self.max_len

    @property
    def bytes(self) -> int:
        return self.keys.nbytes + self.values.nbytes

    def write(
        self,
        keys: Tensor,
        values: Tensor,
        decoding: Places,
        reading: Iterable[Stretch],
    ) -> None:
        """Write new keys and values [n, kv_heads, d]: the first ones go where `decoding` names,
        the others where `reading` says."""
        if count := len(decoding.rows):
            self.keys[decoding.rows, :, decoding.positions] = keys[:count]
            self.values[decoding.rows, :, decoding.positions] = values[:count]
        for part in reading:
            there = slice(part.start, part.start + part.count)
            here = slice(part.first, part.first + part.count)
            self.keys[part.row, :, there] = keys[here].transpose(0, 1)
            self.values[part.row, :, there] = values[here].transpose(0, 1)

    def read(self, row: int, length: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """Keys [kv_heads, d, length] and values [kv_heads, length, d] of a row."""
        keys, values = self.keys[row, :, :length], self.values[row, :, :length]
        return keys.to(dtype).transpose(1, 2), values.to(dtype)

    def swap(self, a: int, b: int, length: int) -> None:
        for tensor in (self.keys, self.values):
            saved = tensor[a, :, :length].clone()
            tensor[a, :, :length] = tensor[b, :, :length]
            tensor[b, :, :length] = saved

    def copy(self, source: int, target: int, length: int) -> None:
        for tensor in (self.keys, self.values):
            tensor[target, :, :length] = tensor[source, :, :length]

    def clear(self, row: int) -> None:
        for tensor in (self.keys, self.values):
            tensor[row].zero_()

    def holds(self, length: int, reach: int) -> bool:
        """Whether a row whose newest token was number `reach` can go on after its first `length`
        tokens."""
        return length <= reach


class RingSlots(Slots):
    """Of a layer that sees the newest `window` tokens only: token p lies at place p % `room`,
    over the one that was there before.

    There are more places than the window has, so that a row can go on from some tokens back: an
    answer that was cut, a turn that is asked again.
    """

    def __init__(self, rows: int, max_len: int, window: int) -> None:
        self.window = window
        self._room = min(max_len, ring_room(window))
        super().__init__(rows, max_len)

    def allocate(
        self, heads: int, key_dim: int, value_dim: int, dtype: torch.dtype, device: torch.device
    ) -> None:
        self.keys = zeros((self.rows, heads, self._room, key_dim), dtype, device)
        self.values = zeros((self.rows, heads, self._room, value_dim), dtype, device)
        self.is_allocated = True

    @property
    def room(self) -> int:
        return self._room

    def before(self, row: int, start: int) -> tuple[Tensor, Tensor]:
        """Keys and values [1, kv_heads, n, d] of the `window` - 1 tokens before token `start`, or
        of all if these are fewer, in their order."""
        first = max(0, start - self.window + 1)
        places = torch.arange(first, start, device=self.keys.device) % self._room
        return self.keys[row, None, :, places], self.values[row, None, :, places]

    def put(self, row: int, start: int, keys: Tensor, values: Tensor) -> None:
        """Write what a row's tokens from number `start` have: [kv_heads, n, d]."""
        new = min(keys.shape[1], self._room)
        end = start + keys.shape[1]
        places = torch.arange(end - new, end, device=self.keys.device) % self._room
        self.keys[row, :, places] = keys[:, -new:]
        self.values[row, :, places] = values[:, -new:]

    def swap(self, a: int, b: int, length: int) -> None:
        super().swap(a, b, min(length, self._room))

    def copy(self, source: int, target: int, length: int) -> None:
        super().copy(source, target, min(length, self._room))

    def holds(self, length: int, reach: int) -> bool:
        return length <= reach and reach - self._room <= max(0, length - self.window + 1)


def ring_room(window: int) -> int:
    """How many tokens of a row a layer keeps that sees so many; 0 where it sees all."""
    return window and window + max(window, LEAST_SPARE)


LEAST_SPARE = 256
"""Tokens that a row can go back by, whatever the window."""


class SlotCache:
    """`layers` Slots, of the kind given, of `rows` rows and `max_len` tokens each. `windows` are
    those of layers that see so many newest tokens only (0: all), if there are such layers."""

    def __init__(
        self, layers: int, rows: int, max_len: int, kind: type[Slots] = Slots,
        windows: Sequence[int] = (),
    ) -> None:  # fmt: skip
        self.slots = [
            RingSlots(rows, max_len, window)
            if window and ring_room(window) < max_len
            else kind(rows, max_len)
            for window in windows or [0] * layers
        ]
        self._tokens = rows * max_len
        self.progress = 0
        """Grows with every layer that has read its part of a prompt."""

    @property
    def bytes(self) -> int:
        """The memory set aside, 0 before the first prompt. On a CPU the system gives it a page
        at a time, when first written to."""
        return sum(slots.bytes for slots in self.slots if slots.is_allocated)

    @property
    def bytes_per_token(self) -> int:
        return self.bytes // self._tokens

    def allocate(self, *shape_and_format: Any) -> None:
        """As Slots.allocate, for all layers, if they have no memory yet."""
        for slots in self.slots:
            if not slots.is_allocated:
                slots.allocate(*shape_and_format)

    def swap_rows(self, a: int, b: int, length: int) -> None:
        """Exchange the first `length` tokens of two rows."""
        for slots in self._allocated(length):
            slots.swap(a, b, length)

    def copy_row(self, source: int, target: int, length: int) -> None:
        """The first `length` tokens of `target` become those of `source`."""
        for slots in self._allocated(length):
            slots.copy(source, target, length)

    def holds(self, length: int, reach: int) -> bool:
        """Whether a row whose newest token was number `reach` still has what comes after its first
        `length` tokens needs, in every layer."""
        return all(slots.holds(length, reach) for slots in self.slots)

    def clear_row(self, row: int) -> None:
        for slots in self._allocated():
            slots.clear(row)

    def reset(self) -> None:
        """Give the memory back; the next step takes it anew."""
        for slots in self.slots:
            slots.reset()

    def _allocated(self, length: int = 1) -> list[Slots]:
        return [slots for slots in self.slots if slots.is_allocated and length]
