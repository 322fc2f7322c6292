"""What a token becomes follows from its text alone, bit by bit: not from who is answered beside it,
where its prompt is cut, how much of it is there already, or the number of threads."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from transformers import Gemma3TextConfig, LlamaConfig, Qwen3Config

from streaming.engine.local.attention import splits
from streaming.engine.local.attention.embedding_bag import can_bag
from streaming.engine.local.attention.prefill import prefill_call
from streaming.engine.local.attention.slots import Slots
from streaming.engine.local.attention.splits import Columns, spare_rows
from streaming.engine.local.forward import linear
from streaming.engine.local.forward.decoder import Span
from streaming.engine.local.runner import ModelRunner
from tests.support.prerequisites import missing
from tests.unit.engine.test_decoder import folder

CONTEXT, PROMPT, TOKENS = 420, 300, 360  # no multiple of anything
SHAPE: dict[str, Any] = {
    "hidden_size": 96,
    "intermediate_size": 1144,
    "num_hidden_layers": 2,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "vocab_size": 200,
    "max_position_embeddings": 512,
}
CONFIGS = {
    "llama": LlamaConfig(**SHAPE, head_dim=16),
    "qwen3": Qwen3Config(**SHAPE, head_dim=24),
    "gemma3": Gemma3TextConfig(
        **SHAPE, head_dim=24, query_pre_attn_scalar=24, sliding_window=70,
        layer_types=["sliding_attention", "full_attention"],
    ),
}  # fmt: skip
TEXT = [(37 * number * number + number) % 200 for number in range(TOKENS)]
OTHERS = 24


class Known:
    """A runner, and the logits after each token that was answered alone by one thread."""

    def __init__(self, runner: ModelRunner) -> None:
        self.runner = runner
        runner._thread_tuner = None  # it would choose
        torch.set_num_threads(1)
        with torch.inference_mode():
            self.logits = {PROMPT - 1: runner.step([], [], [Span(0, TEXT[:PROMPT], 0)])[0]}
            for at in range(PROMPT, TOKENS):
                self.logits[at] = runner.step([TEXT[at]], [at])[0]
        runner.recover()


@pytest.fixture(scope="module", params=itertools.product(CONFIGS, ("int8", "bfloat16", "float32")),
                ids="-".join)  # fmt: skip
def known(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Known]:
    name, dtype = request.param
    if not can_bag(torch.device("cpu")):
        missing("torch with fbgemm")
    if dtype == "int8" and not linear.can_int8():
        missing("torch with an 8-bit product for this CPU")
    path = folder(tmp_path_factory.mktemp("model"), CONFIGS[name])
    threads = torch.get_num_threads()
    try:
        yield Known(ModelRunner(path, torch.device("cpu"), dtype, OTHERS + 2, CONTEXT))
    finally:
        torch.set_num_threads(threads)


@settings(
    max_examples=12, deadline=None, derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)  # fmt: skip
@given(
    cuts=st.lists(st.integers(1, TOKENS - 1), max_size=6),
    there=st.integers(0, PROMPT - 1),
    beside=st.lists(st.integers(0, CONTEXT - 2), max_size=OTHERS),
    read_beside=st.integers(0, 90),
    threads=st.integers(1, 5),
)
@example(cuts=[], there=0, beside=[], read_beside=0, threads=1)
@example(cuts=[1, 2, 299, 300, 301, 302], there=17, beside=[3] * 23, read_beside=1, threads=3)
@example(cuts=[129], there=0, beside=[9], read_beside=61, threads=5)
def test_a_text_read_anyhow_gives_the_same_bits(
    known: Known, cuts: list[int], there: int, beside: list[int], read_beside: int, threads: int
) -> None:
    """`there` tokens of the prompt are taken from another row, and the rest is read in pieces,
    whatever was generated as it was; others decode and read meanwhile."""
    runner = known.runner
    row = len(beside)
    torch.set_num_threads(threads)
    with torch.inference_mode():
        if there:
            runner.step([], [], [Span(row + 1, TEXT[:there], 0)])
            runner.cache.copy_row(row + 1, row, there)
        bounds = sorted({there, *(cut for cut in cuts if cut > there), TOKENS})
        for start, end in itertools.pairwise(bounds):
            generated = max(0, end - max(start, PROMPT))
            spans = [Span(row, TEXT[start:end], start, generated)]
            if read_beside:
                spans.insert(0, Span(row + 1, TEXT[:read_beside], 0))
            found = runner.step([5] * row, beside, spans)[-1]
            assert found.isfinite().all()
            if end > PROMPT - 1:
                assert torch.equal(found, known.logits[end - 1]), (start, end)


@settings(max_examples=8, deadline=None, derandomize=True,
          suppress_health_check=[HealthCheck.function_scoped_fixture])  # fmt: skip
@given(st.lists(st.integers(0, CONTEXT - 2), max_size=OTHERS), st.integers(1, 5))
@example([7] * OTHERS, 3)
def test_an_answer_in_a_crowd_has_the_bits_of_the_one_alone(
    known: Known, beside: list[int], threads: int
) -> None:
    runner = known.runner
    torch.set_num_threads(threads)
    with torch.inference_mode():
        runner.step([], [], [Span(0, TEXT[:PROMPT], 0)])
        for at in range(PROMPT, TOKENS, 7):
            if at > PROMPT:
                runner.step([], [], [Span(0, TEXT[PROMPT:at], PROMPT, at - PROMPT)])
            found = runner.step([TEXT[at], *[5] * len(beside)], [at, *beside])[0]
            assert torch.equal(found, known.logits[at]), at


@pytest.mark.parametrize("inputs", [576, 2048])
@pytest.mark.parametrize("dtype", ["int8", "bfloat16", "float32"])
def test_a_row_of_a_product_does_not_depend_on_its_neighbours(dtype: str, inputs: int) -> None:
    if dtype == "int8" and not linear.can_int8():
        missing("torch with an 8-bit product for this CPU")
    torch.manual_seed(4)
    form = torch.bfloat16 if dtype == "bfloat16" else torch.float32
    weight, x = torch.randn(160, inputs).to(form), torch.randn(64, inputs).to(form)
    norm = linear.Norm(torch.rand(inputs).to(form) + 0.5, 1e-5)
    with torch.inference_mode():
        for before in (None, norm):
            product = linear.pack(weight, None, int8=dtype == "int8", norm=before)
            whole = product(x)
            for first, last in ((0, 1), (0, 2), (7, 10), (31, 48), (33, 34), (1, 64)):
                assert torch.equal(product(x[first:last]), whole[first:last]), (first, last)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_a_long_prompt_is_summed_in_the_same_pieces_wherever_it_is_cut(dtype: torch.dtype) -> None:
    """Beyond the number of keys that a library sums at once."""
    torch.manual_seed(2)
    slots = Slots(1, 2048)
    slots.allocate(2, 64, 64, torch.float32, torch.device("cpu"))
    slots.keys.normal_()
    slots.values.normal_()
    queries = torch.randn(128, 2, 3, 64)

    def seen(start: int, count: int) -> torch.Tensor:
        part = prefill_call(0, 0, start, count, 3, dtype, torch.device("cpu"), slots.room)
        return part.attend(queries[start - 960 :], slots, 0.125)

    whole = seen(960, 128)
    for start, count in ((960, 60), (960, 65), (1000, 24), (1000, 1), (1023, 2), (1030, 58)):
        at = start - 960
        assert torch.equal(seen(start, count), whole[at : at + count]), (start, count)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
@pytest.mark.parametrize("window", [60, 512, 1100])
def test_what_a_window_leaves_out_does_not_depend_on_the_cut_either(
    window: int, dtype: torch.dtype
) -> None:
    """Some of these cuts leave out whole sums of keys, others none: no bit tells."""
    torch.manual_seed(2)
    slots = Slots(1, 4096)
    slots.allocate(2, 64, 64, torch.float32, torch.device("cpu"))
    slots.keys.normal_()
    slots.values.normal_()
    first = 2048 + window - 30  # the window of a token in the middle begins where a sum does
    queries = torch.randn(128, 2, 3, 64)

    def seen(start: int, count: int) -> tuple[int, torch.Tensor]:
        part = prefill_call(
            0, 0, first + start, count, 3, dtype, torch.device("cpu"), slots.room, window
        )
        return part.begin, part.attend(queries[start:], slots, 0.125).float()

    begin, whole = seen(0, 128)
    begins = {begin}
    for start, count in ((0, 60), (0, 65), (28, 40), (29, 1), (30, 2), (64, 24), (100, 28)):
        begin, found = seen(start, count)
        begins.add(begin)
        assert torch.equal(found, whole[start : start + count]), (start, count)
    assert len(begins) > 1
    keys, values = (each[0].double() for each in (slots.keys, slots.values))
    for at in (0, 127):
        these = slice(first + at + 1 - window, first + at + 1)
        scores = torch.einsum("hgd,hmd->hgm", queries[at].double(), keys[:, these]) * 0.125
        expected = torch.einsum("hgm,hmd->hgd", scores.softmax(-1), values[:, these])
        torch.testing.assert_close(whole[at].double(), expected, atol=3e-2, rtol=3e-2)


@given(
    st.integers(1, 700), st.integers(1, 9),
    st.lists(st.builds(Columns, st.integers(1, 400).map(lambda n: 64 * n), st.just(64))),
)  # fmt: skip
def test_rows_of_nobody_put_every_cut_where_vectors_begin(
    rows: int, threads: int, operations: list[Columns]
) -> None:
    all_rows = rows + spare_rows(rows, threads, operations)
    for each in operations:
        total = all_rows * each.numbers
        parts = min(threads, -(-total // splits.GRAIN))
        step = -(-total // parts)
        assert all(cut % 32 == 0 for cut in range(step, total, step))
    assert all_rows < rows + 100


def test_no_rows_of_nobody_where_no_cut_does_harm() -> None:
    default = (Columns(1536, 1536), Columns(12 * 32, 32))
    assert [spare_rows(rows, 2, default) for rows in (1, 16, 22, 63, 512)] == [0] * 5
