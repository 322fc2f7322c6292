"""`manage.py checkmodel`, and the same examination before each load: what is told of a model, and
that all of its faults are."""

from __future__ import annotations

import io
import json
import logging
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from django.core.management import CommandError, call_command
from safetensors.torch import load_file, save_file
from transformers import (
    AutoModelForCausalLM,
    Gemma3TextConfig,
    LlamaConfig,
    MambaConfig,
    Qwen3Config,
)

from streaming.engine.base import EngineError
from streaming.engine.local import LocalEngine, engine_loader
from streaming.engine.local.forward import linear
from streaming.engine.local.loading import capacity, examination, memory_need
from streaming.engine.models.report_text import parameters, size
from tests.support.thinking_tokenizers import tokenizer_of
from tests.unit.engine.ggufs import CASES, write
from tests.unit.engine.test_adapters import adapter

SHAPE: dict[str, Any] = {
    "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 8, "max_position_embeddings": 512,
    "pad_token_id": 0,
}  # fmt: skip
WINDOW = {
    "sliding_window": 64,
    "layer_types": ["sliding_attention", "full_attention", "sliding_attention"],
}
MODELS: dict[str, tuple[type, dict[str, Any], str]] = {
    "llama": (LlamaConfig, SHAPE, "llama3"),
    "windows": (Gemma3TextConfig, {**SHAPE, **WINDOW}, "gemma2"),
    "thinks": (Qwen3Config, SHAPE, "qwen3"),
    "mamba": (MambaConfig, {"hidden_size": 32, "num_hidden_layers": 2, "state_size": 4}, "llama3"),
}
LLAMA = "llama"


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of tiny models by the names of MODELS, and `gguf.gguf`."""
    root = tmp_path_factory.mktemp("models")
    auto: Any = AutoModelForCausalLM
    for name, (kind, shape, family) in MODELS.items():
        tokenizer = tokenizer_of(family)
        torch.manual_seed(0)
        config = kind(**shape, vocab_size=len(tokenizer), eos_token_id=tokenizer.eos_token_id)
        auto.from_config(config).save_pretrained(root / name)
        tokenizer.save_pretrained(root / name)
    write(CASES["llama"], root / "gguf.gguf")
    return root


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, settings: Any) -> None:
    settings.CHATSTREAM = {"cache_dir": str(tmp_path / "cache"), "dtype": "float32"}


def told(*args: Any, **options: Any) -> dict[str, Any]:
    """What the command says to programs, whatever its exit status."""
    out = io.StringIO()
    try:
        call_command("checkmodel", *map(str, args), "--json", stdout=out, **options)
        exited = 0
    except CommandError as error:
        exited = error.returncode
    found: dict[str, Any] = json.loads(out.getvalue())
    assert found["served"] is (exited == 0) is (not found["faults"])
    return found


def said(*args: Any) -> str:
    out = io.StringIO()
    call_command("checkmodel", *map(str, args), stdout=out)
    return out.getvalue()


def changed(models: Path, tmp_path: Path, name: str = LLAMA) -> Path:
    return Path(shutil.copytree(models / name, tmp_path / "changed"))


def without(path: Path, tensor: str) -> None:
    tensors = load_file(path / "model.safetensors")
    del tensors[tensor]
    save_file(tensors, path / "model.safetensors", metadata={"format": "pt"})


def test_a_plain_model(models: Path) -> None:
    found = told(models / LLAMA)
    assert found["architecture"] == "LlamaForCausalLM"
    assert found["model_type"] == "llama"
    assert found["layers"] == [{"kind": "full_attention", "count": 3, "window": 0}]
    assert found["own_pass"]
    assert not found["why_not_own"]
    assert (found["own_context"], found["context"], found["dtype"]) == (512, 512, "float32")
    assert found["memory"]["row"] == 2 * 3 * 2 * 8 * 512 * 4
    assert found["memory"]["rows"] == 4
    assert found["memory"]["rows_that_fit"] > 4
    assert found["template"]["ends"] == ["<|eot_id|>"]
    assert found["template"]["thinks"] is False
    assert found["makers"] == []
    assert found["sampling"]["temperature"] == 0.3
    weights = load_file(models / LLAMA / "model.safetensors")
    assert found["parameters"] == sum(tensor.numel() for tensor in weights.values())
    assert found["run"] is None


def test_people_read_it(models: Path) -> None:
    text = said(models / LLAMA, "--rows", "2", "--context", "100")
    for line in (
        "architecture  LlamaForCausalLM (llama)",
        "layers        3 of full attention",
        "pass          our own",
        "context       100 tokens of context, of the 512 it can read",
        "a row          38.4 kB (keys and values of 100 tokens)",
        "with 2 rows",
        "temperature         0.3 (ours)",
        "ends a turn             <|eot_id|>",
        "llama can be served.",
    ):
        assert line in text


def test_layers_with_a_window(models: Path) -> None:
    found = told(models / "windows")
    kinds = [(each["kind"], each["count"], each["window"]) for each in found["layers"]]
    assert kinds == [("sliding_attention", 2, 64), ("full_attention", 1, 0)]
    assert found["own_pass"]  # which keeps all tokens, in all layers
    assert found["memory"]["row"] == 2 * 2 * 8 * (3 * 512) * 4
    # its template refuses system messages
    assert "first question" in found["template"]["checks"]["system message"]
    assert "2 of sliding attention, the newest 64 tokens" in said(models / "windows")


def test_a_model_on_the_hub_is_known_before_it_is_fetched(
    models: Path, tmp_path: Path, monkeypatch: Any
) -> None:
    here = told(models / LLAMA)
    path = changed(models, tmp_path)
    tensors = load_file(path / "model.safetensors")
    (path / "model.safetensors").unlink()
    asked: dict[str, Any] = {}

    def snapshot(name: str, **told: Any) -> str:
        asked.update(told)
        return str(path)

    def metadata(name: str) -> Any:
        infos = {
            each: SimpleNamespace(dtype="F32", shape=[*tensor.shape])
            for each, tensor in tensors.items()
        }
        return SimpleNamespace(files_metadata={"a.safetensors": SimpleNamespace(tensors=infos)})

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot)
    monkeypatch.setattr("huggingface_hub.get_safetensors_metadata", metadata)
    found = told("someone/llama")
    assert not any("safetensors" in pattern for pattern in asked["allow_patterns"])
    assert found.pop("name") == "someone/llama"
    here.pop("name")
    for report in (found, here):
        for key in ("free", "rows_that_fit"):
            report["memory"].pop(key)
    assert found == here
    # a tensor that it lacks is noticed there, too
    del tensors["model.norm.weight"]
    (fault,) = told("someone/llama")["faults"]
    assert "model.norm.weight" in fault

    def away(name: str) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr("huggingface_hub.get_safetensors_metadata", away)
    (fault,) = told("someone/llama")["faults"]
    assert "no route to host" in fault


def test_a_model_that_thinks(models: Path, tmp_path: Path) -> None:
    path = changed(models, tmp_path, "thinks")
    sampling = {"do_sample": True, "temperature": 0.6, "top_p": 0.95, "eos_token_id": 2}
    (path / "generation_config.json").write_text(json.dumps(sampling))
    found = told(path)
    template = found["template"]
    assert template["thinks"]
    assert template["thinking"] == "think"
    assert template["efforts"]["off"] == "enable_thinking=false"
    assert template["checks"]["thoughts of the history"].startswith("read in reasoning_content")
    assert "<|im_end|>" in template["ends"]
    assert found["sampling"]["temperature"] == 0.6
    assert found["sampling"]["top_k"] == 50
    assert sorted(found["makers"]) == ["temperature", "top_p"]
    text = said(path)
    assert "0.6 (its makers)" in text
    assert "yes, in the format think" in text


def test_a_gguf(models: Path) -> None:
    found = told(models / "gguf.gguf")
    assert found["name"] == "gguf"
    assert found["architecture"] == "LlamaForCausalLM"
    assert found["own_pass"]
    assert found["template"]["ends"] == ["<eos>"]


def test_an_adapter(models: Path, tmp_path: Path) -> None:
    lora, _ = adapter(tmp_path / "lora", models / LLAMA)
    assert told(models / LLAMA, "--adapter", lora)["adapter"] == "lora"
    # of another model
    found = told(models / "gguf.gguf", "--adapter", lora)
    assert len(found["faults"]) == 1
    assert "another model" in found["faults"][0]
    assert found["memory"]["weights"] > 0
    found = told(models / LLAMA, "--adapter", tmp_path / "none")
    assert found["faults"] == [f"CHATSTREAM_ADAPTER={tmp_path / 'none'} is no folder."]


def test_weights_of_few_bits_name_the_package(models: Path, tmp_path: Path) -> None:
    path = changed(models, tmp_path)
    config = json.loads((path / "config.json").read_text())
    config["quantization_config"] = {"quant_method": "gptq", "bits": 4}
    (path / "config.json").write_text(json.dumps(config))
    found = told(path)
    assert found["quantisation"]["method"] == "gptq"
    assert "gptqmodel" in found["quantisation"]["lacking"]
    assert not found["own_pass"]
    assert len(found["faults"]) == 1
    assert "pip install gptqmodel" in found["faults"][0]


def test_what_cannot_be_served_says_why(models: Path) -> None:
    found = told(models / "mamba")
    (fault,) = found["faults"]
    assert fault.endswith("it has layers of the kind linear_attention, not plain attention.")
    assert found["parameters"] > 0
    assert not found["own_pass"]


def test_a_strangers_words_move_no_cursor(models: Path, tmp_path: Path) -> None:
    path = changed(models, tmp_path)
    config = json.loads((path / "config.json").read_text())
    config["quantization_config"] = {"quant_method": "\x1b[2J\x9b\u202e"}
    (path / "config.json").write_text(json.dumps(config))
    out = io.StringIO()
    with pytest.raises(CommandError):
        call_command("checkmodel", str(path), stdout=out)
    assert "\\x1b[2J\\x9b\\u202e" in out.getvalue()
    assert out.getvalue().replace("\n", "").isprintable()
    out = io.StringIO()
    with pytest.raises(CommandError):
        call_command("checkmodel", str(path), "--json", stdout=out)
    assert out.getvalue().isascii()


def test_all_faults_are_told(models: Path, tmp_path: Path, monkeypatch: Any) -> None:
    path = changed(models, tmp_path)
    without(path, "model.layers.1.mlp.up_proj.weight")
    (path / "chat_template.jinja").write_text("{{ raise_exception('Klingon only') }}")
    monkeypatch.setattr(memory_need, "free_memory", lambda device: 1000)
    with pytest.raises(CommandError, match="changed cannot be served, for 5 reasons") as error:
        said(path, "--context", "4096", "--dtype", "int8", "--device", "cpu", "--adapter", "./no")
    assert error.value.returncode == 1
    faults = told(path, "--context", "4096", "--adapter", "./no")["faults"]
    for words in (
        "CHATSTREAM_ADAPTER=./no",
        "CHATSTREAM_CONTEXT_TOKENS=4096 is more than the 512",
        "Klingon only",
        "model.layers.1.mlp.up_proj.weight",
        "What would help",
    ):
        assert sum(words in fault for fault in faults) == 1, words
    assert len(faults) == 5


def test_a_start_refuses_with_the_first_of_them(models: Path, tmp_path: Path) -> None:
    path = changed(models, tmp_path)
    without(path, "model.layers.1.mlp.up_proj.weight")
    for broken in (path, models / "mamba", models / "gguf"):
        local = LocalEngine(str(broken), dtype="float32", cache_dir=tmp_path, progress=False)
        report = local.examine()
        with pytest.raises(EngineError) as error:
            local.start(lambda events: None)
        assert str(error.value) == report.faults[0]


def test_a_start_logs_what_it_serves(
    models: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "streaming.engine")

    def lines() -> list[str]:
        caplog.clear()
        local = LocalEngine(str(models / LLAMA), device="cpu", cache_dir=tmp_path, progress=False)
        local.start(lambda events: None)
        local.close()
        return [each.getMessage() for each in caplog.records if each.name == "streaming.engine"]

    first = lines()
    assert any(
        each.startswith("llama: LlamaForCausalLM; layers: 3 of full attention; pass: our own; ")
        and each.endswith(" 512 tokens of context.")
        for each in first
    )
    assert any(each.startswith("Memory: ") and each.endswith(" rows.") for each in first)
    if linear.has_vnni() and linear.can_int8():  # then it is kept
        again = lines()
        assert any(each.startswith("llama: layers: 3 of full attention; ") for each in again)
        assert any(each.startswith("Memory: ") for each in again)


def test_it_runs(models: Path) -> None:
    run = told(models / "thinks", "--run", "--prompt", "Hello", "--max-tokens", "4")["run"]
    assert 1 <= run["tokens"] <= 4
    assert run["prompt_tokens"] > 4
    assert run["load_seconds"] > run["check_seconds"] > 0
    assert run["first_seconds"] > 0
    assert run["peak_bytes"] > 10**7


def test_what_fails_only_when_it_runs_is_a_fault(models: Path, monkeypatch: Any) -> None:
    def fails(*args: Any, **told: Any) -> None:
        raise EngineError("The pass differs.", "model_unsupported")

    monkeypatch.setattr(engine_loader, "ModelRunner", fails)
    assert told(models / LLAMA, "--run")["faults"] == ["The pass differs."]
    assert told(models / LLAMA)["faults"] == []


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--dtype", "float23"], "CHATSTREAM_DTYPE='float23' is not allowed"),
        (["--rows", "0"], "CHATSTREAM_MAX_RUNNING='0' is not allowed"),
        (["--context", "many"], "CHATSTREAM_CONTEXT_TOKENS='many' is not allowed"),
        (["--run", "--max-tokens", "0"], "--max-tokens is at least 1."),
        (["--run", "--prompt", " "], "--prompt is empty."),
    ],
)
def test_a_bad_value_is_a_sentence(args: list[str], words: str) -> None:
    with pytest.raises(CommandError, match=words):
        said("nowhere", *args)


@pytest.mark.parametrize("name", ["/nowhere/at/all", "./no.gguf", "not a name"])
def test_a_model_that_is_not_there(name: str) -> None:
    (fault,) = told(name)["faults"]
    assert name in fault
    assert "does not exist" in fault


def test_a_damaged_gguf(tmp_path: Path) -> None:
    (tmp_path / "x.gguf").write_bytes(b"GGUF" + bytes(3))
    (fault,) = told(tmp_path / "x.gguf")["faults"]
    assert "x.gguf" in fault


def test_before_another_server_a_model_has_to_be_named(models: Path, settings: Any) -> None:
    settings.CHATSTREAM = {**settings.CHATSTREAM, "upstream_url": "http://127.0.0.1:1/v1"}
    with pytest.raises(CommandError, match="CHATSTREAM_UPSTREAM_URL is set"):
        said()
    assert told(models / LLAMA)["served"]


def test_an_interrupt_is_no_traceback(models: Path, monkeypatch: Any) -> None:
    def interrupted(*args: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(LocalEngine, "examine", interrupted)
    with pytest.raises(CommandError) as error:
        said(models / LLAMA)
    assert error.value.returncode == 130


def test_numbers_for_people() -> None:
    assert [size(count) for count in (0, 999, 94_371_840, 8_100_000_000, 1_234_500_000_000)] == [
        "0 kB", "0.999 kB", "94.4 MB", "8.1 GB", "1,234 GB",
    ]  # fmt: skip
    assert [parameters(count) for count in (7, 1_500, 134_515_008, 1_240_000_000)] == [
        "7", "1.5 k", "135 M", "1.24 B",
    ]  # fmt: skip


def test_rows_that_fit_follow_what_is_free(models: Path, monkeypatch: Any) -> None:
    memory = told(models / LLAMA)["memory"]
    least = memory["weights"] + memory_need.ALWAYS
    for rows in (0, 3):
        free = least + memory["loading"] + rows * memory["row"]
        for module in (memory_need, examination, capacity):
            monkeypatch.setattr(module, "free_memory", lambda device, free=free: free)
        fit = told(models / LLAMA)["memory"]["rows_that_fit"]
        assert fit == (free - least) // memory["row"]
