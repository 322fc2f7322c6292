"""One layer's keys and values in blocks, as embedding bags read them."""

from __future__ import annotations

import torch
from torch import Tensor

from streaming.engine.local.attention.slots import SlotMapping, Slots, zeros

BLOCK_SIZE = 64
"""Tokens of a block, see `embedding_bag`."""


class BlockSlots(Slots):
    """Keys [rows, kv_heads, blocks, d, BLOCK_SIZE], values [rows, kv_heads, blocks * BLOCK_SIZE,
    d]."""

    def allocate(
        self, heads: int, key_dim: int, value_dim: int, dtype: torch.dtype, device: torch.device
    ) -> None:
        """Take memory for whole blocks of each row, see `Slots.allocate`."""
        blocks = blocks_of(self.max_len)
        self.keys = zeros((self.rows, heads, blocks, key_dim, BLOCK_SIZE), dtype, device)
        self.values = zeros((self.rows, heads, blocks * BLOCK_SIZE, value_dim), dtype, device)
        self.is_allocated = True

    @property
    def room(self) -> int:
        """Return how many tokens the blocks of a row have memory for."""
        return blocks_of(self.max_len) * BLOCK_SIZE

    def slot_mapping(self, rows: Tensor, positions: Tensor) -> SlotMapping:
        """Return the index of each of the tokens' numbers in keys and in values, [n, kv_heads, d]
        each, as if these were flat: one `put_` is faster than an assignment with four indices."""
        _, heads, blocks, d, _ = self.keys.shape
        block, offset = positions // BLOCK_SIZE, positions % BLOCK_SIZE
        head = rows[:, None] * heads + torch.arange(heads)
        of_block = head * blocks + block[:, None]
        of_keys = of_block[..., None] * d + torch.arange(d)
        of_values = head * (blocks * BLOCK_SIZE) + positions[:, None]
        wide = self.values.shape[-1]
        return (
            of_keys * BLOCK_SIZE + offset[:, None, None],
            of_values[..., None] * wide + torch.arange(wide),
        )

    def write(self, mapping: SlotMapping, keys: Tensor, values: Tensor) -> None:
        """Write keys and values [n, kv_heads, d] of single tokens where `mapping` says."""
        at_keys, at_values = mapping
        self.keys.view(-1).put_(at_keys, keys)
        self.values.view(-1).put_(at_values, values)

    def span_mapping(self, start: int, count: int) -> SlotMapping:
        """Return the block of each token [n], and where in the block it is [n]."""
        at = torch.arange(start, start + count, device=self.keys.device)
        return at // BLOCK_SIZE, at % BLOCK_SIZE

    def write_span(
        self, row: int, start: int, mapping: SlotMapping, keys: Tensor, values: Tensor
    ) -> None:
        """Write keys and values [n, kv_heads, d] of a row's tokens, see `Slots.write_span`."""
        block, offset = mapping
        self.keys[row, :, block, :, offset] = keys
        self.values[row, :, start : start + len(values)] = values.transpose(0, 1)

    def read(self, row: int, length: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """Return keys [kv_heads, d, length] and values [kv_heads, length, d] of a row."""
        # Float16 to bfloat16 at once is not vectorised in torch: six times as long.
        blocks = self.keys[row, :, : blocks_of(length)].float().to(dtype)
        keys = blocks.transpose(1, 2).flatten(2)[..., :length]
        return keys, self.values[row, :, :length].float().to(dtype)

    def swap(self, a: int, b: int, length: int) -> None:
        """Exchange the blocks that two rows have of their first `length` tokens."""
        for tensor, end in ((self.keys, blocks_of(length)), (self.values, length)):
            saved = tensor[a, :, :end].clone()
            tensor[a, :, :end] = tensor[b, :, :end]
            tensor[b, :, :end] = saved

    def copy(self, source: int, target: int, length: int) -> None:
        """Copy the blocks of a row's first `length` tokens to another row."""
        for tensor, end in ((self.keys, blocks_of(length)), (self.values, length)):
            tensor[target, :, :end] = tensor[source, :, :end]


def blocks_of(tokens: int) -> int:
    """Return how many blocks a row of so many tokens has."""
    return -(-tokens // BLOCK_SIZE)
