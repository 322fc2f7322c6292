"""Weights of few bits are read as what they stand for, or refused with the reason; never taken
without their scales."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, GptOssConfig, LlamaConfig

from streaming.engine.base import EngineError
from streaming.engine.local.forward.decoder import Decoder, Span
from streaming.engine.local.loading.plain_weights import is_plain
from streaming.engine.local.runner import ModelRunner
from streaming.engine.models import quantised
from tests.unit.engine.test_decoder import folder

CPU = torch.device("cpu")
CONFIG = LlamaConfig(
    hidden_size=128, intermediate_size=256, num_hidden_layers=2, num_attention_heads=2,
    num_key_value_heads=1, head_dim=64, vocab_size=200, max_position_embeddings=256,
)  # fmt: skip
Quantise = Callable[[Tensor], tuple[dict[str, Tensor], Tensor]]
F8 = torch.float8_e4m3fn


def in_blocks(weight: Tensor) -> tuple[dict[str, Tensor], Tensor]:
    """FP8 as DeepSeek V3 and Qwen 3 have it: a scale for each 128 x 128 numbers."""
    rows, columns = weight.shape[0] // 64, weight.shape[1] // 64
    blocks = weight.view(rows, 64, columns, 64)
    scale = blocks.abs().amax((1, 3)) / 448
    small = (blocks / scale[:, None, :, None]).to(F8)
    meant = (small.float() * scale[:, None, :, None]).reshape(weight.shape)
    return {"weight": small.view(weight.shape), "weight_scale_inv": scale}, meant


def in_channels(weight: Tensor) -> tuple[dict[str, Tensor], Tensor]:
    """FP8 as compressed-tensors has it: a scale for each output."""
    scale = (weight.abs().amax(1, keepdim=True) / 448).bfloat16()
    small = (weight / scale.float()).clamp(-448, 448).to(F8)
    return {"weight": small, "weight_scale": scale}, small.float() * scale.float()


def in_four_bits(weight: Tensor) -> tuple[dict[str, Tensor], Tensor]:
    """As compressed-tensors packs them: eight numbers in 32 bits, a scale for each group."""
    groups = weight.view(weight.shape[0], -1, 64)
    scale = (groups.abs().amax(2) / 7).bfloat16()
    whole = (groups / scale.float()[..., None]).round().clamp(-8, 7).to(torch.int64)
    nibbles = (whole.view(weight.shape[0], -1, 8) + 8) << torch.arange(0, 32, 4)
    packed = nibbles.sum(-1)
    packed = torch.where(packed < 2**31, packed, packed - 2**32).to(torch.int32)
    meant = (whole.float() * scale.float()[..., None]).view(weight.shape)
    shape = torch.tensor(weight.shape)
    return {"weight_packed": packed, "weight_scale": scale, "weight_shape": shape}, meant


def compressed(format: str, **weights: Any) -> dict[str, Any]:
    told = {"symmetric": True, "dynamic": False, "observer": "minmax", **weights}
    group = {"targets": ["Linear"], "weights": told}
    return {
        "quant_method": "compressed-tensors", "format": format,
        "quantization_status": "compressed", "ignore": ["lm_head"],
        "config_groups": {"group_0": group},
    }  # fmt: skip


METHODS: dict[str, tuple[Quantise, dict[str, Any]]] = {
    "fp8": (
        in_blocks,
        {
            "quant_method": "fp8",
            "activation_scheme": "dynamic",
            "fmt": "e4m3",
            "weight_block_size": [64, 64],
        },
    ),
    "float-quantized": (
        in_channels,
        compressed("float-quantized", num_bits=8, type="float", strategy="channel"),
    ),
    "pack-quantized": (
        in_four_bits,
        compressed("pack-quantized", num_bits=4, type="int", strategy="group", group_size=64),
    ),
}


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return folder(tmp_path_factory.mktemp("plain") / "model", CONFIG)


def configured(path: Path, told: dict[str, Any]) -> None:
    config = json.loads((path / "config.json").read_text())
    (path / "config.json").write_text(json.dumps({**config, "quantization_config": told}))


def written(plain: Path, root: Path, quantise: Quantise, told: dict[str, Any]) -> tuple[Path, Path]:
    """The folders of the quantised model, and of what it means."""
    small, meant = {}, {}
    for name, weight in load_file(plain / "model.safetensors").items():
        if name.endswith("proj.weight"):
            parts, meant[name] = quantise(weight.float())
            stem = name.removesuffix("weight")
            small |= {f"{stem}{part}": each.contiguous() for part, each in parts.items()}
        else:
            small[name] = meant[name] = weight
    return saved(plain, root, small, meant, told)


def saved(
    plain: Path, root: Path, small: dict[str, Tensor], meant: dict[str, Tensor],
    told: dict[str, Any],
) -> tuple[Path, Path]:  # fmt: skip
    for name, tensors in (("small", small), ("meant", meant)):
        (root / name).mkdir()
        (root / name / "config.json").write_text((plain / "config.json").read_text())
        save_file(tensors, root / name / "model.safetensors", metadata={"format": "pt"})
    configured(root / "small", told)
    return root / "small", root / "meant"


def logits_of(path: Path, dtype: str = "float32", *, is_ours: bool = True) -> Tensor:
    runner = ModelRunner(path, CPU, dtype, 1, 64)
    assert isinstance(runner._model, Decoder) == is_ours
    with torch.inference_mode():
        return runner.step([], [], [Span(0, [5, 9, 100, 7, 3], 0)])


def close(found: Tensor, expected: Tensor, share: float) -> bool:
    return bool((found - expected).abs().max() < share * expected.std())


def needs(module: str) -> pytest.MarkDecorator:
    there = importlib.util.find_spec(module) is not None
    return pytest.mark.skipif(not there, reason=f"{module} is not installed")


@pytest.mark.parametrize("name", [
    pytest.param("fp8", marks=needs("accelerate")),
    pytest.param("float-quantized", marks=needs("compressed_tensors")),
    pytest.param("pack-quantized", marks=needs("compressed_tensors")),
])  # fmt: skip
def test_it_answers_as_what_its_weights_mean(name: str, plain: Path, tmp_path: Path) -> None:
    small, meant = written(plain, tmp_path, *METHODS[name])
    expected = logits_of(meant)
    assert close(logits_of(small), expected, 0.1)  # they are of 16 bits in between
    assert not close(logits_of(plain), expected, 0.1)


_FOUR_BITS = torch.tensor([0, 0.5, 1, 1.5, 2, 3, 4, 6, 0, -0.5, -1, -1.5, -2, -3, -4, -6])
"""The numbers of MXFP4 (OCP Microscaling Formats 1.0)."""


def in_microscales(name: str, experts: Tensor) -> tuple[dict[str, Tensor], Tensor]:
    """As gpt-oss has them: 32 numbers of 4 bits with a power of two."""
    groups = experts.transpose(1, 2).unflatten(2, (-1, 32))
    power = groups.abs().amax(-1).log2().floor() - 2
    which = (groups / power.exp2()[..., None])[..., None].sub(_FOUR_BITS).abs().argmin(-1)
    blocks = which[..., 0::2] | (which[..., 1::2] << 4)
    meant = (_FOUR_BITS[which] * power.exp2()[..., None]).flatten(2).transpose(1, 2)
    parts = {f"{name}_blocks": blocks, f"{name}_scales": power + 127}
    return {part: each.to(torch.uint8) for part, each in parts.items()}, meant.contiguous()


@needs("accelerate")
def test_experts_of_four_bits(tmp_path: Path) -> None:
    config = GptOssConfig(
        hidden_size=64, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, head_dim=32, vocab_size=200, num_local_experts=4,
        num_experts_per_tok=2, sliding_window=16, max_position_embeddings=256,
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0},
    )  # fmt: skip
    plain = folder(tmp_path / "plain", config)
    small, meant = {}, {}
    for name, weight in load_file(plain / "model.safetensors").items():
        if name.endswith(("gate_up_proj", "down_proj")):
            parts, meant[name] = in_microscales(name, weight)
            small |= parts
        else:
            small[name] = meant[name] = weight
    told = {"quant_method": "mxfp4", "modules_to_not_convert": ["lm_head", "model.embed_tokens"]}
    small_path, meant_path = saved(plain, tmp_path, small, meant, told)
    found, expected = (logits_of(path, is_ours=False) for path in (small_path, meant_path))
    assert close(found, expected, 0.1)  # they are of 16 bits in between


@pytest.mark.parametrize("bits", [
    pytest.param("load_in_4bit", marks=needs("bitsandbytes")),
    pytest.param("load_in_8bit", marks=needs("bitsandbytes")),
    pytest.param("torchao", marks=needs("torchao")),
])  # fmt: skip
@pytest.mark.filterwarnings("ignore")  # theirs
def test_what_transformers_writes_is_read(bits: str, plain: Path, tmp_path: Path) -> None:
    import transformers

    auto: Any = AutoModelForCausalLM
    if bits == "torchao":
        from torchao.quantization import Int8WeightOnlyConfig

        told: Any = transformers.TorchAoConfig(Int8WeightOnlyConfig())
    else:
        told = transformers.BitsAndBytesConfig(**{bits: True})
    model = auto.from_pretrained(plain, quantization_config=told, dtype=torch.bfloat16)
    model.save_pretrained(tmp_path)
    with torch.inference_mode():
        expected = model(torch.tensor([[5, 9, 100, 7, 3]])).logits[:, -1].float()
    assert close(logits_of(tmp_path), expected, 0.25)  # theirs has activations of few bits, too


@pytest.mark.parametrize("method", ["compressed-tensors", "gptq", "awq", "bitsandbytes", "torchao"])
def test_the_package_that_is_lacking_is_named(
    method: str, plain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small, _ = written(plain, tmp_path, in_channels, {"quant_method": method})
    if method == "bitsandbytes":
        configured(small, {"load_in_4bit": True})
    monkeypatch.setattr(quantised, "_is_there", lambda module: False)
    with pytest.raises(EngineError, match=f"weights of the kind {method}, which need .*pip inst"):
        logits_of(small)


@pytest.mark.parametrize("told", [{"quant_method": "exl9"}, {}, {"quant_method": None}])
def test_an_unknown_method_is_named(told: dict[str, Any], plain: Path, tmp_path: Path) -> None:
    small, _ = written(plain, tmp_path, in_channels, told)
    with pytest.raises(EngineError, match="does not know") as caught:
        logits_of(small)
    assert str(told.get("quant_method")) in str(caught.value)


def test_scales_without_a_word_about_them_are_noticed(plain: Path, tmp_path: Path) -> None:
    small, meant = written(plain, tmp_path, in_channels, {})
    (small / "config.json").write_text((meant / "config.json").read_text())
    with pytest.raises(EngineError, match=r"no place for: model\.layers\.0\.mlp\.down_proj"):
        logits_of(small)


class Scaled(nn.Linear):
    """What quantisers put in the place of a plain product."""


def test_only_plain_products_are_plain(plain: Path) -> None:
    auto: Any = AutoModelForCausalLM

    def changed(by: Callable[[Any], None]) -> bool:
        model = auto.from_pretrained(plain)
        by(model.model.layers[1].self_attn)
        return is_plain(model)

    def another(attend: Any) -> None:
        attend.q_proj = Scaled(128, 128, bias=False)

    def scaled(attend: Any) -> None:
        attend.q_proj.weight_scale = nn.Parameter(torch.ones(1))

    def small(attend: Any) -> None:
        attend.q_proj.weight = nn.Parameter(attend.q_proj.weight.to(F8), requires_grad=False)

    def hooked(attend: Any) -> None:
        attend.q_proj.register_forward_hook(lambda *told: None)

    assert changed(lambda attend: None)
    assert not any(changed(by) for by in (another, scaled, small, hooked))
