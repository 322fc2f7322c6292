"""What a model will need is known before it is read, and said with its numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import LlamaConfig, MixtralConfig

from streaming.engine.base import EngineError
from streaming.engine.local.forward import linear
from streaming.engine.local.forward.precision import Precision, choose_precision
from streaming.engine.local.loading import memory_need
from streaming.engine.local.loading.kept import KeptPass
from streaming.engine.local.loading.memory_need import Parameter
from streaming.engine.local.loading.memory_need import memory_need as needed
from streaming.engine.local.runner import ModelRunner
from streaming.engine.models.tensor_source import SafetensorsSource
from tests.unit.engine.test_decoder import SHAPE, folder

CPU = torch.device("cpu")
BF16 = Precision("bfloat16", torch.bfloat16, torch.bfloat16, torch.bfloat16)
INT8 = Precision("int8", torch.float32, torch.float16, torch.float32, is_int8=True)
CONFIG = LlamaConfig(
    num_attention_heads=8, num_key_value_heads=2, hidden_size=512, num_hidden_layers=10
)
PARAMETERS = [
    Parameter("model.embed_tokens.weight", (1000, 512), 2),
    Parameter("model.norm.weight", (512,), 2),
    Parameter("model.layers.0.mlp.up_proj.weight", (2048, 512), 2),
]


def of(precision: Precision, packed: bool = True, **told: Any) -> memory_need.MemoryNeed:
    return needed(PARAMETERS, CONFIG, precision, 3, 100, packed=packed, **told)


def test_weights_are_counted_in_their_final_form() -> None:
    assert of(BF16).weights == 2 * (1000 * 512 + 512 + 2048 * 512)
    assert of(BF16, packed=False).weights == of(BF16).weights
    assert of(INT8).weights == 4 * (1000 * 512 + 512) + 2048 * 512 + 12 * 2048
    tied = of(INT8, tied=True).weights - of(INT8).weights
    assert tied == 1000 * 512 + 12 * 1000  # the head, packed besides
    assert of(BF16, packed=False, tied=True).weights == of(BF16).weights


def test_rows_and_what_loading_takes_are_counted() -> None:
    assert of(BF16).cache == 3 * 2 * 10 * 2 * 64 * 100 * 2
    assert of(BF16).loading == 4 * 2 * 2048 * 512
    assert of(BF16, packed=False).loading == 2 * 2 * 2048 * 512  # cast, not packed
    assert of(BF16, whole=True).loading == of(BF16).weights
    assert of(BF16).total >= of(BF16).weights + of(BF16).loading


@pytest.mark.parametrize("config", [
    LlamaConfig(**SHAPE), LlamaConfig(**SHAPE, tie_word_embeddings=True),
    MixtralConfig(**SHAPE, num_local_experts=4),
], ids=["llama", "tied", "mixtral"])  # fmt: skip
@pytest.mark.parametrize("dtype", ["auto", "float32", "bfloat16"])
def test_a_model_that_does_not_fit_is_refused_before_it_is_read(
    dtype: str, config: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the numbers, and what would help."""
    path = folder(tmp_path, config)

    def read(self: Any, name: str) -> torch.Tensor:
        raise AssertionError(f"{name} was read")

    monkeypatch.setattr(SafetensorsSource, "read", read)
    monkeypatch.setattr(memory_need, "free_memory", lambda device: 120 << 20)
    with pytest.raises(EngineError) as caught:
        ModelRunner(path, CPU, dtype, 64, 2048, counted=7)
    message = str(caught.value)
    assert "0.1 GB are free" in message
    assert "7 responses of 2048 tokens" in message
    precision = choose_precision(dtype, CPU, packable=not isinstance(config, MixtralConfig))
    helped = not isinstance(config, MixtralConfig) and not precision.is_int8 and linear.can_int8()
    assert ("CHATSTREAM_DTYPE=int8" in message) == helped
    for name in ("CHATSTREAM_MAX_RUNNING", "CHATSTREAM_CONTEXT_TOKENS", "a smaller model"):
        assert name in message


def test_one_that_fits_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = folder(tmp_path, LlamaConfig(**SHAPE))
    monkeypatch.setattr(memory_need, "free_memory", lambda device: 150 << 20)
    ModelRunner(path, CPU, "float32", 64, 64, counted=1)


@pytest.mark.skipif(not linear.can_int8(), reason="this torch has no 8-bit product for this CPU")
def test_what_is_kept_is_not_read_either(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = folder(tmp_path / "model", LlamaConfig(**SHAPE))
    kept = KeptPass(tmp_path, path, CPU, "int8", 64)
    ModelRunner(path, CPU, "int8", 1, 64, keep=kept.keep)
    monkeypatch.setattr(memory_need, "free_memory", lambda device: 1 << 20)

    def check(shape: Any, context: int, size: int) -> None:
        assert context == 64
        assert 100_000 < size < 10_000_000
        need = memory_need.kept_need(shape, size, 3, context)
        memory_need.refuse_unless_it_fits(need, CPU, int8_helps=False)

    with pytest.raises(EngineError, match="3 responses of 64 tokens"):
        KeptPass(tmp_path, path, CPU, "int8", 64).load(check)
