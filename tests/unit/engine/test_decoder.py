"""Our own pass computes what transformers computes, for every family that it takes over."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    Gemma3TextConfig,
    GemmaConfig,
    LlamaConfig,
    MistralConfig,
    Qwen2Config,
    Qwen3Config,
)

from streaming.engine.base import EngineError
from streaming.engine.local.forward import linear
from streaming.engine.local.forward.decoder import Decoder, Span
from streaming.engine.local.runner import ModelRunner
from streaming.engine.models.architecture import misfit
from streaming.engine.models.store import ModelFolder

SHAPE: dict[str, Any] = {
    "hidden_size": 96,
    "intermediate_size": 96,
    "num_hidden_layers": 3,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "vocab_size": 200,
    "max_position_embeddings": 256,
}
LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 10000.0,
    "factor": 4.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}
CONFIGS = {
    "llama": LlamaConfig(**SHAPE),
    "llama, tied, biased": LlamaConfig(
        **SHAPE, tie_word_embeddings=True, attention_bias=True, mlp_bias=True
    ),
    "llama, stretched positions": LlamaConfig(**SHAPE, rope_parameters=LLAMA3),
    "mistral": MistralConfig(**SHAPE, sliding_window=None),
    "qwen2": Qwen2Config(**SHAPE),
    "qwen3": Qwen3Config(**SHAPE),
    "mistral, window": MistralConfig(**SHAPE, sliding_window=40),
    "mistral, window beyond the context": MistralConfig(**SHAPE, sliding_window=4096),
    "qwen2, windows": Qwen2Config(
        **SHAPE, use_sliding_window=True, sliding_window=32, max_window_layers=1
    ),
    "gemma": GemmaConfig(**SHAPE),
    "gemma3": Gemma3TextConfig(
        **SHAPE, query_pre_attn_scalar=16, sliding_window=40,
        layer_types=["sliding_attention", "full_attention", "sliding_attention"],
    ),
}  # fmt: skip
TOKENS = [(37 * number) % 200 for number in range(200)]


def folder(path: Path, config: Any) -> Path:
    torch.manual_seed(3)
    auto: Any = AutoModelForCausalLM
    model = auto.from_config(config)
    for parameter in model.parameters():  # norms of ones and biases of zeros would hide mistakes
        torch.nn.init.normal_(parameter, std=0.3)
    model.save_pretrained(path)
    return path


def logits(runner: ModelRunner) -> torch.Tensor:
    """A run in which prompts are read in pieces, beside each other and beside rows that decode,
    rows change places and one is copied."""
    with torch.inference_mode():
        first = runner.step([], [], [Span(0, TOKENS[:60], 0), Span(1, TOKENS[100:107], 0)])
        mixed = runner.step([TOKENS[60]], [60], [Span(1, TOKENS[107:150], 7)])
        runner.cache.swap_rows(0, 1, 61)
        runner.cache.copy_row(0, 3, 50)
        both = runner.step([7, 8], [50, 61], [Span(2, TOKENS[:5], 0)])
        last = runner.step([9, 10, 11, 12], [51, 62, 5, 50])
    return torch.cat((first, mixed, both, last))


@pytest.mark.parametrize("name", CONFIGS)
def test_it_computes_what_transformers_computes(name: str, tmp_path: Path) -> None:
    path = folder(tmp_path, CONFIGS[name])
    device = torch.device("cpu")
    ours, stock = (
        ModelRunner(path, device, "float32", 4, 200, general=stock) for stock in (False, True)
    )
    assert isinstance(ours._model, Decoder)
    assert not isinstance(stock._model, Decoder)
    expected = logits(stock)
    torch.testing.assert_close(logits(ours), expected, atol=2e-3, rtol=2e-3)
    assert expected.std() > 0.1


def test_neighbours_change_nothing(tmp_path: Path) -> None:
    """In 8 bits, too: a row's scale is its own."""
    if not linear.can_int8():
        pytest.skip("this torch has no 8-bit product for this CPU")
    runner = ModelRunner(folder(tmp_path, CONFIGS["llama"]), torch.device("cpu"), "int8", 4, 200)
    with torch.inference_mode():
        alone = runner.step([], [], [Span(0, TOKENS[:60], 0)])
        crowd = runner.step(
            [], [], [Span(1, TOKENS[80:100], 0), Span(0, TOKENS[:60], 0), Span(2, [199] * 30, 0)]
        )
        torch.testing.assert_close(crowd[1:2], alone)
        one = runner.step([5], [60])
        many = runner.step([5, 6, 7], [60, 20, 30])
        torch.testing.assert_close(many[:1], one)


@pytest.mark.parametrize("name", ["llama, tied, biased", "qwen3", "gemma3"])
@pytest.mark.parametrize("dtype", ["float32", "int8"])
@pytest.mark.parametrize("lengths", [[1], [60, 61], [3, 3, 128, 100, 5], [199, 1, 1, 1, 1, 1]])
def test_the_recorded_step_is_the_written_one(
    dtype: str,
    name: str,
    lengths: list[int],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Bit by bit, in sizes that it was not recorded with."""
    monkeypatch.setattr(linear, "_can_prepack", lambda dtype: False)
    if dtype == "int8" and not linear.can_int8():
        pytest.skip("this torch has no 8-bit product for this CPU")
    runner = ModelRunner(folder(tmp_path, CONFIGS[name]), torch.device("cpu"), dtype, 6, 200)
    model = runner._model
    assert isinstance(model, Decoder)
    assert set(model._decode) == {1, 2}
    graphs = torch.jit.ScriptModule | torch._C.ScriptMethod
    assert all(isinstance(graph, graphs) for graph in model._decode.values())
    rows = range(len(lengths))
    with torch.inference_mode():
        for row, length in enumerate(lengths):
            runner.step([], [], [Span(row, TOKENS[:length], 0)])
        recorded = runner.step([7 + row for row in rows], lengths)
        model._decode = {}
        pieces = runner.step([7 + row for row in rows], lengths)
    assert torch.equal(recorded, pieces)
    assert recorded.isfinite().all()


def test_without_graphs_it_runs_as_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, device = folder(tmp_path, CONFIGS["llama"]), torch.device("cpu")
    expected = logits(ModelRunner(path, device, "float32", 4, 200))

    def refuse(*_: Any, **__: Any) -> None:
        raise RuntimeError("TorchScript is gone.")

    monkeypatch.setattr(torch.jit, "trace", refuse)
    torch.testing.assert_close(logits(ModelRunner(path, device, "float32", 4, 200)), expected)


@pytest.mark.parametrize("dtype", ["bfloat16", "int8"])
def test_the_default_model_in_fewer_bits_says_nearly_the_same(
    dtype: str, model_folder: ModelFolder
) -> None:
    if dtype == "int8" and not linear.can_int8():
        pytest.skip("this torch has no 8-bit product for this CPU")
    device = torch.device("cpu")
    exact, rounded = (
        ModelRunner(model_folder.path, device, name, 1, 256) for name in ("float32", dtype)
    )
    text = [(7 * number) % 1000 + 50 for number in range(200)]
    with torch.inference_mode():
        likeness = [
            torch.cosine_similarity(
                exact.step([], [], [Span(0, text[start : start + 50], start)]),
                rounded.step([], [], [Span(0, text[start : start + 50], start)]),
            ).item()
            for start in range(0, 200, 50)
        ]
    assert min(likeness) > 0.998, likeness


@pytest.mark.parametrize(
    "changes",
    [
        {"model_type": "gpt2"},
        {"hidden_act": "gelu"},
        {"rope_parameters": {"rope_type": "dynamic"}},
        {"rope_parameters": {"partial_rotary_factor": 0.5}},
        {"layer_types": ["full_attention", "sliding_attention"]},
    ],
)
def test_what_it_cannot_compute_is_left_to_transformers(changes: dict[str, Any]) -> None:
    config = LlamaConfig(**SHAPE)
    assert not misfit(config)
    for name, value in changes.items():
        object.__setattr__(config, name, value)
    assert misfit(config)


@pytest.mark.parametrize("kind", ["llama", "gemma", "mistral", "qwen2", "qwen3"])
def test_another_familys_name_for_the_activation_is_not_read(kind: str) -> None:
    """As transformers: tanh or not is less than the check at the start notices."""
    config = AutoConfig.for_model(kind, **SHAPE, hidden_activation="gelu_pytorch_tanh")
    config.hidden_act = "gelu"
    assert misfit(config) == "its activation is gelu"


@pytest.mark.parametrize("stock", [False, True])
@pytest.mark.parametrize("kind", ["llama", "gemma"])
def test_a_window_that_the_models_code_does_not_know_is_none(
    kind: str, stock: bool, tmp_path: Path
) -> None:
    auto: Any = AutoModelForCausalLM
    path = folder(tmp_path, AutoConfig.for_model(kind, **SHAPE, sliding_window=16))
    model = auto.from_pretrained(path, dtype="float32")
    runner = ModelRunner(path, torch.device("cpu"), "float32", 1, 128, general=stock)
    with torch.inference_mode():
        expected = model(torch.tensor([TOKENS[:60]]), use_cache=False).logits[:, -1]
        runner.step([], [], [Span(0, TOKENS[:50], 0)])
        found = runner.step([], [], [Span(0, TOKENS[50:60], 50)])
    torch.testing.assert_close(found, expected, atol=2e-3, rtol=2e-3)


def test_int8_needs_a_model_that_can_be_packed(tmp_path: Path) -> None:
    config = AutoConfig.for_model(
        "gpt2", n_embd=32, n_layer=2, n_head=2, vocab_size=100, n_positions=64
    )
    path = folder(tmp_path, config)
    with pytest.raises(EngineError, match="CHATSTREAM_DTYPE=int8 is for models built like Llama"):
        ModelRunner(path, torch.device("cpu"), "int8", 1, 64)
    runner = ModelRunner(path, torch.device("cpu"), "auto", 1, 64)
    assert not isinstance(runner._model, Decoder)
    assert not runner.precision.is_int8
