"""A model is whole, or it is refused with the names: what is missing has random numbers, and what
is left over belongs to another model."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, DeepseekV3Config, GPT2Config, MixtralConfig

from streaming.engine.base import EngineError
from streaming.engine.local.forward.decoder import Decoder, Span
from streaming.engine.local.runner import ModelRunner
from tests.unit.engine.test_decoder import CONFIGS, SHAPE, folder

CPU = torch.device("cpu")
FILE = "model.safetensors"
TINY = {**SHAPE, "num_hidden_layers": 2, "hidden_size": 32, "num_attention_heads": 2,
        "intermediate_size": 48, "num_key_value_heads": 1}  # fmt: skip
MIXTRAL = MixtralConfig(**TINY, num_local_experts=4, num_experts_per_tok=2)
LINEAR = "model.layers.1.mlp.up_proj.weight"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Whole models, which are copied before they are changed."""
    root = tmp_path_factory.mktemp("made")
    for name, config in (("llama", CONFIGS["llama"]), ("tied", CONFIGS["llama, tied, biased"]),
                         ("mixtral", MIXTRAL)):  # fmt: skip
        folder(root / name, config)
    return root


@pytest.fixture
def copied(made: Path, tmp_path: Path) -> Callable[[str], Path]:
    def copy(name: str) -> Path:
        return Path(shutil.copytree(made / name, tmp_path / name))

    return copy


def run(path: Path, **told: Any) -> ModelRunner:
    return ModelRunner(path, CPU, "float32", 1, 64, **told)


def logits_of(runner: ModelRunner) -> torch.Tensor:
    with torch.inference_mode():
        return runner.step([], [], [Span(0, [5, 9, 100, 7, 3], 0)])


def change(path: Path, by: Callable[[dict[str, torch.Tensor]], None]) -> None:
    tensors = load_file(path / FILE)
    by(tensors)
    save_file({name: tensor.clone() for name, tensor in tensors.items()}, path / FILE,
              metadata={"format": "pt"})  # fmt: skip


def configure(path: Path, **told: Any) -> None:
    config = json.loads((path / "config.json").read_text())
    (path / "config.json").write_text(json.dumps({**config, **told}))


def refused(path: Path) -> str:
    with pytest.raises(EngineError) as caught:
        run(path)
    message = str(caught.value)
    assert len(message) < 900
    return message


def drop(part: str) -> Callable[[dict[str, torch.Tensor]], None]:
    def by(tensors: dict[str, torch.Tensor]) -> None:
        for name in [name for name in tensors if part in name]:
            del tensors[name]

    return by


@pytest.mark.parametrize("kind", ["llama", "mixtral"])
def test_a_layer_that_is_missing_is_named(kind: str, copied: Callable[[str], Path]) -> None:
    path = copied(kind)
    change(path, drop(".layers.1."))
    message = refused(path)
    assert "lacks" in message
    assert "model.layers.1.input_layernorm.weight" in message


def test_a_tensor_that_is_missing_is_named(copied: Callable[[str], Path]) -> None:
    path = copied("llama")
    change(path, drop(LINEAR))
    assert f"it lacks 1 tensor: {LINEAR}." in refused(path)


def test_an_expert_that_is_missing_is_noticed(copied: Callable[[str], Path]) -> None:
    path = copied("mixtral")
    change(path, drop("layers.1.block_sparse_moe.experts.2."))
    assert "experts" in refused(path)


@pytest.mark.parametrize("kind", ["llama", "mixtral"])
def test_a_tensor_too_many_is_named(kind: str, copied: Callable[[str], Path]) -> None:
    path = copied(kind)
    change(path, lambda tensors: tensors.update({"model.extra.weight": torch.ones(3)}))
    assert "no place for: model.extra.weight." in refused(path)


def test_more_layers_than_the_configuration_says(copied: Callable[[str], Path]) -> None:
    path = copied("llama")
    configure(path, num_hidden_layers=2)
    assert "model.layers.2." in refused(path)


def test_other_shapes_than_the_configuration_says(copied: Callable[[str], Path]) -> None:
    path = copied("llama")
    configure(path, intermediate_size=64)
    message = refused(path)
    assert "model.layers.0.mlp.down_proj.weight is [96, 96] instead of [96, 64]" in message


@pytest.mark.parametrize("kind", ["llama", "tied"])
def test_a_reward_model_is_refused(kind: str, copied: Callable[[str], Path]) -> None:
    path = copied(kind)
    change(path, drop("lm_head"))
    change(path, lambda tensors: tensors.update({"score.weight": torch.ones(1, 96)}))
    configure(path, architectures=["LlamaForSequenceClassification"])
    assert "score.weight" in refused(path)


def test_a_configuration_with_unknown_words_is_told_by_them(
    copied: Callable[[str], Path],
) -> None:
    path = copied("llama")
    configure(path, hidden_act="martian")
    assert "cannot be loaded: KeyError: 'martian'" in refused(path)


def test_exl2_is_refused(copied: Callable[[str], Path]) -> None:
    path = copied("llama")

    def by(tensors: dict[str, torch.Tensor]) -> None:
        for name in [name for name in tensors if name.endswith("proj.weight")]:
            del tensors[name]
            stem = name.removesuffix("weight")
            tensors[f"{stem}q_weight"] = torch.ones(4, 4, dtype=torch.int32)
            tensors[f"{stem}q_scale"] = torch.ones(4, 4, dtype=torch.int32)

    change(path, by)
    assert "self_attn.k_proj.weight" in refused(path)
    configure(path, quantization_config={"quant_method": "exl2", "bits": 4.0})
    assert "exl2" in refused(path)


def test_modelopt_is_refused(copied: Callable[[str], Path]) -> None:
    path = copied("llama")

    def by(tensors: dict[str, torch.Tensor]) -> None:
        for name in [name for name in tensors if name.endswith("proj.weight")]:
            tensors[name] = tensors[name].to(torch.float8_e4m3fn)

    change(path, by)
    assert "8 bits" not in (message := refused(path))
    assert "numbers of few bits" in message
    (path / "hf_quant_config.json").write_text('{"quantization": {"quant_algo": "FP8"}}')
    assert "ModelOpt" in refused(path)
    configure(path, quantization_config={"quant_method": "modelopt"})
    assert "modelopt" in refused(path)


@pytest.mark.parametrize("size", [0, 5, 100, 20_000])
def test_a_file_that_is_cut_short_is_refused(size: int, copied: Callable[[str], Path]) -> None:
    path = copied("llama")
    content = (path / FILE).read_bytes()
    (path / FILE).write_bytes(content[:size])
    assert f"{FILE} is damaged or incomplete" in refused(path)


def test_a_file_that_grew_is_refused(copied: Callable[[str], Path]) -> None:
    path = copied("llama")
    with (path / FILE).open("ab") as file:
        file.write(b"more")
    assert "damaged or incomplete" in refused(path)


def sharded(path: Path) -> dict[str, Any]:
    """Split the model into two files with an index, and return that."""
    tensors = load_file(path / FILE)
    (path / FILE).unlink()
    index = {}
    for number in (0, 1):
        part = {name: each for at, (name, each) in enumerate(sorted(tensors.items()))
                if at % 2 == number}  # fmt: skip
        save_file(part, path / f"part-{number}.safetensors", metadata={"format": "pt"})
        index |= dict.fromkeys(part, f"part-{number}.safetensors")
    written: dict[str, Any] = {"metadata": {}, "weight_map": index}
    (path / "model.safetensors.index.json").write_text(json.dumps(written))
    return written


def test_several_files_are_one_model(made: Path, copied: Callable[[str], Path]) -> None:
    path = copied("llama")
    sharded(path)
    assert torch.equal(logits_of(run(path)), logits_of(run(made / "llama")))


def test_a_file_that_the_index_names_is_missing(copied: Callable[[str], Path]) -> None:
    path = copied("llama")
    sharded(path)
    (path / "part-1.safetensors").unlink()
    assert "part-1.safetensors" in refused(path)


@pytest.mark.parametrize(
    "index",
    [
        "",
        "[]",
        "{}",
        '{"weight_map": 3}',
        '{"weight_map": {}}',
        '{"weight_map": {"a": 1}}',
        '{"weight_map": {"a": "../b"}}',
    ],
)
def test_an_index_that_is_none(index: str, copied: Callable[[str], Path]) -> None:
    path = copied("llama")
    sharded(path)
    (path / "model.safetensors.index.json").write_text(index)
    assert "index.json is damaged" in refused(path)


def test_a_folder_without_weights(copied: Callable[[str], Path]) -> None:
    path = copied("llama")
    (path / FILE).unlink()
    assert "no weights" in refused(path)


def test_what_may_be_left_over_is_named_in_the_log(
    made: Path, copied: Callable[[str], Path], caplog: pytest.LogCaptureFixture
) -> None:
    """Tables of older transformers, and layers that only speed up."""
    path = copied("llama")
    extra = {
        "model.layers.0.self_attn.rotary_emb.inv_freq": torch.ones(8),
        "model.layers.3.embed_tokens.weight": torch.ones(4, 4),
        "mtp.fc.weight": torch.ones(4),
        "model.layers.0.self_attn.k_scale": torch.ones(1),
    }
    change(path, lambda tensors: tensors.update(extra))
    configure(path, num_nextn_predict_layers=1)
    caplog.set_level(logging.INFO)
    assert torch.equal(logits_of(run(path)), logits_of(run(made / "llama")))
    said = [line for line in caplog.text.splitlines() if "Not used of the model" in line]
    assert all(any(name in line for line in said) for name in extra), said


def test_a_head_of_its_own_is_taken_whatever_the_configuration_says(
    copied: Callable[[str], Path],
) -> None:
    """As transformers does it."""
    path = copied("tied")
    head = torch.randn(200, 96)
    change(path, lambda tensors: tensors.update({"lm_head.weight": head}))
    torch.testing.assert_close(
        logits_of(run(path)), logits_of(run(path, general=True)), atol=2e-3, rtol=2e-3
    )


def test_a_base_model_without_its_prefix_is_the_same(
    made: Path, copied: Callable[[str], Path]
) -> None:
    path = copied("tied")

    def by(tensors: dict[str, torch.Tensor]) -> None:
        for name in list(tensors):
            tensors[name.removeprefix("model.")] = tensors.pop(name)

    change(path, by)
    assert torch.equal(logits_of(run(path)), logits_of(run(made / "tied")))


def test_what_ends_an_answer_is_taken_from_its_file(copied: Callable[[str], Path]) -> None:
    for kind in ("llama", "mixtral"):
        path = copied(kind)
        (path / "generation_config.json").write_text('{"eos_token_id": [7, 9]}')
        assert run(path).end_ids == [7, 9]


def test_a_file_that_does_not_say_what_ends_an_answer(
    made: Path, copied: Callable[[str], Path]
) -> None:
    """One that is damaged is as if it were not there; one that names no token is refused."""
    for kind in ("llama", "mixtral"):
        path = copied(kind)
        wanted = run(made / kind).end_ids
        for content in ("[]", "{", '"x"'):
            (path / "generation_config.json").write_text(content)
            assert run(path).end_ids == wanted
        for ends in ('"</s>"', '["</s>", 7]', "1.5", "true"):
            (path / "generation_config.json").write_text(f'{{"eos_token_id": {ends}}}')
            assert "what ends its answers is no token" in refused(path)


@pytest.fixture(params=["gpt2", "deepseek_v3"])
def other(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Families whose tensors become parameters in other ways, or that are computed in part."""
    config: Any = GPT2Config(n_embd=32, n_head=2, n_layer=2, vocab_size=200, n_positions=64)
    if request.param == "deepseek_v3":
        config = DeepseekV3Config(
            hidden_size=32, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=2,
            intermediate_size=32, moe_intermediate_size=16, n_routed_experts=4, n_group=2,
            topk_group=1, num_experts_per_tok=2, kv_lora_rank=16, q_lora_rank=16, vocab_size=200,
            qk_nope_head_dim=8, qk_rope_head_dim=8, v_head_dim=8, first_k_dense_replace=1,
        )  # fmt: skip
    return folder(tmp_path, config)


def test_every_family_is_loaded_as_transformers_loads_it(other: Path) -> None:
    auto: Any = AutoModelForCausalLM
    reference = auto.from_pretrained(other).state_dict()
    loaded: Any = run(other)._model
    assert not isinstance(loaded, Decoder)
    ours = loaded._model.state_dict()
    assert ours.keys() == reference.keys()
    for name, tensor in reference.items():
        assert torch.equal(ours[name], tensor), name
