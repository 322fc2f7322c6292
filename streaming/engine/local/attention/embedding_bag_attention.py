"""Attention of decoding rows on a CPU, as weighted sums of table rows ("bags").

One query token per row makes the products of attention thin: matrix kernels spend their time
on laying out keys and values that are used once. Weighted sums of rows are what embedding tables
are read with, and fbgemm's kernel for that (Khudia et al. 2021, arXiv:2101.05615) reads each key
and value once, as they lie. Values are rows as they are. For the scores, the sum over d has to be
the sum over rows: keys lie in blocks of BLOCK tokens, transposed, so that a row holds one of the
d numbers of each of a block's tokens, and the query's numbers are the weights. Measured on two
cores: 16 rows of 512 tokens took 14 ms in 30 layers, scaled_dot_product_attention 24 ms.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from streaming.engine.local.attention.cache import BLOCK, Places, Slots, Stretch, stretch_of, zeros
from streaming.engine.local.attention.dense import partition
from streaming.engine.local.attention.torchscript import recorded

_CALL_TOKENS = 512  # as in `attention`: what a further call costs, in tokens of one row
_INDICES_KEPT = 16

PARTS = 2
"""Rows are read in so many calls at most: what a step computes is recorded for each number."""


_REPLAYED_BLOCKS = 512
"""Of all tokens that are read by one call of a replay: its indices take some megabytes."""


def can_bag(device: torch.device) -> bool:
    """Whether the kernel is there; without fbgemm torch's own is slower than anything."""
    return device.type == "cpu" and "fbgemm" in torch.backends.quantized.supported_engines


class BlockSlots(Slots):
    """Keys [rows, kv_heads, blocks, d, BLOCK], values [rows, kv_heads, blocks * BLOCK, d]."""

    def allocate(
        self, heads: int, key_dim: int, value_dim: int, dtype: torch.dtype, device: torch.device
    ) -> None:
        blocks = -(-self.max_len // BLOCK)
        self.keys = zeros((self.rows, heads, blocks, key_dim, BLOCK), dtype, device)
        self.values = zeros((self.rows, heads, blocks * BLOCK, value_dim), dtype, device)
        self.is_allocated = True

    def write(
        self,
        keys: Tensor,
        values: Tensor,
        decoding: Places,
        reading: Iterable[Stretch],
    ) -> None:
        if count := len(decoding.rows):
            at_keys, at_values = self.numbers_of(decoding)
            self.keys.view(-1).put_(at_keys, keys[:count])
            self.values.view(-1).put_(at_values, values[:count])
        for part in reading:
            here = slice(part.first, part.first + part.count)
            block, at = part.places.blocks
            self.keys[part.row, :, block, :, at] = keys[here]
            there = slice(part.start, part.start + part.count)
            self.values[part.row, :, there] = values[here].transpose(0, 1)

    def numbers_of(self, places: Places) -> tuple[Tensor, Tensor]:
        """As of Places, [n, kv_heads, d] each: one `put_` is faster than an assignment with four
        indices."""
        if places.numbers is None:
            places.numbers = self._find(places)
        return places.numbers

    def _find(self, places: Places) -> tuple[Tensor, Tensor]:
        _, heads, blocks, d, _ = self.keys.shape
        block, at = places.blocks
        head = places.rows[:, None] * heads + torch.arange(heads)
        of_block = head * blocks + block[:, None]
        of_keys = of_block[..., None] * d + torch.arange(d)
        of_values = head * (blocks * BLOCK) + places.positions[:, None]
        wide = self.values.shape[-1]
        return (
            of_keys * BLOCK + at[:, None, None],
            of_values[..., None] * wide + torch.arange(wide),
        )

    @property
    def room(self) -> int:
        return -(-self.max_len // BLOCK) * BLOCK

    def read(self, row: int, length: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        # Float16 to bfloat16 at once is not vectorised in torch: six times as long.
        blocks = self.keys[row, :, : -(-length // BLOCK)].float().to(dtype)
        keys = blocks.transpose(1, 2).flatten(2)[..., :length]
        return keys, self.values[row, :, :length].float().to(dtype)

    def swap(self, a: int, b: int, length: int) -> None:
        blocks = -(-length // BLOCK)
        for tensor, end in ((self.keys, blocks), (self.values, length)):
            saved = tensor[a, :, :end].clone()
            tensor[a, :, :end] = tensor[b, :, :end]
            tensor[b, :, :end] = saved

    def copy(self, source: int, target: int, length: int) -> None:
        for tensor, end in ((self.keys, -(-length // BLOCK)), (self.values, length)):
            tensor[target, :, :end] = tensor[source, :, :end]


@dataclass(frozen=True, slots=True)
class _Indices:
    """Which table rows are summed, bag after bag, and where each bag begins."""

    keys: Tensor
    key_bags: Tensor
    values: Tensor
    value_bags: Tensor


@dataclass(frozen=True, slots=True)
class BagRows:
    """Queries `first` to `last` (excluded), for which the same number of blocks is read. What
    comes out for one does not depend on the others, nor on how many blocks there are before and
    beyond its own."""

    first: int
    last: int
    mask: Tensor  # added to the scores [rows, 1, 1, blocks, BLOCK]
    indices: _Indices

    kernel: Callable[..., Tensor]

    def attend(self, queries: Tensor, slots: Slots, scale: float) -> Tensor:
        """Queries [n, kv_heads, group, d], of the whole step, to the same shape for these rows."""
        part = queries[self.first : self.last] * scale
        return self.kernel(part, slots.keys, slots.values, *self.told)

    @property
    def told(self) -> tuple[Tensor, ...]:
        """What the kernel is told, besides queries, keys and values."""
        at = self.indices
        return self.mask, at.keys, at.key_bags, at.values, at.value_bags


@dataclass(frozen=True, slots=True)
class Replay(Stretch):
    """Tokens that were generated, read as they were then: each as the newest of a decoding row.
    Read as a prompt they would leave other keys and values, and the answer would go on otherwise
    than it would have."""

    rows: BagRows

    def attend(self, queries: Tensor, slots: Slots, scale: float) -> Tensor:
        """As Reading.attend."""
        return self.rows.attend(queries, slots, scale)


class Attend(nn.Module):
    """The kernel of BagRows: two calls of `embedding_bag` and a softmax."""

    def forward(
        self, queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor,
        at_keys: Tensor, key_bags: Tensor, at_values: Tensor, value_bags: Tensor,
    ) -> Tensor:  # fmt: skip
        """Scaled queries [rows, kv_heads, group, d] to the same shape; the others as in BagRows."""
        weights = queries.to(keys.dtype)  # scaled before: a float16 sum must not overflow
        rows, heads, group, d = queries.shape
        weights = weights[:, :, :, None].expand(-1, -1, -1, mask.shape[3], -1)
        scores = _sums(keys.view(-1, BLOCK), at_keys, key_bags, weights)
        scores = scores.view(rows, heads, group, -1, BLOCK).add_(mask)
        shares = scores.flatten(3).softmax(-1)  # summed in float32, whatever the format
        seen = _sums(values.view(-1, values.shape[-1]), at_values, value_bags, shares)
        return seen.view(rows, heads, group, d)


class Bags:
    """Says how decoding rows are read. The indices of a layout hold for BLOCK steps, and for all
    layers; those of the last few layouts are kept."""

    def __init__(self, kv_heads: int, group: int, d: int, max_len: int) -> None:
        self._shape = kv_heads, group, d
        self._blocks_per_row = -(-max_len // BLOCK)
        self._kernels: dict[torch.dtype, Callable[..., Tensor]] = {}
        self._kept: OrderedDict[tuple[int, int, int, int], _Indices] = OrderedDict()

    def rows_of(
        self, lengths: Sequence[int], dtype: torch.dtype, window: int = 0
    ) -> Iterator[BagRows]:
        """The calls that read decoding rows of these lengths, the newest token included, from a
        cache of this format. With a window each sees so many newest tokens only; the rows of a
        call are the same."""
        blocks = [-(-length // BLOCK) * BLOCK for length in lengths]
        cost = _CALL_TOKENS
        while len(cuts := partition(blocks, cost)) > PARTS:
            cost *= 2
        for first, last in cuts:
            yield self.part(first, lengths[first:last], dtype, window)

    def replays_of(
        self, first: int, row: int, start: int, count: int, dtype: torch.dtype, window: int = 0
    ) -> Iterator[Replay]:
        """The calls that read `count` generated tokens of a row from `start`; their queries begin
        at `first` in the step. `window` as of `rows_of`."""
        at, end = start, start + count
        while at < end:
            few = max(1, _REPLAYED_BLOCKS // (-(-end // BLOCK)))
            lengths = range(at + 1, min(at + few, end) + 1)
            new = stretch_of(first, row, at, len(lengths), torch.device("cpu"))
            last, blocks = first + len(lengths), _blocks(lengths, window)
            indices = self._make([row] * len(lengths), blocks)
            mask = _mask(lengths, blocks, dtype, window)
            rows = BagRows(first, last, mask, indices, self._kernel(dtype))
            yield Replay(first, row, at, len(lengths), new.places, rows)
            first, at = last, at + len(lengths)

    def part(
        self, first: int, lengths: Sequence[int], dtype: torch.dtype, window: int = 0
    ) -> BagRows:
        """One such call, for the rows from `first`."""
        last, blocks = first + len(lengths), _blocks(lengths, window)
        mask, indices = _mask(lengths, blocks, dtype, window), self._indices(first, last, blocks)
        return BagRows(first, last, mask, indices, self._kernel(dtype))

    def _kernel(self, dtype: torch.dtype) -> Callable[..., Tensor]:
        if dtype not in self._kernels:
            slots = BlockSlots(1, self._blocks_per_row * BLOCK)  # the indices are of whole rows
            kv_heads, group, d = self._shape
            slots.allocate(kv_heads, d, d, dtype, torch.device("cpu"))
            at = self._make([0], range(1))
            self._kernels[dtype] = recorded(
                Attend(), torch.zeros(1, kv_heads, group, d), slots.keys, slots.values,
                torch.zeros(1, 1, 1, 1, BLOCK, dtype=dtype),
                at.keys, at.key_bags, at.values, at.value_bags,
            )  # fmt: skip
        return self._kernels[dtype]

    def _indices(self, first: int, last: int, blocks: range) -> _Indices:
        layout = first, last, blocks.start, blocks.stop
        if layout not in self._kept:
            self._kept[layout] = self._make(range(first, last), blocks)
            if len(self._kept) > _INDICES_KEPT:
                self._kept.popitem(last=False)
        self._kept.move_to_end(layout)
        return self._kept[layout]

    def _make(self, rows: Sequence[int], blocks: range) -> _Indices:
        """For one query of each of `rows`, which reads these blocks of its row."""
        kv_heads, group, d = self._shape
        heads = torch.tensor(rows)[:, None] * kv_heads + torch.arange(kv_heads)
        heads = heads.view(-1, 1)  # of all rows, one each
        of_block = heads * self._blocks_per_row + torch.tensor(blocks)
        keys = of_block[..., None] * d + torch.arange(d)  # [heads, blocks, d]
        of_row = heads * self._blocks_per_row * BLOCK
        values = of_row + torch.arange(blocks.start * BLOCK, blocks.stop * BLOCK)
        queries, tokens = len(heads) * group, len(blocks) * BLOCK
        return _Indices(
            _repeated(keys.flatten(1), group),
            torch.arange(0, queries * len(blocks) * d, d, dtype=torch.int32),
            _repeated(values, group),
            torch.arange(0, queries * tokens, tokens, dtype=torch.int32),
        )


def _blocks(lengths: Sequence[int], window: int) -> range:
    """Those in which queries that see so many tokens each, or the last `window` of them, see
    something."""
    first = max(0, min(lengths) - window) // BLOCK if window else 0
    return range(first, -(-max(lengths) // BLOCK))


def _mask(lengths: Sequence[int], blocks: range, dtype: torch.dtype, window: int) -> Tensor:
    """What BagRows adds to the scores of these queries."""
    ends = torch.tensor(lengths)[:, None]
    at = torch.arange(blocks.start * BLOCK, blocks.stop * BLOCK)
    hidden = at >= ends
    if window:
        hidden |= at < ends - window
    hidden = hidden.view(-1, 1, 1, len(blocks), BLOCK)
    return torch.zeros(hidden.shape, dtype=dtype).masked_fill_(hidden, -torch.inf)


def _repeated(indices: Tensor, group: int) -> Tensor:
    """[heads, n] for each of the `group` queries of a head, flat."""
    if int(indices.max()) > torch.iinfo(torch.int32).max:
        raise ValueError("the cache has too many rows for this kernel")
    return indices[:, None].expand(-1, group, -1).to(torch.int32).reshape(-1)


def _sums(table: Tensor, indices: Tensor, bags: Tensor, weights: Tensor) -> Tensor:
    """[bags, width]: for each bag, the sum of its table rows times their weights."""
    flat = weights.reshape(-1)
    sums: Tensor = torch.embedding_bag(table, indices, bags, False, 0, False, flat)[0]
    return sums
