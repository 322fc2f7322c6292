"""The pass for CUDA computes what transformers computes. Where no card is, what its kernel and its
graphs do is written out; all around them is the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from streaming.engine.local.attention import choice, flash, graphs
from streaming.engine.local.attention.flash import TokenSlots
from streaming.engine.local.attention.graphs import DecodeGraphs, padded
from streaming.engine.local.attention.slots import Slots
from streaming.engine.local.forward.decoder import Decoder, Span
from streaming.engine.local.runner import ModelRunner
from tests.unit.engine.test_decoder import CONFIGS, TOKENS, folder, logits

HAS_CUDA = torch.cuda.is_available()
WHERE = [
    "written out",
    pytest.param("cuda", marks=pytest.mark.skipif(not HAS_CUDA, reason="needs a CUDA card")),
]


def kernel(
    queries: Tensor, keys: Tensor, values: Tensor, first_queries: Tensor, first_keys: Tensor,
    most_queries: int, most_keys: int, dropout: float, is_causal: bool, mask: bool, *,
    scale: float, seqused_k: Tensor,
) -> tuple[Tensor]:  # fmt: skip
    """FlashAttention for sequences of different lengths, one after the other."""
    assert (dropout, is_causal, mask) == (0.0, True, False)
    group = queries.shape[1] // keys.shape[1]
    seen = torch.full_like(queries, torch.nan)
    for number, length in enumerate(seqused_k.tolist()):
        own = slice(int(first_queries[number]), int(first_queries[number + 1]))
        start, count = int(first_keys[number]), own.stop - own.start
        assert count <= most_queries
        assert count <= length <= most_keys
        table = slice(start, start + length)
        seen[own] = functional.scaled_dot_product_attention(
            queries[own].transpose(0, 1),
            keys[table].repeat_interleave(group, 1).transpose(0, 1),
            values[table].repeat_interleave(group, 1).transpose(0, 1),
            attn_mask=torch.ones(count, length).tril(length - count).bool(),
            scale=scale,
        ).transpose(0, 1)
    return (seen,)


def captured(run: Callable[[], Tensor], *_: Any) -> tuple[Callable[[], None], Tensor]:
    """A graph's behaviour: each replay computes anew, and the result lies where it lay."""
    result = run()

    def replay() -> None:
        result.copy_(run())

    return replay, result


@pytest.fixture(params=WHERE)
def make(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[Path, int], ModelRunner]]:
    if request.param == "written out":
        monkeypatch.setattr(flash, "_kernel", lambda: kernel)
        monkeypatch.setattr(graphs, "captured", captured)
        monkeypatch.setattr(graphs, "memory_pool", lambda: None)
        monkeypatch.setattr(choice, "can_bag", lambda device: False)
        monkeypatch.setattr(choice, "can_flash", lambda device, dtype, head_dim: True)
        yield lambda path, rows: ModelRunner(path, torch.device("cpu"), "float32", rows, 200)
    else:
        yield lambda path, rows: ModelRunner(path, torch.device("cuda"), "bfloat16", rows, 200)


def compare(ours: Tensor, expected: Tensor) -> None:
    if ours.is_cuda:  # in 16 bits; the weights are such that nothing is small
        likeness = torch.cosine_similarity(ours.cpu(), expected)
        assert likeness.min() > 0.99, likeness
    else:
        torch.testing.assert_close(ours, expected, atol=2e-3, rtol=2e-3)


@pytest.mark.parametrize("name", CONFIGS)
def test_it_computes_what_transformers_computes(
    name: str, make: Callable[[Path, int], ModelRunner], tmp_path: Path
) -> None:
    path = folder(tmp_path, CONFIGS[name])
    ours = make(path, 4)
    assert isinstance(ours._model, Decoder)
    # The kernel is not told of windows.
    windows = ours._model._attention.config.windows
    assert type(ours.cache.slots[0]) is (Slots if any(windows) else TokenSlots)
    expected = logits(ModelRunner(path, torch.device("cpu"), "float32", 4, 200, general=True))
    compare(logits(ours), expected)
    ours.recover()  # the cache lies elsewhere then
    compare(logits(ours), expected)


@pytest.mark.parametrize("rows", [9, 11])
def test_rows_that_fill_a_graph_up_change_nothing(
    rows: int, make: Callable[[Path, int], ModelRunner], tmp_path: Path
) -> None:
    """Behind the rows that decode stand others, which are being read or kept, to the last place
    that a response may use."""
    path = folder(tmp_path, CONFIGS["llama"])
    ours = make(path, 11)
    stock = ModelRunner(path, torch.device("cpu"), "float32", 11, 200, general=True)
    found = []
    for each in (ours, stock):
        with torch.inference_mode():
            for row in range(11):
                each.step([], [], [Span(row, TOKENS[row:199], 0)])
            decoded = each.step([5] * 9, [40 + row for row in range(9)])
            kept = [Span(row, [7], 199 - row) for row in range(9, rows)]
            found.append(torch.cat([decoded, each.step([6], [60], kept)]))
    compare(*found)


def test_steps_of_many_sizes_share_the_graphs(
    make: Callable[[Path, int], ModelRunner], tmp_path: Path
) -> None:
    ours = make(folder(tmp_path, CONFIGS["llama"]), 16)
    with torch.inference_mode():
        for rows in (1, 2, 3, 4, 5, 8, 9, 10, 16):
            ours.step([1] * rows, [3] * rows)
    assert isinstance(ours._model, Decoder)
    assert isinstance(ours._model._decode_pass, DecodeGraphs)
    assert sorted(ours._model._decode_pass._graphs) == [1, 2, 4, 8, 10, 16]


@given(st.integers(1, 300), st.integers(0, 300))
def test_a_graph_has_few_more_rows_than_are_needed(rows: int, more: int) -> None:
    size = padded(rows, rows + more)
    assert rows <= size <= rows + more
    assert size - rows <= max(rows - 1, 0) if rows <= 8 else size < 1.25 * rows


def test_no_card_no_kernel() -> None:
    assert not flash.can_flash(torch.device("cpu"), torch.bfloat16, 64)
    assert not flash.can_flash(torch.device("cuda"), torch.float32, 64)
