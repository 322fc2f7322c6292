"""Attention by torch's own kernels, on any device.

The decoding rows lie side by side, so one call reads them all; rows of very different lengths
are read in several calls, so that a short one does not pay for a long one. With grouped-query
attention (Ainslie et al. 2023, arXiv:2305.13245) the query heads that share a key head stand
as more queries of that head, so that no key is ever repeated in memory.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from streaming.engine.local.attention.calls import CallsPlan, KernelCall
from streaming.engine.local.attention.interface import Attention, AttentionPlan
from streaming.engine.local.attention.partition import partition
from streaming.engine.local.attention.prefill import hiding_mask, prefill_calls
from streaming.engine.local.attention.slots import Slots
from streaming.engine.local.attention.span import Span

_CALL_TOKENS = 256
"""A further call of the kernel costs as much as reading so many tokens of one row, on a CPU."""


@dataclass(frozen=True, slots=True)
class DecodeCall:
    """Decoding rows `first` to `last` (excluded), read up to `length`; queries [first:last]."""

    first: int
    last: int
    length: int
    mask: Tensor | None  # added to the scores [rows, 1, 1, length]

    def attend(self, queries: Tensor, slots: Slots, scale: float) -> Tensor:
        """Return what these rows see [rows, kv_heads, group, d]; `queries` are of the whole step
        [n, kv_heads, group, d]."""
        part = slice(self.first, self.last)
        return functional.scaled_dot_product_attention(
            queries[part].to(slots.keys.dtype),
            slots.keys[part, :, : self.length],
            slots.values[part, :, : self.length],
            attn_mask=self.mask,
            scale=scale,
        )


def decode_calls(
    lengths: Sequence[int], dtype: torch.dtype, device: torch.device, window: int = 0
) -> Iterator[DecodeCall]:
    """Yield the calls that read decoding rows of these lengths, the newest token included. With a
    `window` each row sees so many newest tokens only; the calls have the same rows."""
    cost = _CALL_TOKENS if device.type == "cpu" else 1 << 30
    for first, last in partition(lengths, cost):
        part = lengths[first:last]
        longest, mask = max(part), None
        is_cut = 0 < window < longest
        if is_cut or min(part) != longest:
            ends = torch.tensor(part, device=device)[:, None, None, None]
            at = torch.arange(longest, device=device)
            hidden = at >= ends
            if is_cut:
                hidden |= at < ends - window
            mask = hiding_mask(hidden, dtype)
        yield DecodeCall(first, last, longest, mask)


class DenseAttention(Attention):
    """Reads decoding rows side by side, and prompts row by row."""

    slots_class = Slots

    def plan(
        self, positions: Sequence[int], spans: Sequence[Span], spare: int = 0
    ) -> AttentionPlan:
        """Plan a step, see `Attention.plan`."""
        config = self.config
        device, room = config.device, self.cache.slots[0].room
        lengths = [position + 1 for position in positions]
        calls: list[list[KernelCall]] = []
        for window in config.windows:
            of_window: list[KernelCall] = [
                *decode_calls(lengths, config.cache_dtype, device, window)
            ]
            first = len(positions)
            for span in spans:
                of_window += prefill_calls(
                    first, span.row, span.start, span.end, config.group, config.prefill_dtype,
                    device, room, window,
                )  # fmt: skip
                first += len(span.tokens)
            calls.append(of_window)
        return CallsPlan(self, positions, spans, spare, calls)
