"""Attention of a prompt's tokens, as plain matrix products over the row that they belong to."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from streaming.engine.local.attention.slots import Slots

CALL_TOKENS = 128
"""Tokens of a prompt that one call reads: it does not look at the keys after the last of them."""

_QUERIES, _KEYS, _KEYS_FINE = 16, 128, 1024
"""Plain products have sizes that are multiples of these (of keys, four times as much beyond the
last). oneDNN keeps something of every size that it has seen: memory grew by 100 MB in some 1,000
steps."""

_SUMMED = {torch.bfloat16: 1024, torch.float32: 256}
"""Number of keys whose values are summed at a time. Beyond that, the libraries sum in pieces whose
size depends on how many keys there are in all, and with it on where a prompt was cut in chunks."""


@dataclass(frozen=True, slots=True)
class PrefillCall:
    """`count` tokens of a prompt in cache row `row`, the first of which is number `first` of the
    step. What comes out for one of them does not depend on which others are read with it: not on
    where the prompt was cut, nor on how much of it was there already."""

    first: int
    row: int
    count: int
    begin: int  # keys before it are not read
    masked: int  # all keys before it are seen
    mask: Tensor  # added to the scores from `masked` on [group * queries, keys - masked]

    def attend(self, queries: Tensor, slots: Slots, scale: float) -> Tensor:
        """Return what these tokens see [count, kv_heads, group, d]; `queries` are of the whole
        step [n, kv_heads, group, d]."""
        dtype = self.mask.dtype
        keys, values = slots.read(self.row, self.masked + self.mask.shape[1], dtype)
        keys, values = keys[:, :, self.begin :], values[:, self.begin :]
        part = queries[self.first : self.first + self.count]
        count, heads, group, d = part.shape
        part = part.permute(1, 2, 0, 3)
        if _multiplies_plainly(self.mask.device, dtype):
            spare = self.mask.shape[0] // group - count
            part = functional.pad(part * scale, (0, 0, 0, spare)).flatten(1, 2).to(dtype)
            scores = torch.bmm(part, keys)
            scores[:, :, self.masked - self.begin :] += self.mask
            output = _weighted(scores.softmax(-1), values)
        else:
            mask = functional.pad(self.mask, (self.masked - self.begin, 0))
            output = functional.scaled_dot_product_attention(
                part.flatten(1, 2).to(dtype)[None], keys.transpose(1, 2).contiguous()[None],
                values[None], attn_mask=mask, scale=scale,
            )  # fmt: skip
        return output.view(heads, group, -1, d)[:, :, :count].permute(2, 0, 1, 3)


def prefill_calls(
    first: int, row: int, start: int, end: int, group: int, dtype: torch.dtype,
    device: torch.device, most: int, window: int = 0,
) -> Iterator[PrefillCall]:  # fmt: skip
    """Yield the calls for a row's tokens from position `start` to `end`, of which the first is
    number `first` of the step; the other arguments as of `prefill_call`."""
    for at in range(start, end, CALL_TOKENS):
        count = min(CALL_TOKENS, end - at)
        yield prefill_call(first + at - start, row, at, count, group, dtype, device, most, window)


def prefill_call(
    first: int, row: int, start: int, count: int, group: int, dtype: torch.dtype,
    device: torch.device, most: int, window: int = 0,
) -> PrefillCall:  # fmt: skip
    """Return the call for `count` tokens of a row from position `start`, computed in `dtype`.

    Each token sees those before it and itself, or the newest `window` of these. A row has memory
    for `most` tokens.
    """
    queries, end = count, start + count
    if _multiplies_plainly(device, dtype):
        queries = -(-count // _QUERIES) * _QUERIES
        step = _KEYS if end <= _KEYS_FINE else 4 * _KEYS
        end = max(end, min(most, -(-end // step) * step))
    begin, masked = 0, start
    if is_cut := 0 < window < start + queries:
        # A whole number of sums before it: those that are left have the keys that they had.
        step = _SUMMED.get(dtype, 1)
        begin = masked = max(0, start - window + 1) // step * step
    at = torch.arange(start, start + queries, device=device)[:, None]
    keys = torch.arange(masked, end, device=device)
    hidden = keys > at
    if is_cut:
        hidden |= keys <= at - window
    mask = hiding_mask(hidden, dtype).repeat(group, 1)
    return PrefillCall(first, row, count, begin, masked, mask)


def hiding_mask(hidden: Tensor, dtype: torch.dtype) -> Tensor:
    """Return what is added to scores: -infinity where `hidden`, else 0."""
    mask = torch.zeros(hidden.shape, dtype=dtype, device=hidden.device)
    return mask.masked_fill_(hidden, -torch.inf)


def _multiplies_plainly(device: torch.device, dtype: torch.dtype) -> bool:
    """With plain products: faster than the fused kernel where the CPU multiplies bfloat16, as fast
    in float32; and that one sums in an order that depends on how many queries it is given."""
    return device.type == "cpu" and dtype in _SUMMED


def _weighted(shares: Tensor, values: Tensor) -> Tensor:
    """The sums [heads, queries, d] of values [heads, keys, d], `shares` [heads, queries, keys]."""
    step, keys = _SUMMED[values.dtype], values.shape[1]
    seen = torch.bmm(shares[:, :, :step], values[:, :step])
    for at in range(step, keys, step):
        part = slice(at, at + step)
        seen = seen.float().add_(torch.bmm(shares[:, :, part], values[:, part]))
    return seen
