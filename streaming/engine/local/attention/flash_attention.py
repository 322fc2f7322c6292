"""Attention on CUDA: one call of FlashAttention per layer, and CUDA graphs for decoding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from streaming.engine.local.attention.flash import (
    FlashLayout,
    TokenSlots,
    flash_attend,
    flash_layout,
)
from streaming.engine.local.attention.graphs import DecodeGraphs
from streaming.engine.local.attention.interface import Attention, AttentionPlan, DecodePass, Run
from streaming.engine.local.attention.slots import Slots
from streaming.engine.local.attention.span import Span


@dataclass(frozen=True, slots=True)
class FlashPlan(AttentionPlan):
    """The plan of a step with this layout; `slots` are `TokenSlots` of all layers."""

    layout: FlashLayout
    slots: Sequence[Slots]
    scale: float

    @property
    def last_tokens(self) -> Tensor:
        """Return the index of each sequence's last token, see `AttentionPlan`."""
        return self.layout.query_starts[1:] - 1

    def attend(self, layer: int, query: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """Write keys and values, and return what the queries see."""
        slots = self.slots[layer]
        slots.write((self.layout.slot_mapping,), keys, values)
        return flash_attend(query, slots, self.layout, self.scale)


class FlashAttention(Attention):
    """Reads all tokens of a step in one call. The kernel is not told of windows: all layers must
    see all tokens."""

    slots_class = TokenSlots

    def plan(
        self, positions: Sequence[int], spans: Sequence[Span], spare: int = 0
    ) -> AttentionPlan:
        """Plan a step, see `Attention.plan`; no token may be spare."""
        assert not spare  # they are for what is exact
        max_len = self.cache.slots[0].max_len
        return self._plan(flash_layout(positions, spans, max_len, self.config.device))

    def decode_pass(self, run: Run) -> DecodePass:
        """Return `run` as CUDA graphs."""
        return DecodeGraphs(run, self._plan, self.cache, self.config.device)

    def _plan(self, layout: FlashLayout) -> FlashPlan:
        return FlashPlan(layout, self.cache.slots, self.config.scale)
