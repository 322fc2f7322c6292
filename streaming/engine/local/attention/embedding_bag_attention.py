"""Attention on a CPU: decoding rows by the kernel of `embedding_bag`, prompts by plain products.

What a token sees is the same bit by bit, whatever else is in the step.
"""

from __future__ import annotations

import functools
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from streaming.engine.local.attention.block_slots import BLOCK_SIZE, BlockSlots, blocks_of
from streaming.engine.local.attention.cache import SlotCache
from streaming.engine.local.attention.calls import CallsPlan, KernelCall
from streaming.engine.local.attention.embedding_bag import (
    BagIndices,
    EmbeddingBagKernel,
    bag_indices,
)
from streaming.engine.local.attention.interface import (
    Attention,
    AttentionConfig,
    RecordingInputs,
)
from streaming.engine.local.attention.partition import partition
from streaming.engine.local.attention.prefill import hiding_mask, prefill_calls
from streaming.engine.local.attention.slots import Slots
from streaming.engine.local.attention.span import Span
from streaming.engine.local.attention.torchscript import recorded

MAX_CALLS = 2
"""Calls in which decoding rows are read at most: a step is recorded for each number of them."""

_CALL_TOKENS = 512  # as in `dense`: what a further call costs, in tokens of one row
_INDICES_KEPT = 16

_REPLAYED_BLOCKS = 512
"""Blocks that one call of a replay reads, all tokens together: its indices take some megabytes."""


@dataclass(frozen=True, slots=True)
class BagCall:
    """Queries `first` to `last` (excluded) of a step, for which the same number of blocks is read.
    What comes out for one does not depend on the others, nor on how many blocks there are before
    and beyond its own."""

    first: int
    last: int
    mask: Tensor  # added to the scores [rows, 1, 1, blocks, BLOCK_SIZE]
    indices: BagIndices
    kernel: Callable[..., Tensor]

    def attend(self, queries: Tensor, slots: Slots, scale: float) -> Tensor:
        """Return what these rows see [rows, kv_heads, group, d]; `queries` are of the whole step
        [n, kv_heads, group, d]."""
        part = queries[self.first : self.last] * scale
        return self.kernel(part, slots.keys, slots.values, *self.kernel_inputs)

    @property
    def kernel_inputs(self) -> tuple[Tensor, ...]:
        """Return the kernel's arguments after queries, keys and values."""
        at = self.indices
        return self.mask, at.keys, at.key_offsets, at.values, at.value_offsets


class BagPlan(CallsPlan):
    """A step whose decoding rows are read by `decoding` (for each window), and of which the other
    tokens are read by further `calls`."""

    def __init__(
        self, attention: Attention, positions: Sequence[int], spans: Sequence[Span], spare: int,
        decoding: Sequence[Sequence[BagCall]], others: Sequence[Sequence[KernelCall]],
    ) -> None:  # fmt: skip
        calls = [[*rows, *more] for rows, more in zip(decoding, others, strict=True)]
        super().__init__(attention, positions, spans, spare, calls)
        self._decode_calls = None if spans or spare else decoding

    def recording_inputs(self) -> RecordingInputs | None:
        """Return the inputs of a recorded step; None if it does more than decode."""
        calls = self._decode_calls
        if calls is None:
            return None
        arguments = (
            *self._mapping,
            [slots.keys for slots in self._slots], [slots.values for slots in self._slots],
            tuple(
                tuple((torch.arange(call.first, call.last), *call.kernel_inputs) for call in each)
                for each in calls
            ),
        )  # fmt: skip
        return RecordingInputs(len(calls[0]), arguments)


class EmbeddingBagAttention(Attention):
    """Plans steps over a cache of `BlockSlots`. The indices of a layout of rows and blocks hold
    for BLOCK_SIZE steps, and for all layers; those of the last few layouts are kept."""

    slots_class = BlockSlots
    is_exact = True
    takes_recordings = True

    def __init__(self, cache: SlotCache, config: AttentionConfig) -> None:
        super().__init__(cache, config)
        self._blocks_per_row = blocks_of(cache.slots[0].max_len)
        self._kept: OrderedDict[tuple[int, int, int, int], BagIndices] = OrderedDict()

    def plan(self, positions: Sequence[int], spans: Sequence[Span], spare: int = 0) -> BagPlan:
        """Plan a step, see `Attention.plan`. What was generated is read again as it was then,
        token by token: read as a prompt it would leave other keys and values, and the answer would
        go on otherwise than it would have."""
        lengths = [position + 1 for position in positions]
        windows = self.config.windows
        decoding = [[*self.decode_calls(lengths, window)] for window in windows]
        others: list[list[KernelCall]] = [
            [*self._span_calls(len(positions), spans, window)] for window in windows
        ]
        return BagPlan(self, positions, spans, spare, decoding, others)

    def example_plan(self, calls: int) -> BagPlan:
        """Plan a step of so many rows, one token each, in so many calls: to record it with."""
        each = [[self.decode_call(row, [1], 0) for row in range(calls)]
                for _ in self.config.windows]  # fmt: skip
        return BagPlan(self, [0] * calls, (), 0, each, [[] for _ in each])

    def decode_calls(self, lengths: Sequence[int], window: int = 0) -> Iterator[BagCall]:
        """Yield the calls that read decoding rows of these lengths, the newest token included.
        With a `window` each row sees so many newest tokens only; the calls have the same rows."""
        blocks = [blocks_of(length) * BLOCK_SIZE for length in lengths]
        cost = _CALL_TOKENS
        while len(cuts := partition(blocks, cost)) > MAX_CALLS:
            cost *= 2
        for first, last in cuts:
            yield self.decode_call(first, lengths[first:last], window)

    def decode_call(self, first: int, lengths: Sequence[int], window: int = 0) -> BagCall:
        """Return one such call, for the rows from `first`."""
        last, blocks = first + len(lengths), _blocks(lengths, window)
        mask = _mask(lengths, blocks, self.config.cache_dtype, window)
        return BagCall(first, last, mask, self._indices(first, last, blocks), self._kernel)

    def _span_calls(self, first: int, spans: Sequence[Span], window: int) -> Iterator[KernelCall]:
        """The calls that read the spans; the first token of these is number `first` of the
        step."""
        config, room = self.config, self.cache.slots[0].room
        for span in spans:
            prompt = span.end - span.generated
            yield from prefill_calls(
                first, span.row, span.start, prompt, config.group, config.prefill_dtype,
                config.device, room, window,
            )  # fmt: skip
            if span.generated:
                yield from self._replay_calls(
                    first + prompt - span.start, span.row, prompt, span.generated, window
                )
            first += len(span.tokens)

    def _replay_calls(
        self, first: int, row: int, start: int, count: int, window: int
    ) -> Iterator[BagCall]:
        """The calls that read `count` generated tokens of a row from `start`, each as the newest
        token of a decoding row; the first is number `first` of the step."""
        at, end = start, start + count
        while at < end:
            few = max(1, _REPLAYED_BLOCKS // blocks_of(end))
            lengths = range(at + 1, min(at + few, end) + 1)
            last, blocks = first + len(lengths), _blocks(lengths, window)
            indices = self._make([row] * len(lengths), blocks)
            mask = _mask(lengths, blocks, self.config.cache_dtype, window)
            yield BagCall(first, last, mask, indices, self._kernel)
            first, at = last, at + len(lengths)

    @functools.cached_property
    def _kernel(self) -> Callable[..., Tensor]:
        config = self.config
        kv_heads, group, d, dtype = (
            config.kv_heads, config.group, config.head_dim, config.cache_dtype,
        )  # fmt: skip
        slots = BlockSlots(1, self._blocks_per_row * BLOCK_SIZE)  # the indices are of whole rows
        slots.allocate(kv_heads, d, d, dtype, torch.device("cpu"))
        at = self._make([0], range(1))
        kernel: Callable[..., Tensor] = recorded(
            EmbeddingBagKernel(), torch.zeros(1, kv_heads, group, d), slots.keys, slots.values,
            torch.zeros(1, 1, 1, 1, BLOCK_SIZE, dtype=dtype),
            at.keys, at.key_offsets, at.values, at.value_offsets,
        )  # fmt: skip
        return kernel

    def _indices(self, first: int, last: int, blocks: range) -> BagIndices:
        layout = first, last, blocks.start, blocks.stop
        if layout not in self._kept:
            self._kept[layout] = self._make(range(first, last), blocks)
            if len(self._kept) > _INDICES_KEPT:
                self._kept.popitem(last=False)
        self._kept.move_to_end(layout)
        return self._kept[layout]

    def _make(self, rows: Sequence[int], blocks: range) -> BagIndices:
        config = self.config
        return bag_indices(
            rows, blocks, config.kv_heads, config.group, config.head_dim, self._blocks_per_row
        )


def _blocks(lengths: Sequence[int], window: int) -> range:
    """Those in which queries that see so many tokens each, or the last `window` of them, see
    something."""
    first = max(0, min(lengths) - window) // BLOCK_SIZE if window else 0
    return range(first, blocks_of(max(lengths)))


def _mask(lengths: Sequence[int], blocks: range, dtype: torch.dtype, window: int) -> Tensor:
    """What a BagCall adds to the scores of these queries."""
    ends = torch.tensor(lengths)[:, None]
    at = torch.arange(blocks.start * BLOCK_SIZE, blocks.stop * BLOCK_SIZE)
    hidden = at >= ends
    if window:
        hidden |= at < ends - window
    return hiding_mask(hidden.view(-1, 1, 1, len(blocks), BLOCK_SIZE), dtype)
