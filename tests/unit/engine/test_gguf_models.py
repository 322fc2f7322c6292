"""A GGUF file is the model that it was written from: the same logits as with the same weights in
transformers, for each architecture that is carried over."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch

from streaming.engine.base import EngineError
from streaming.engine.local.runner import ModelRunner
from streaming.engine.models.gguf.families import FAMILIES
from streaming.engine.models.gguf.folder import write_gguf_folder
from streaming.engine.models.tensor_source import open_tensors
from tests.unit.engine.ggufs import CASES, Case, write

TOKENS = [(7 * at) % 250 for at in range(40)]  # longer than the windows


def opened(path: Path) -> tuple[Path, Any]:
    """The folder of a file, and the model of its configuration filled from it, in float32."""
    from transformers import AutoConfig, AutoModelForCausalLM

    folder = path.with_suffix("")
    folder.mkdir()
    write_gguf_folder(path, folder, progress=False)
    source = open_tensors(folder)
    auto: Any = AutoModelForCausalLM
    model = auto.from_config(AutoConfig.from_pretrained(folder)).eval().float()
    state = {name: source.read(name).float() for name in source.names()}
    left = model.load_state_dict(state, strict=False)
    assert not left.unexpected_keys
    assert set(left.missing_keys) <= set(model._tied_weights_keys or ())
    model.tie_weights()
    return folder, model


def logits(model: Any) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = model(torch.tensor([TOKENS])).logits[0]
    return found


def test_every_architecture_is_tried() -> None:
    assert {case.architecture for case in CASES.values()} == FAMILIES.keys()


@pytest.mark.parametrize("name", CASES)
def test_it_computes_what_the_model_computes(name: str, tmp_path: Path) -> None:
    model = write(CASES[name], tmp_path / "a.gguf")
    folder, again = opened(tmp_path / "a.gguf")
    torch.testing.assert_close(logits(again), logits(model), atol=2e-5, rtol=1e-5)
    assert again.generation_config.eos_token_id == 257
    assert not list(folder.glob("*.safetensors"))


@pytest.mark.parametrize("kind", ["F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1"])
def test_of_few_bits(kind: str, tmp_path: Path) -> None:
    """What the file says is what is read, and nothing is rounded again."""
    quantization = gguf.GGMLQuantizationType[kind]
    model = write(CASES["qwen2"], tmp_path / "a.gguf", quantization)
    folder, again = opened(tmp_path / "a.gguf")
    expected = {
        name: torch.from_numpy(
            gguf.dequantize(gguf.quantize(tensor.numpy(), quantization), quantization)
        )
        if tensor.ndim > 1
        else tensor
        for name, tensor in model.state_dict().items()
    }
    for name, tensor in again.state_dict().items():
        assert torch.equal(tensor, expected[name]), name
    source: Any = open_tensors(folder)
    narrow = source.read("model.embed_tokens.weight", torch.bfloat16)
    whole = expected["model.embed_tokens.weight"]
    assert torch.equal(narrow, whole.bfloat16() if kind.startswith("Q") else whole)
    assert source.dtype("model.embed_tokens.weight") == (
        {"F16": torch.float16, "BF16": torch.bfloat16}.get(kind, torch.float32)
    )


@pytest.mark.parametrize("name", ["llama-3.1", "llama-biases", "llama-yarn", "qwen2", "mixtral"])
def test_the_engine_runs_it(name: str, tmp_path: Path) -> None:
    """By our own pass where it can, filled from the file itself; also what safetensors of the same
    weights give."""
    model = write(CASES[name], tmp_path / "a.gguf")
    folder = tmp_path / "a"
    folder.mkdir()
    write_gguf_folder(tmp_path / "a.gguf", folder, progress=False)
    plain = tmp_path / "plain"
    model.save_pretrained(plain)
    expected = logits(model)[-1]
    for path in (folder, plain):
        runner = ModelRunner(path, torch.device("cpu"), "float32", 1, 64)
        with torch.inference_mode():
            for at, token in enumerate(TOKENS):
                found = runner.step([token], [at])[0]
        torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def test_frequencies_of_another_kind_are_kept(tmp_path: Path) -> None:
    """Not Llama 3's own: whatever divides them does so."""
    factors = np.linspace(1.0, 3.0, 8, dtype=np.float32)

    def extra(writer: gguf.GGUFWriter, config: Any) -> None:
        writer.add_tensor("rope_freqs.weight", factors)

    write(replace(CASES["llama"], extra=extra), tmp_path / "a.gguf")
    _, again = opened(tmp_path / "a.gguf")
    plain = 1.0 / 10000.0 ** (torch.arange(0, 16, 2) / 16)
    torch.testing.assert_close(
        again.model.rotary_emb.inv_freq, plain / torch.from_numpy(factors), atol=0, rtol=1e-6
    )
    assert again.model.rotary_emb.attention_scaling == 1.0


def test_gemma_is_served(gemma: Path, tmp_path: Path) -> None:
    """Real weights in K quants, by transformers' own pass, from the file."""
    write_gguf_folder(gemma, tmp_path, progress=False)
    runner = ModelRunner(tmp_path, torch.device("cpu"), "bfloat16", 1, 64)
    from transformers import AutoTokenizer

    tokenizer: Any = AutoTokenizer.from_pretrained(tmp_path)
    tokens = tokenizer.encode("The capital of France is the city of")
    with torch.inference_mode():
        for at, token in enumerate(tokens):
            found = runner.step([token], [at])[0]
    assert tokenizer.decode(found.argmax().item()) == " Paris"
    assert runner.end_ids == [1]


def test_a_file_that_changes_is_not_read_on(tmp_path: Path) -> None:
    path = tmp_path / "a.gguf"
    write(CASES["llama"], path)
    folder, _ = opened(path)
    source = open_tensors(folder)
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(EngineError, match="changed"):
        source.read("model.norm.weight")
    with pytest.raises(EngineError, match="changed"):
        open_tensors(folder)
    path.unlink()
    with pytest.raises(EngineError, match="cannot be read"):
        open_tensors(folder)


def test_memory_is_that_of_one_tensor(tmp_path: Path) -> None:
    """A large table is never there twice, nor in float32 if it is wanted narrower."""
    path = tmp_path / "a.gguf"
    write(Case("llama", "llama", {"vocab_size": 300, "intermediate_size": 16384}, permuted=True),
          path, gguf.GGMLQuantizationType.Q4_0)  # fmt: skip
    folder, _ = opened(path)
    source: Any = open_tensors(folder)
    name = "model.layers.0.mlp.up_proj.weight"
    source.read(name, torch.bfloat16)
    tracemalloc.start()  # numpy's memory, which torch's is not part of
    source.read(name, torch.bfloat16)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 8 << 20
