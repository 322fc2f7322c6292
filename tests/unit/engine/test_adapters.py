"""A LoRA adapter becomes part of the model's weights when they are read, or is refused by name."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import GPT2Config

from streaming.engine.base import EngineError
from streaming.engine.local.forward import linear
from streaming.engine.local.forward.decoder import Decoder, Span
from streaming.engine.local.loading.kept import KeptPass
from streaming.engine.local.runner import ModelRunner
from streaming.engine.models.adapter_folder import ensure_adapter
from streaming.engine.models.store import ensure_model
from streaming.engine.models.support import check_supported
from tests.unit.engine.test_decoder import CONFIGS, folder

CPU = torch.device("cpu")
RANK = 4
QUERY = "model.layers.1.self_attn.q_proj"
DOWN = "model.layers.0.mlp.down_proj"
PREFIX = "base_model.model."


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return folder(tmp_path_factory.mktemp("base") / "model", CONFIGS["llama"])


def adapter(
    path: Path, base: Path, modules: tuple[str, ...] = (QUERY, DOWN), **told: Any
) -> tuple[Path, dict[str, Tensor]]:
    """The folder of an adapter, and what it adds to the weights at a scale of 1."""
    torch.manual_seed(5)
    path.mkdir(exist_ok=True)
    weights = load_file(base / "model.safetensors")
    tensors, differences = {}, {}
    for module in modules:
        outputs, inputs = weights[f"{module}.weight"].shape
        a, b = torch.randn(RANK, inputs) / 4, torch.randn(outputs, RANK) / 4
        if told.get("fan_in_fan_out"):
            a, b = torch.randn(RANK, outputs) / 4, torch.randn(inputs, RANK) / 4
        tensors[f"{PREFIX}{module}.lora_A.weight"] = a
        tensors[f"{PREFIX}{module}.lora_B.weight"] = b
        differences[f"{module}.weight"] = (b @ a).t() if told.get("fan_in_fan_out") else b @ a
    config = {"peft_type": "LORA", "r": RANK, "lora_alpha": 6, "bias": "none", **told}
    (path / "adapter_config.json").write_text(json.dumps(config))
    save_file(tensors, path / "adapter_model.safetensors")
    return path, differences


def merged(base: Path, path: Path, differences: dict[str, Tensor], scale: float) -> Path:
    """The base with the adapter in its weights, by hand."""
    shutil.copytree(base, path)
    weights = load_file(path / "model.safetensors")
    for name, difference in differences.items():
        weights[name] = (weights[name].float() + scale * difference).contiguous()
    save_file(weights, path / "model.safetensors", metadata={"format": "pt"})
    return path


def logits_of(path: Path, adapter: Path | None = None, dtype: str = "float32") -> Tensor:
    runner = ModelRunner(path, CPU, dtype, 1, 64, adapter=adapter)
    with torch.inference_mode():
        return runner.step([], [], [Span(0, [5, 9, 100, 7, 3], 0)])


@pytest.mark.parametrize(("told", "scale"), [
    ({}, 6 / 4), ({"use_rslora": True}, 6 / 2), ({"alpha_pattern": {"q_proj": 6, "x.y": 1}}, 6 / 4),
    ({"lora_alpha": 9, "alpha_pattern": {"q_proj": 9, "self_attn.q_proj": 1}}, 9 / 4),
])  # fmt: skip
def test_the_answers_are_the_merged_models(
    told: dict[str, Any], scale: float, base: Path, tmp_path: Path
) -> None:
    path, differences = adapter(tmp_path / "adapter", base, **told)
    expected = logits_of(merged(base, tmp_path / "merged", differences, scale))
    torch.testing.assert_close(logits_of(base, path), expected, atol=1e-3, rtol=1e-3)
    assert (logits_of(base) - expected).abs().max() > 0.1
    runner = ModelRunner(base, CPU, "float32", 1, 64, adapter=path)
    assert isinstance(runner._model, Decoder)


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")  # PEFT asks for it
def test_peft_agrees(base: Path, tmp_path: Path) -> None:
    peft = pytest.importorskip("peft")
    from transformers import AutoModelForCausalLM

    auto: Any = AutoModelForCausalLM
    model = auto.from_pretrained(base)
    config = peft.LoraConfig(
        r=4, lora_alpha=6, use_rslora=True, target_modules=["q_proj", "down_proj"],
        init_lora_weights=False, task_type="CAUSAL_LM", alpha_pattern={"down_proj": 3},
    )  # fmt: skip
    adapted = peft.get_peft_model(model, config)
    adapted.save_pretrained(tmp_path / "adapter")
    with torch.inference_mode():
        expected = adapted(torch.tensor([[5, 9, 100, 7, 3]])).logits[:, -1].float()
    torch.testing.assert_close(
        logits_of(base, tmp_path / "adapter"), expected, atol=2e-3, rtol=2e-3
    )


def test_in_transformers_own_pass_too(tmp_path: Path) -> None:
    config: Any = GPT2Config(n_embd=32, n_head=2, n_layer=2, vocab_size=200, n_positions=64)
    base = folder(tmp_path / "base", config)
    path, differences = adapter(
        tmp_path / "adapter", base, ("transformer.h.1.attn.c_attn",), fan_in_fan_out=True
    )
    expected = logits_of(merged(base, tmp_path / "merged", differences, 1.5))
    torch.testing.assert_close(logits_of(base, path), expected, atol=1e-3, rtol=1e-3)


def test_whole_tensors_are_taken_as_they_are(base: Path, tmp_path: Path) -> None:
    path, differences = adapter(tmp_path / "adapter", base, modules_to_save=["lm_head"])
    file = path / "adapter_model.safetensors"
    head = torch.randn(200, 96)
    save_file({**load_file(file), f"{PREFIX}lm_head.weight": head}, file)
    by_hand = merged(base, tmp_path / "merged", differences, 1.5)
    weights = load_file(by_hand / "model.safetensors") | {"lm_head.weight": head}
    save_file(weights, by_hand / "model.safetensors", metadata={"format": "pt"})
    torch.testing.assert_close(logits_of(base, path), logits_of(by_hand), atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize(("told", "named"), [
    ({"peft_type": "IA3"}, "IA3"), ({"use_dora": True}, "DoRA"), ({"peft_type": None}, "None"),
    ({"lora_bias": True}, "lora_bias"), ({"init_lora_weights": "pissa_niter_4"}, "pissa"),
    ({"target_parameters": ["x"]}, "target_parameters"), ({"lora_alpha": "six"}, "'six'"),
    ({"alpha_pattern": {".*q_proj": 3}}, "pattern"), ({"alpha_pattern": "six"}, "'six'"),
    ({"lora_alpha": float("nan")}, "nan"), ({"lora_alpha": 10**400}, "alpha is 1000"),
    ({"trainable_token_indices": [1]}, "trainable_token_indices"),
])  # fmt: skip
def test_other_kinds_are_refused_by_name(
    told: dict[str, Any], named: str, base: Path, tmp_path: Path
) -> None:
    path, _ = adapter(tmp_path / "adapter", base, **told)
    with pytest.raises(EngineError, match=named):
        logits_of(base, path)


def test_an_adapter_for_another_model_is_refused(base: Path, tmp_path: Path) -> None:
    path, _ = adapter(tmp_path / "adapter", base)
    config = type(CONFIGS["llama"])(**{**CONFIGS["llama"].to_dict(), "hidden_size": 48})
    other = folder(tmp_path / "narrow", config)
    with pytest.raises(EngineError, match=r"another model: it changes .* of the shape"):
        logits_of(other, path)
    config = type(CONFIGS["llama"])(**{**CONFIGS["llama"].to_dict(), "num_hidden_layers": 1})
    other = folder(tmp_path / "shallow", config)
    with pytest.raises(EngineError, match=f"another model: it changes {QUERY}.weight, which"):
        logits_of(other, path)


@pytest.mark.parametrize("damage", ["half", "foreign", "none", "short"])
def test_a_damaged_adapter_is_refused(damage: str, base: Path, tmp_path: Path) -> None:
    path, _ = adapter(tmp_path / "adapter", base)
    file = path / "adapter_model.safetensors"
    tensors = load_file(file)
    if damage == "half":
        del tensors[f"{PREFIX}{QUERY}.lora_B.weight"]
    elif damage == "foreign":
        tensors[f"{PREFIX}{QUERY}.lora_magnitude_vector"] = torch.ones(3)
    elif damage == "none":
        tensors = {}
    save_file(tensors, file)
    if damage == "short":
        file.write_bytes(file.read_bytes()[:-8])
    said = {"half": "half", "foreign": "magnitude", "none": "no weights", "short": "damaged"}
    with pytest.raises(EngineError, match=said[damage]):
        logits_of(base, path)


def test_an_adapter_beside_a_model_is_no_riddle(base: Path, tmp_path: Path) -> None:
    """The base alone is never served in its stead."""
    both = Path(shutil.copytree(base, tmp_path / "both"))
    adapter(both, base)
    with pytest.raises(EngineError, match="holds a model and an adapter"):
        check_supported(both)
    with pytest.raises(EngineError, match="tokenizer"):  # goes on: this one is meant
        check_supported(both, adapter=both)
    assert (logits_of(both, both) - logits_of(base)).abs().max() > 0.1


def test_an_adapter_is_no_model(base: Path, tmp_path: Path) -> None:
    path, _ = adapter(tmp_path / "adapter", base, base_model_name_or_path="some/base")
    with pytest.raises(EngineError, match=r"adapter and no model: .*some/base"):
        ensure_model(str(path), tmp_path / "cache", progress=False)


def test_where_an_adapter_is(base: Path, tmp_path: Path) -> None:
    path, _ = adapter(tmp_path / "adapter", base)
    assert ensure_adapter("") is None
    assert ensure_adapter(str(path)) == path.resolve()
    for name, said in ((str(tmp_path / "nowhere"), "no folder"), (str(base), "no adapter_conf")):
        with pytest.raises(EngineError, match=said):
            ensure_adapter(name)
    (path / "adapter_model.safetensors").rename(path / "adapter_model.bin")
    with pytest.raises(EngineError, match="other formats"):
        ensure_adapter(str(path))


@pytest.mark.skipif(not linear.can_int8(), reason="this torch has no 8-bit product for this CPU")
def test_what_is_kept_is_kept_for_the_adapter(base: Path, tmp_path: Path) -> None:
    path, _ = adapter(tmp_path / "adapter", base)
    kept = KeptPass(tmp_path, base, CPU, "int8", 64, path)
    ModelRunner(base, CPU, "int8", 1, 64, keep=kept.keep, adapter=path)
    assert KeptPass(tmp_path, base, CPU, "int8", 64, path).is_there
    assert not KeptPass(tmp_path, base, CPU, "int8", 64).is_there
    adapter(path, base, use_rslora=True)
    assert not KeptPass(tmp_path, base, CPU, "int8", 64, path).is_there
