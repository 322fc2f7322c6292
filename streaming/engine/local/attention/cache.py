"""The slot KV cache: the keys and values of all layers, row by row.

Knows neither a step nor how attention reads: see `interface`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from streaming.engine.local.attention.ring_slots import RingSlots, ring_room
from streaming.engine.local.attention.slots import Slots


class SlotCache:
    """`layers` Slots of class `kind`, of `rows` rows and `max_len` tokens each.

    `windows` has an entry for each layer if some of them see their newest tokens only: how many
    (0: all). Such a layer has `RingSlots`, unless they would be no smaller.
    """

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
        """Count of layers computed; grows during a long step, so that one can see it is not
        stuck."""

    @property
    def bytes(self) -> int:
        """Return the memory set aside in bytes, 0 before the first prompt. On a CPU the system
        gives it a page at a time, when first written to."""
        return sum(slots.bytes for slots in self.slots if slots.is_allocated)

    @property
    def bytes_per_token(self) -> int:
        """Return the memory set aside for a token of a row in bytes, all layers together."""
        return self.bytes // self._tokens

    def allocate(self, *shape_and_format: Any) -> None:
        """Take memory for all layers that have none yet; arguments as of `Slots.allocate`."""
        for slots in self.slots:
            if not slots.is_allocated:
                slots.allocate(*shape_and_format)

    def swap_rows(self, a: int, b: int, length: int) -> None:
        """Exchange the first `length` tokens of two rows."""
        for slots in self._allocated(length):
            slots.swap(a, b, length)

    def copy_row(self, source: int, target: int, length: int) -> None:
        """Copy the first `length` tokens of row `source` to row `target`."""
        for slots in self._allocated(length):
            slots.copy(source, target, length)

    def holds(self, length: int, reach: int) -> bool:
        """Return whether a row that has had `reach` tokens can go on after its first `length`, in
        every layer."""
        return all(slots.holds(length, reach) for slots in self.slots)

    def clear_row(self, row: int) -> None:
        """Fill a row with zeros."""
        for slots in self._allocated():
            slots.clear(row)

    def reset(self) -> None:
        """Give the memory back; the next step takes it anew."""
        for slots in self.slots:
            slots.reset()

    def _allocated(self, length: int = 1) -> list[Slots]:
        return [slots for slots in self.slots if slots.is_allocated and length]
