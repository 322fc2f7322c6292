"""The kernel of attention on CUDA: all tokens of a step, whoever they belong to, in one call of
FlashAttention (Dao 2023, arXiv:2307.08691) for sequences of different lengths.

A response that decodes is a sequence with one query, a piece of a prompt one with many. Each says
where its keys begin and how many there are, so that exactly the live part of the cache is read,
and no mask is made.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor

from streaming.engine.local.attention.slots import SlotMapping, Slots, zeros
from streaming.engine.local.attention.span import Span


class TokenSlots(Slots):
    """Keys and values [rows, max_len, kv_heads, d]: the kernel takes them as one long table of
    tokens."""

    def allocate(
        self, heads: int, key_dim: int, value_dim: int, dtype: torch.dtype, device: torch.device
    ) -> None:
        """Take memory for the table, see `Slots.allocate`."""
        self.keys = zeros((self.rows, self.max_len, heads, key_dim), dtype, device)
        self.values = zeros((self.rows, self.max_len, heads, value_dim), dtype, device)
        self.is_allocated = True

    def slot_mapping(self, rows: Tensor, positions: Tensor) -> SlotMapping:
        """Return the tokens' indices [n] in the table."""
        return (rows * self.max_len + positions,)

    def write(self, mapping: SlotMapping, keys: Tensor, values: Tensor) -> None:
        """Write keys and values [n, kv_heads, d] where `mapping` says."""
        (indices,) = mapping
        self.keys.flatten(0, 1).index_copy_(0, indices, keys)
        self.values.flatten(0, 1).index_copy_(0, indices, values)

    def write_span(
        self, row: int, start: int, mapping: SlotMapping, keys: Tensor, values: Tensor
    ) -> None:
        """Write keys and values [n, kv_heads, d] of a row's tokens, see `Slots.write_span`."""
        self.keys[row, start : start + len(keys)] = keys
        self.values[row, start : start + len(values)] = values

    def read(self, row: int, length: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """Return keys [kv_heads, d, length] and values [kv_heads, length, d] of a row."""
        keys, values = self.keys[row, :length], self.values[row, :length]
        return keys.permute(1, 2, 0).to(dtype), values.transpose(0, 1).to(dtype)

    def swap(self, a: int, b: int, length: int) -> None:
        """Exchange the first `length` tokens of two rows."""
        for tensor in (self.keys, self.values):
            saved = tensor[a, :length].clone()
            tensor[a, :length] = tensor[b, :length]
            tensor[b, :length] = saved

    def copy(self, source: int, target: int, length: int) -> None:
        """Copy the first `length` tokens of a row to another."""
        for tensor in (self.keys, self.values):
            tensor[target, :length] = tensor[source, :length]


@dataclass(frozen=True, slots=True)
class FlashLayout:
    """Where S sequences with n queries in all lie in a step and in the table of tokens."""

    slot_mapping: Tensor  # int64 [n]: where each query's own key and value go in the table
    query_starts: Tensor  # int32 [S + 1]: where the queries of each sequence begin, and n
    key_starts: Tensor  # int32 [S + 1]: where its keys begin in the table; the last is not read
    key_counts: Tensor  # int32 [S]: how many keys its last query sees
    max_queries: int
    max_keys: int  # an upper bound will do


def flash_layout(
    positions: Sequence[int], spans: Sequence[Span], max_len: int, device: torch.device
) -> FlashLayout:
    """Return the layout of the rows 0 to B-1 with one query each at `positions`, then of spans of
    other rows; a row has `max_len` tokens of the table."""
    rows = [*range(len(positions)), *(span.row for span in spans)]
    starts = [*positions, *(span.start for span in spans)]
    counts = [1] * len(positions) + [len(span.tokens) for span in spans]
    ends = [start + count for start, count in zip(starts, counts, strict=True)]
    slot_mapping = [
        row * max_len + at
        for row, start, end in zip(rows, starts, ends, strict=True)
        for at in range(start, end)
    ]

    def int32(numbers: Iterable[int]) -> Tensor:
        return torch.tensor(list(numbers), dtype=torch.int32, device=device)

    return FlashLayout(
        torch.tensor(slot_mapping, device=device),
        int32(accumulate(counts, initial=0)),
        int32([*(row * max_len for row in rows), 0]),
        int32(ends),
        max(counts),
        max(ends),
    )


def flash_attend(queries: Tensor, slots: Slots, layout: FlashLayout, scale: float) -> Tensor:
    """Return what queries [n, kv_heads, group, d] see in slots that are `TokenSlots`: the same
    shape, in the format of the cache."""
    flat = queries.flatten(1, 2).to(slots.keys.dtype)
    keys, values = slots.keys.flatten(0, 1), slots.values.flatten(0, 1)
    seen: Tensor = _kernel()(
        flat, keys, values, layout.query_starts, layout.key_starts, layout.max_queries,
        layout.max_keys, 0.0, True, False, scale=scale, seqused_k=layout.key_counts,
    )[0]  # fmt: skip
    return seen.view(queries.shape)


@functools.cache
def _kernel() -> Callable[..., Any]:
    # `torch.nn.attention.varlen` is its public face, and takes `seqused_k` since 2.13 only.
    kernel: Callable[..., Any] = torch.ops.aten._flash_attention_forward
    return kernel


def can_flash(device: torch.device, dtype: torch.dtype, head_dim: int) -> bool:
    """Return whether the kernel is there for this card, format and size: told by trying."""
    if device.type != "cuda" or dtype not in (torch.bfloat16, torch.float16):
        return False
    slots = TokenSlots(2, 8)
    slots.allocate(1, head_dim, head_dim, dtype, device)
    queries = torch.ones(2, 1, 2, head_dim, dtype=dtype, device=device)
    slots.values += 1
    try:
        seen = flash_attend(queries, slots, flash_layout([0, 3], (), 8, device), 1.0)
    except (RuntimeError, AttributeError, TypeError):
        return False
    return torch.allclose(seen.float(), torch.ones_like(seen, dtype=torch.float32))
