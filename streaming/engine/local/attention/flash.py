"""Attention on CUDA: all tokens of a step, whoever they belong to, in one call of FlashAttention
(Dao 2023, arXiv:2307.08691) for sequences of different lengths.

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

from streaming.engine.local.attention.cache import Places, Slots, Stretch, zeros
from streaming.engine.local.attention.span import Span


class TokenSlots(Slots):
    """Keys and values [rows, max_len, kv_heads, d]: the kernel takes them as one long table of
    tokens."""

    def allocate(
        self, heads: int, key_dim: int, value_dim: int, dtype: torch.dtype, device: torch.device
    ) -> None:
        self.keys = zeros((self.rows, self.max_len, heads, key_dim), dtype, device)
        self.values = zeros((self.rows, self.max_len, heads, value_dim), dtype, device)
        self.is_allocated = True

    def put(self, keys: Tensor, values: Tensor, places: Tensor) -> None:
        """Write new keys and values [n, kv_heads, d] to `places` [n] of the table."""
        self.keys.flatten(0, 1).index_copy_(0, places, keys)
        self.values.flatten(0, 1).index_copy_(0, places, values)

    def write(
        self, keys: Tensor, values: Tensor, decoding: Places, reading: Iterable[Stretch]
    ) -> None:
        at = [decoding, *(part.places for part in reading)]
        self.put(keys, values, torch.cat([of.rows * self.max_len + of.positions for of in at]))

    def read(self, row: int, length: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        keys, values = self.keys[row, :length], self.values[row, :length]
        return keys.permute(1, 2, 0).to(dtype), values.transpose(0, 1).to(dtype)

    def swap(self, a: int, b: int, length: int) -> None:
        for tensor in (self.keys, self.values):
            saved = tensor[a, :length].clone()
            tensor[a, :length] = tensor[b, :length]
            tensor[b, :length] = saved

    def copy(self, source: int, target: int, length: int) -> None:
        for tensor in (self.keys, self.values):
            tensor[target, :length] = tensor[source, :length]


@dataclass(frozen=True, slots=True)
class Layout:
    """Of S sequences with n queries in all."""

    places: Tensor  # int64 [n]: where each query's own key and value go in the table
    queries: Tensor  # int32 [S + 1]: where the queries of each sequence begin, and n
    keys: Tensor  # int32 [S + 1]: where in the table its keys begin; the last one is not looked at
    lengths: Tensor  # int32 [S]: how many keys its last query sees
    most_queries: int
    most_keys: int  # an upper bound will do


def layout_of(
    positions: Sequence[int], spans: Sequence[Span], max_len: int, device: torch.device
) -> Layout:
    """Of the rows 0 to B-1 with one query each at `positions`, then spans of other rows."""
    rows = [*range(len(positions)), *(span.row for span in spans)]
    starts = [*positions, *(span.start for span in spans)]
    counts = [1] * len(positions) + [len(span.tokens) for span in spans]
    ends = [start + count for start, count in zip(starts, counts, strict=True)]
    places = [
        row * max_len + at
        for row, start, end in zip(rows, starts, ends, strict=True)
        for at in range(start, end)
    ]

    def int32(numbers: Iterable[int]) -> Tensor:
        return torch.tensor(list(numbers), dtype=torch.int32, device=device)

    return Layout(
        torch.tensor(places, device=device),
        int32(accumulate(counts, initial=0)),
        int32([*(row * max_len for row in rows), 0]),
        int32(ends),
        max(counts),
        max(ends),
    )


def attend(queries: Tensor, slots: Slots, layout: Layout, scale: float) -> Tensor:
    """Queries [n, kv_heads, group, d] to the same shape, in the format of the cache."""
    flat = queries.flatten(1, 2).to(slots.keys.dtype)
    keys, values = slots.keys.flatten(0, 1), slots.values.flatten(0, 1)
    seen: Tensor = _kernel()(
        flat, keys, values, layout.queries, layout.keys, layout.most_queries, layout.most_keys,
        0.0, True, False, scale=scale, seqused_k=layout.lengths,
    )[0]  # fmt: skip
    return seen.view(queries.shape)


@functools.cache
def _kernel() -> Callable[..., Any]:
    # `torch.nn.attention.varlen` is its public face, and takes `seqused_k` since 2.13 only.
    kernel: Callable[..., Any] = torch.ops.aten._flash_attention_forward
    return kernel


def can_flash(device: torch.device, dtype: torch.dtype, head_dim: int) -> bool:
    """Whether the kernel is there for this card, format and size: told by trying."""
    if device.type != "cuda" or dtype not in (torch.bfloat16, torch.float16):
        return False
    slots = TokenSlots(2, 8)
    slots.allocate(1, head_dim, head_dim, dtype, device)
    queries = torch.ones(2, 1, 2, head_dim, dtype=dtype, device=device)
    slots.values += 1
    try:
        seen = attend(queries, slots, layout_of([0, 3], (), 8, device), 1.0)
    except (RuntimeError, AttributeError, TypeError):
        return False
    return torch.allclose(seen.float(), torch.ones_like(seen, dtype=torch.float32))
