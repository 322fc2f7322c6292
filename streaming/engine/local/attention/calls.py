"""A step as a few kernel calls per layer, each for some of its tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from streaming.engine.local.attention.interface import Attention, AttentionPlan
from streaming.engine.local.attention.slots import SlotMapping, Slots
from streaming.engine.local.attention.span import Span


class KernelCall(Protocol):
    """Reads the cache for neighbouring tokens of a step."""

    def attend(self, queries: Tensor, slots: Slots, scale: float) -> Tensor:
        """Return what its tokens see [count, kv_heads, group, d]; `queries` are of the whole step
        [n, kv_heads, group, d]."""


@dataclass(frozen=True, slots=True)
class _SpanWrite:
    """`count` new tokens of `row` from position `start`, the first of them number `first` of the
    step."""

    first: int
    row: int
    start: int
    count: int
    mapping: SlotMapping


class CallsPlan(AttentionPlan):
    """The plan of a step as `calls`: for each window of the model those that together read for
    all tokens, in their order. Other arguments as of `Attention.plan`."""

    def __init__(
        self, attention: Attention, positions: Sequence[int], spans: Sequence[Span], spare: int,
        calls: Sequence[Sequence[KernelCall]],
    ) -> None:  # fmt: skip
        config, slots = attention.config, attention.cache.slots
        self._slots, self._scale, self._layer_windows = slots, config.scale, config.layer_windows
        self._activation_dtype = config.activation_dtype
        self._calls, self._spare = calls, spare
        self._decoding = count = len(positions)
        self._mapping: SlotMapping = ()
        if positions:
            rows = torch.arange(count, device=config.device)
            at = torch.tensor(positions, device=config.device)
            self._mapping = slots[0].slot_mapping(rows, at)
        self._writes: list[_SpanWrite] = []
        last = list(range(count))
        for span in spans:
            size = len(span.tokens)
            mapping = slots[0].span_mapping(span.start, size)
            self._writes.append(_SpanWrite(count, span.row, span.start, size, mapping))
            count += size
            last.append(count - 1)
        self._last_tokens = (
            torch.tensor(last, device=config.device) if spans or spare else None
        )  # fmt: skip

    @property
    def last_tokens(self) -> Tensor | None:
        """Return the index of each sequence's last token, see `AttentionPlan`."""
        return self._last_tokens

    def attend(self, layer: int, query: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """Write keys and values, and return what the queries see; nothing for spare ones."""
        slots = self._slots[layer]
        if count := self._decoding:
            slots.write(self._mapping, keys[:count], values[:count])
        for write in self._writes:
            here = slice(write.first, write.first + write.count)
            slots.write_span(write.row, write.start, write.mapping, keys[here], values[here])
        calls = self._calls[self._layer_windows[layer]]
        seen = [call.attend(query, slots, self._scale) for call in calls]
        if self._spare:
            seen.append(torch.zeros_like(query[: self._spare]))
        if len(seen) == 1:
            return seen[0]
        return torch.cat([part.to(self._activation_dtype) for part in seen])
