"""Every implementation of attention sees what its interface says: what is planned once per step is
written and read in each layer."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from streaming.engine.local.attention import flash
from streaming.engine.local.attention.block_slots import BLOCK_SIZE
from streaming.engine.local.attention.cache import SlotCache
from streaming.engine.local.attention.dense import DenseAttention
from streaming.engine.local.attention.embedding_bag import can_bag
from streaming.engine.local.attention.embedding_bag_attention import EmbeddingBagAttention
from streaming.engine.local.attention.flash_attention import FlashAttention
from streaming.engine.local.attention.interface import Attention, AttentionConfig
from streaming.engine.local.attention.span import Span
from tests.support.prerequisites import missing
from tests.unit.engine.test_flash import kernel

CPU = torch.device("cpu")
ROWS, KV_HEADS, GROUP, D, CONTEXT = 4, 2, 3, 8, 3 * BLOCK_SIZE
SCALE, WINDOW = 0.4, 50
STEPS: list[tuple[list[int], list[Span]]] = [
    ([], [Span(0, [0] * 140, 0), Span(1, [0] * 7, 0)]),
    ([140], [Span(1, [0] * 70, 7), Span(2, [0] * 9, 0)]),
    ([141, 77], [Span(3, [0] * 90, 0, 30)]),
    ([142, 78, 9, 90], []),
]
"""The positions of decoding rows, and the spans of others."""


def plainly(queries: Tensor, keys: Tensor, values: Tensor, window: int) -> Tensor:
    """What a row's last queries [n, kv_heads, group, d] see of all its tokens [length, kv_heads,
    d]."""
    count, length = len(queries), len(keys)
    at = torch.arange(length - count, length)[:, None]
    visible = torch.arange(length) <= at
    if window:
        visible &= torch.arange(length) > at - window
    seen = functional.scaled_dot_product_attention(
        queries.flatten(1, 2).transpose(0, 1),
        keys.repeat_interleave(GROUP, 1).transpose(0, 1),
        values.repeat_interleave(GROUP, 1).transpose(0, 1),
        attn_mask=visible, scale=SCALE,
    )  # fmt: skip
    return seen.transpose(0, 1).reshape(queries.shape)


@pytest.mark.parametrize("kind", [DenseAttention, EmbeddingBagAttention, FlashAttention])
def test_each_token_sees_its_row(kind: type[Attention], monkeypatch: pytest.MonkeyPatch) -> None:
    if kind is EmbeddingBagAttention and not can_bag(CPU):
        missing("torch with fbgemm")
    monkeypatch.setattr(flash, "_kernel", lambda: kernel)
    windows = [0] if kind is FlashAttention else [0, WINDOW]
    config = AttentionConfig(
        KV_HEADS, GROUP, D, SCALE, windows, [*range(len(windows)), 0],
        torch.float32, torch.float32, torch.float32, CPU,
    )  # fmt: skip
    cache = SlotCache(len(windows) + 1, ROWS, CONTEXT, kind.slots_class)
    attention = kind(cache, config)
    attention.allocate()
    torch.manual_seed(7)
    held = [[(torch.empty(0, KV_HEADS, D), torch.empty(0, KV_HEADS, D))] * ROWS
            for _ in config.layer_windows]  # fmt: skip
    for positions, spans in STEPS:
        spare = 3 if attention.is_exact else 0
        plan = attention.plan(positions, spans, spare)
        parts = [(row, 1) for row in range(len(positions))]
        parts += [(span.row, len(span.tokens)) for span in spans]
        count = sum(size for _, size in parts)
        for layer, which in enumerate(config.layer_windows):
            query = torch.randn(count + spare, KV_HEADS, GROUP, D)
            keys, values = torch.randn(2, count + spare, KV_HEADS, D)
            seen = plan.attend(layer, query, keys, values)
            assert seen.shape == query.shape
            assert not seen[count:].any()
            first = 0
            for row, size in parts:
                here = slice(first, first := first + size)
                before = held[layer][row]
                of_row = (torch.cat((before[0], keys[here])), torch.cat((before[1], values[here])))
                held[layer][row] = of_row
                expected = plainly(query[here], *of_row, windows[which])
                torch.testing.assert_close(seen[here], expected, atol=1e-5, rtol=1e-5)
        last = plan.last_tokens
        ends = torch.tensor([size for _, size in parts]).cumsum(0) - 1
        if last is None:
            assert ends.tolist() == list(range(count))
        else:
            assert torch.equal(last.long(), ends)
        is_recorded = kind.takes_recordings and not (spans or spare)
        assert (plan.recording_inputs() is not None) == is_recorded


def test_only_steps_that_decode_take_a_recording() -> None:
    if not can_bag(CPU):
        missing("torch with fbgemm")
    config = AttentionConfig(
        KV_HEADS, GROUP, D, SCALE, [0], [0], torch.float32, torch.float32, torch.float32, CPU
    )
    attention = EmbeddingBagAttention(
        SlotCache(1, ROWS, CONTEXT, EmbeddingBagAttention.slots_class), config
    )
    attention.allocate()
    for positions, calls in (([5], 1), ([5, 6, 7], 1), ([190, 1, 1, 1], 1)):
        inputs = attention.plan(positions, ()).recording_inputs()
        assert inputs is not None
        assert inputs.calls == calls
    assert attention.plan([5], [Span(1, [0], 0)]).recording_inputs() is None
    assert attention.plan([5], (), spare=1).recording_inputs() is None
    for calls in (1, 2):
        inputs = attention.example_plan(calls).recording_inputs()
        assert inputs is not None
        assert inputs.calls == calls
