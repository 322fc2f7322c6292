"""The keys and values of a layer that sees the newest tokens only (a sliding window)."""

from __future__ import annotations

import torch
from torch import Tensor

from streaming.engine.local.attention.slots import Slots, zeros

LEAST_SPARE = 256
"""Tokens that a row can go back by, whatever the window."""


def ring_room(window: int) -> int:
    """Return how many tokens of a row a layer with this window keeps; 0: it sees all of them."""
    return window and window + max(window, LEAST_SPARE)


class RingSlots(Slots):
    """Slots of a layer that sees the newest `window` tokens: token p is slot p % `room` of its
    row, over the token that was there before.

    There are more slots than the window has, so that a row can go on from some tokens back: an
    answer that was cut, a turn that is asked again.
    """

    def __init__(self, rows: int, max_len: int, window: int) -> None:
        self.window = window
        self._room = min(max_len, ring_room(window))
        super().__init__(rows, max_len)

    def allocate(
        self, heads: int, key_dim: int, value_dim: int, dtype: torch.dtype, device: torch.device
    ) -> None:
        """Take memory for `room` tokens of each row, see `Slots.allocate`."""
        self.keys = zeros((self.rows, heads, self._room, key_dim), dtype, device)
        self.values = zeros((self.rows, heads, self._room, value_dim), dtype, device)
        self.is_allocated = True

    @property
    def room(self) -> int:
        """Return how many tokens of a row are kept."""
        return self._room

    def before(self, row: int, start: int) -> tuple[Tensor, Tensor]:
        """Return keys and values [1, kv_heads, n, d] of the `window` - 1 tokens before position
        `start`, or of all if these are fewer, in their order."""
        first = max(0, start - self.window + 1)
        slots = torch.arange(first, start, device=self.keys.device) % self._room
        return self.keys[row, None, :, slots], self.values[row, None, :, slots]

    def put(self, row: int, start: int, keys: Tensor, values: Tensor) -> None:
        """Write keys and values [kv_heads, n, d] of a row's tokens from position `start`."""
        new = min(keys.shape[1], self._room)
        end = start + keys.shape[1]
        slots = torch.arange(end - new, end, device=self.keys.device) % self._room
        self.keys[row, :, slots] = keys[:, -new:]
        self.values[row, :, slots] = values[:, -new:]

    def swap(self, a: int, b: int, length: int) -> None:
        """Exchange what two rows hold of their first `length` tokens."""
        super().swap(a, b, min(length, self._room))

    def copy(self, source: int, target: int, length: int) -> None:
        """Copy what a row holds of its first `length` tokens to another."""
        super().copy(source, target, min(length, self._room))

    def holds(self, length: int, reach: int) -> bool:
        """Return whether the window before position `length` has not been written over by one of
        the `reach` tokens that the row has had."""
        return length <= reach and reach - self._room <= max(0, length - self.window + 1)
