"""Attention as sums of table rows, against torch's own."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from streaming.engine.local.attention.block_slots import BLOCK_SIZE, BlockSlots
from streaming.engine.local.attention.cache import SlotCache
from streaming.engine.local.attention.embedding_bag import can_bag
from streaming.engine.local.attention.embedding_bag_attention import EmbeddingBagAttention
from streaming.engine.local.attention.interface import AttentionConfig
from streaming.engine.local.attention.prefill import prefill_call
from tests.support.prerequisites import missing

CPU = torch.device("cpu")
ROWS, KV_HEADS, GROUP, D, CONTEXT = 5, 2, 3, 16, 3 * BLOCK_SIZE + 7


@pytest.fixture(autouse=True)
def fbgemm() -> None:
    if not can_bag(CPU):
        missing("torch with fbgemm")


def filled(dtype: torch.dtype, lengths: list[int]) -> tuple[BlockSlots, torch.Tensor, torch.Tensor]:
    """Slots whose rows hold so many tokens each, read as a prompt but for the last, and the same
    keys and values [rows, kv_heads, length, d] plainly; what is beyond a row's end is stale."""
    torch.manual_seed(1)
    slots = BlockSlots(ROWS, CONTEXT)
    slots.allocate(KV_HEADS, D, D, dtype, CPU)
    slots.keys.fill_(100)
    slots.values.fill_(100)
    keys = torch.randn(ROWS, KV_HEADS, CONTEXT, D).to(dtype)
    values = torch.randn(ROWS, KV_HEADS, CONTEXT, D).to(dtype)
    for row, length in enumerate(lengths):
        if count := length - 1:
            here = slice(0, count)
            slots.write_span(
                row, 0, slots.span_mapping(0, count),
                keys[row, :, here].transpose(0, 1), values[row, :, here].transpose(0, 1),
            )  # fmt: skip
    last = torch.tensor(lengths) - 1
    rows = torch.arange(len(lengths))
    slots.write(slots.slot_mapping(rows, last), keys[rows, :, last], values[rows, :, last])
    return slots, keys, values


def attention(dtype: torch.dtype, context: int = CONTEXT) -> EmbeddingBagAttention:
    config = AttentionConfig(
        KV_HEADS, GROUP, D, 0.25, [0], [0], dtype, torch.float32, torch.float32, CPU
    )
    return EmbeddingBagAttention(SlotCache(1, ROWS, context, BlockSlots), config)


def plainly(query: torch.Tensor, keys: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """[kv_heads, group, d] over [kv_heads, length, d]."""
    return functional.scaled_dot_product_attention(
        query[None], keys[None].float(), values[None].float(), scale=0.25
    )[0]


@pytest.mark.parametrize(
    "lengths",
    [
        [1],
        [CONTEXT],
        [BLOCK_SIZE, BLOCK_SIZE, BLOCK_SIZE],
        [BLOCK_SIZE + 1, BLOCK_SIZE - 1, 1, 2 * BLOCK_SIZE],
        [CONTEXT, 1, 1, CONTEXT, 3],
    ],
)
@pytest.mark.parametrize(("dtype", "error"), [(torch.float32, 1e-5), (torch.float16, 4e-3)])
def test_every_row_sees_its_own_tokens(
    dtype: torch.dtype, error: float, lengths: list[int]
) -> None:
    slots, keys, values = filled(dtype, lengths)
    queries = torch.randn(len(lengths), KV_HEADS, GROUP, D)
    parts = list(attention(dtype).decode_calls(lengths))
    seen = torch.cat([part.attend(queries, slots, 0.25) for part in parts])
    for row, length in enumerate(lengths):
        expected = plainly(queries[row], keys[row, :, :length], values[row, :, :length])
        assert torch.allclose(seen[row].float(), expected, atol=error), row


def test_a_row_is_read_back_as_it_was_written() -> None:
    lengths = [CONTEXT, BLOCK_SIZE, 5]
    slots, keys, values = filled(torch.float16, lengths)
    for row, length in enumerate(lengths):
        for asked in (1, length):
            found = slots.read(row, asked, torch.float32)
            assert torch.equal(found[0], keys[row, :, :asked].float().transpose(1, 2))
            assert torch.equal(found[1], values[row, :, :asked].float())


def test_rows_change_places_and_are_copied() -> None:
    slots, keys, values = filled(torch.float16, [CONTEXT, BLOCK_SIZE + 3, 2])
    slots.swap(0, 1, CONTEXT)
    slots.copy(0, 2, BLOCK_SIZE + 3)
    for row in (0, 2):
        found = slots.read(row, BLOCK_SIZE + 3, torch.float16)
        assert torch.equal(found[0], keys[1, :, : BLOCK_SIZE + 3].transpose(1, 2))
        assert torch.equal(found[1], values[1, :, : BLOCK_SIZE + 3])
    found = slots.read(1, CONTEXT, torch.float16)
    assert torch.equal(found[0], keys[0].transpose(1, 2))
    assert torch.equal(found[1], values[0])
    slots.clear(1)
    assert not slots.keys[1].any()
    assert not slots.values[1].any()


def test_a_large_query_does_not_overflow() -> None:
    slots, _, _ = filled(torch.float16, [BLOCK_SIZE])
    slots.keys[0].fill_(50.0)
    queries = torch.full((1, KV_HEADS, GROUP, D), 3000.0)  # unscaled, 2,400,000
    (part,) = attention(torch.float16).decode_calls([BLOCK_SIZE])
    assert torch.isfinite(part.attend(queries, slots, 1 / 64)).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_the_kernel_is_recorded(dtype: torch.dtype) -> None:
    part = attention(dtype).decode_call(0, [1])
    assert isinstance(part.kernel, torch.jit.ScriptModule)


def test_the_indices_of_a_layout_are_made_once_and_few_are_kept() -> None:
    bags = attention(torch.float16, 20 * BLOCK_SIZE)
    (first,) = bags.decode_calls([BLOCK_SIZE + 1])
    (same,) = bags.decode_calls([2 * BLOCK_SIZE])
    assert same.indices is first.indices
    for blocks in range(3, 20):
        list(bags.decode_calls([blocks * BLOCK_SIZE]))
    (again,) = bags.decode_calls([2 * BLOCK_SIZE])
    assert again.indices is not first.indices
    assert torch.equal(again.indices.keys, first.indices.keys)


@pytest.mark.parametrize("start", [0, 5, BLOCK_SIZE, BLOCK_SIZE + 7, CONTEXT - 9])
@pytest.mark.parametrize(("dtype", "error"), [(torch.float32, 1e-5), (torch.bfloat16, 3e-2)])
def test_a_token_of_a_prompt_sees_those_before_it_and_itself(
    dtype: torch.dtype, error: float, start: int
) -> None:
    slots, keys, values = filled(torch.float32, [1, CONTEXT, 1])
    part = prefill_call(2, 1, start, 9, GROUP, dtype, CPU, CONTEXT)
    queries = torch.randn(2 + 9, KV_HEADS, GROUP, D)
    seen = part.attend(queries, slots, 0.25)
    assert seen.shape == (9, KV_HEADS, GROUP, D)
    for at in range(9):
        end = start + at + 1
        expected = plainly(queries[2 + at], keys[1, :, :end], values[1, :, :end])
        assert torch.allclose(seen[at].float(), expected, atol=error), at
