"""Attention of one step over the rows of the slot cache.

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

from streaming.engine.local.attention.cache import Slots, Stretch, stretch_of

READ_TOKENS = 128
"""So many tokens of a prompt are read by one call: what comes after them is not looked at."""

_QUERIES, _KEYS, _KEYS_FINE = 16, 128, 1024
"""Plain products have sizes that are multiples of these (of keys, four times as much beyond the
last). oneDNN keeps something of every size that it has seen: memory grew by 100 MB in some 1,000
steps."""

_SUMMED = {torch.bfloat16: 1024, torch.float32: 256}
"""Of so many keys at a time the values are summed. Beyond that, the libraries sum in pieces whose
size depends on how many keys there are in all, and with it on where a prompt was cut in chunks."""

_CALL_TOKENS = 256
"""A further call of the kernel costs as much as reading so many tokens of one row, on a CPU."""


@dataclass(frozen=True, slots=True)
class Rows:
    """Decoding rows `first` to `last` (excluded), read up to `length`; queries [first:last]."""

    first: int
    last: int
    length: int
    mask: Tensor | None  # added to the scores [rows, 1, 1, length]

    def attend(self, queries: Tensor, slots: Slots, scale: float) -> Tensor:
        """Queries [n, kv_heads, group, d], of the whole step, to the same shape for these rows."""
        part = slice(self.first, self.last)
        return functional.scaled_dot_product_attention(
            queries[part].to(slots.keys.dtype),
            slots.keys[part, :, : self.length],
            slots.values[part, :, : self.length],
            attn_mask=self.mask,
            scale=scale,
        )


@dataclass(frozen=True, slots=True)
class Reading(Stretch):
    """Tokens of a prompt. What comes out for one of them does not depend on which others are read
    with it: not on where the prompt was cut, nor on how much of it was there already."""

    begin: int  # keys before it are not read
    masked: int  # all keys before it are seen
    mask: Tensor  # added to the scores from `masked` on [group * queries, keys - masked]

    def attend(self, queries: Tensor, slots: Slots, scale: float) -> Tensor:
        """As Rows.attend, for these tokens."""
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


def rows_of(
    lengths: Sequence[int], dtype: torch.dtype, device: torch.device, window: int = 0
) -> Iterator[Rows]:
    """The calls that read decoding rows of these lengths, the newest token included. With a window
    each sees so many newest tokens only; the rows of a call are the same."""
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
            mask = _hiding(hidden, dtype)
        yield Rows(first, last, longest, mask)


def reading_of(
    first: int, row: int, start: int, count: int, group: int, dtype: torch.dtype,
    device: torch.device, most: int, window: int = 0,
) -> Reading:  # fmt: skip
    """Every token sees those before it and itself, or the newest `window` of these; a row has
    places for `most`."""
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
    new = stretch_of(first, row, start, count, device)
    mask = _hiding(hidden, dtype).repeat(group, 1)
    return Reading(first, row, start, count, new.places, begin, masked, mask)


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


def _hiding(hidden: Tensor, dtype: torch.dtype) -> Tensor:
    mask = torch.zeros(hidden.shape, dtype=dtype, device=hidden.device)
    return mask.masked_fill_(hidden, -torch.inf)


def partition(lengths: Sequence[int], call: int) -> list[tuple[int, int]]:
    """Neighbours that are read together, as (first, last): the cheapest way to cut, where a part
    costs `call` plus its count times its longest."""
    count = len(lengths)
    if not count:
        return []
    if count * max(lengths) - sum(lengths) <= call:
        return [(0, count)]
    best = [0] * (count + 1)  # cost of the first i
    cut = [0] * (count + 1)
    for last in range(1, count + 1):
        longest, cheapest = 0, None
        for first in range(last - 1, -1, -1):
            longest = max(longest, lengths[first])
            cost = best[first] + call + (last - first) * longest
            if cheapest is None or cost < cheapest:
                cheapest, cut[last] = cost, first
        best[last] = cheapest or 0
    parts = []
    while count:
        parts.append((cut[count], count))
        count = cut[count]
    return parts[::-1]
