"""What the first start makes of a model is kept for the next ones: the same numbers bit by bit,
and never a reason not to start."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from filelock import FileLock

from streaming.engine.local.forward import linear
from streaming.engine.local.loading import kept as kept_module
from streaming.engine.local.loading import kept_files
from streaming.engine.local.loading.examination import report_on_kept
from streaming.engine.local.loading.kept import KeptPass
from streaming.engine.local.loading.memory_need import kept_need
from streaming.engine.local.runner import ModelRunner
from streaming.engine.models.store import ModelFolder
from tests.support.long_runs import IS_LONG
from tests.unit.engine.test_decoder import CONFIGS, folder, logits

CPU = torch.device("cpu")
FILES = [
    "whole.pt",
    "tables.safetensors",
    "shape.json",
    "products-1.safetensors",
    "products-head.safetensors",
    "chatstream.json",
]
DAMAGES = [
    (name, damage)
    for name in FILES
    for damage in ("gone", "short", "other", "empty")
    if IS_LONG or damage == "other" or name in ("whole.pt", "chatstream.json")
]
"""Each file with one bit turned, and each damage to one that is written down and to the one that
says what is: the others are looked at as the first of these."""

pytestmark = pytest.mark.skipif(
    not linear.can_int8(), reason="this torch has no 8-bit product for this CPU"
)


def kept_of(cache: Path, model: Path, context: int | None = 200) -> KeptPass:
    return KeptPass(cache, model, CPU, "int8", context)


def made(cache: Path, model: Path) -> ModelRunner:
    return ModelRunner(model, CPU, "int8", 4, 200, keep=kept_of(cache, model).keep)


def loaded(cache: Path, model: Path) -> ModelRunner:
    packed = kept_of(cache, model).load()
    assert packed is not None
    return ModelRunner(model, CPU, "int8", 4, packed.context, packed=packed)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return folder(tmp_path / "model", CONFIGS["llama"])


@pytest.fixture
def cache(tmp_path: Path, model: Path) -> Path:
    """With what the first start has kept."""
    made(tmp_path / "cache", model)
    assert kept_of(tmp_path / "cache", model).is_there
    return tmp_path / "cache"


def written(cache: Path) -> list[Path]:
    return sorted(path for path in (cache / "packed").iterdir() if path.is_dir())


@pytest.mark.parametrize("name", CONFIGS)
def test_the_numbers_are_the_same_bit_by_bit(name: str, tmp_path: Path) -> None:
    path = folder(tmp_path / "model", CONFIGS[name])
    first = made(tmp_path, path)
    second = loaded(tmp_path, path)
    assert torch.equal(logits(first), logits(second))
    assert torch.equal(logits(ModelRunner(path, CPU, "int8", 4, 200)), logits(second))
    for told in ("vocabulary", "parameters", "end_ids", "rows", "precision", "context_tokens"):
        assert getattr(first, told) == getattr(second, told), told
    assert first.cache.bytes == second.cache.bytes


def test_its_report_tells_the_windows(tmp_path: Path) -> None:
    path = folder(tmp_path / "model", CONFIGS["gemma3"])
    made(tmp_path, path)
    packed = kept_of(tmp_path, path).load()
    assert packed is not None
    asked: Any = SimpleNamespace(folder=ModelFolder(path, "m"), device=CPU)
    report = report_on_kept(asked, packed, kept_need(packed.shape, 1, 1, 200))
    found = {(each.kind, each.count, each.window) for each in report.layers}
    assert found == {("sliding_attention", 2, 40), ("full_attention", 1, 0)}


def test_of_the_default_model_too(model_folder: ModelFolder, tmp_path: Path) -> None:
    path = model_folder.path
    first = made(tmp_path, path)
    assert torch.equal(logits(first), logits(loaded(tmp_path, path)))


def test_a_later_start_needs_no_modelling_code(model_folder: ModelFolder, tmp_path: Path) -> None:
    program = f"""
import sys
from pathlib import Path
import django
django.setup()
from streaming.engine.local import LocalEngine
engine = LocalEngine({str(model_folder.path)!r}, device="cpu", dtype="int8", max_running=1,
                     progress=False, cache_dir=Path({str(tmp_path)!r}))
engine.prepare()
engine.start(lambda events: None)
print(engine.info.context_tokens, engine.info.parameters,
      [name for name in sys.modules if ".modeling_llama" in name or name == "torch._dynamo"])
engine.close()
"""
    said = [
        subprocess.run(
            [sys.executable, "-c", program], check=True, capture_output=True, text=True
        ).stdout.splitlines()[-1]
        for _ in range(2)
    ]
    assert "modeling_llama" in said[0]
    assert said[1] == f"{said[0].split(' [')[0]} []"


def test_the_tokenizer_is_the_same(model_folder: ModelFolder, tmp_path: Path) -> None:
    kept = kept_of(tmp_path, model_folder.path)
    first = kept.tokenizer()
    ModelRunner(model_folder.path, CPU, "int8", 1, 200, keep=kept.keep)
    later = kept_of(tmp_path, model_folder.path)
    assert later.load() is not None
    second = later.tokenizer()
    assert type(second) is type(first)
    assert second.init_kwargs == first.init_kwargs
    assert second.chat_template == first.chat_template
    assert second.special_tokens_map == first.special_tokens_map
    assert second.backend_tokenizer.to_str() == first.backend_tokenizer.to_str()


@pytest.mark.parametrize(("name", "damage"), DAMAGES)
def test_what_is_damaged_is_made_anew(name: str, damage: str, cache: Path, model: Path) -> None:
    path = written(cache)[0] / name
    content = path.read_bytes()
    if damage == "gone":
        path.unlink()
    elif damage == "short":
        path.write_bytes(content[: len(content) // 2])
    elif damage == "empty":
        path.write_bytes(b"")
    else:
        half = len(content) // 2
        path.write_bytes(content[:half] + bytes([content[half] ^ 1]) + content[half + 1 :])
    assert not kept_of(cache, model).is_there
    assert kept_of(cache, model).load() is None
    expected = logits(made(cache, model))
    assert torch.equal(logits(loaded(cache, model)), expected)
    assert len(written(cache)) == 1


def test_an_archive_that_cannot_be_read_is_no_reason_not_to_start(
    cache: Path, model: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Though it is what was written down, as after a mistake of ours."""
    folder_kept = written(cache)[0]
    (folder_kept / "whole.pt").write_bytes(b"nothing")
    (folder_kept / "chatstream.json").unlink()
    (folder_kept / "seen.json").unlink()
    kept_module.write_manifest(folder_kept)
    assert kept_of(cache, model).load() is None
    assert "is not used" in caplog.text


@pytest.mark.skipif(os.name != "posix", reason="rights of POSIX")
def test_what_others_can_write_is_not_loaded(cache: Path, model: Path) -> None:
    for path in (written(cache)[0], written(cache)[0] / "whole.pt"):
        mode = path.stat().st_mode
        path.chmod(mode | 0o020)
        assert kept_of(cache, model).load() is None
        path.chmod(mode)
    assert kept_of(cache, model).load() is not None


def test_another_ones_folder_is_not_loaded(cache: Path, model: Path, tmp_path: Path) -> None:
    other = folder(tmp_path / "other", CONFIGS["qwen3"])
    made(cache, other)
    mine = kept_of(cache, model)._folder
    shutil.rmtree(mine)
    shutil.copytree(kept_of(cache, other)._folder, mine)
    assert kept_of(cache, model).load() is None


def test_it_depends_on_all_that_it_was_made_of(
    cache: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not kept_of(cache, model, 100).is_there
    assert not KeptPass(cache, model, CPU, "bfloat16", 200).is_there
    assert not KeptPass(cache, model, torch.device("meta"), "int8", 200).is_there
    for where, name, value in (
        (torch, "__version__", "9.9"),
        (kept_module, "version", lambda name: "9.9"),
        (linear, "has_vnni", lambda: "another"),
        (kept_module, "_digest_of_sources", lambda: "other"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(where, name, value)
            assert not kept_of(cache, model).is_there, name
    assert kept_of(cache, model).is_there
    config = model / "config.json"
    told = json.loads(config.read_text())
    config.write_text(json.dumps({**told, "rms_norm_eps": 0.1}))
    assert not kept_of(cache, model).is_there


def test_only_the_last_used_are_kept(
    cache: Path, tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (cache / "packed" / "tmp-killed").mkdir()
    monkeypatch.setattr(kept_module, "_FOLDERS_KEPT", 2)
    first = written(cache)[0]
    os.utime(first, (1, 1))
    others = [folder(tmp_path / name, CONFIGS["qwen2"]) for name in ("a", "b")]
    made(cache, others[0])
    assert len(written(cache)) == 2
    os.utime(kept_of(cache, others[0])._folder, (2, 2))
    assert kept_of(cache, model).load() is not None  # it is the last used now
    made(cache, others[1])
    assert set(written(cache)) == {first, kept_of(cache, others[1])._folder}


def test_no_more_is_kept_than_there_is_to_be(
    cache: Path, tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On the disk: what was kept before makes room, and what is too large is not kept."""
    first = written(cache)[0]
    size = sum(path.stat().st_size for path in first.iterdir())
    monkeypatch.setattr(kept_module, "_MOST_BYTES", size + size // 2)
    other = folder(tmp_path / "other", CONFIGS["qwen2"])
    made(cache, other)
    assert written(cache) == [kept_of(cache, other)._folder]
    monkeypatch.setattr(kept_module, "_MOST_BYTES", 1000)
    made(cache, model)
    assert written(cache) == [kept_of(cache, other)._folder]


def test_two_at_once_do_not_wait_for_each_other(model: Path, tmp_path: Path) -> None:
    (tmp_path / "packed").mkdir()
    with FileLock(tmp_path / "packed" / "lock"):
        made(tmp_path, model)
    assert not kept_of(tmp_path, model).is_there
    made(tmp_path, model)
    assert kept_of(tmp_path, model).is_there


def test_where_nothing_can_be_written_every_start_makes_it(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    logits(made(tmp_path / "file", model))
    usage = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(kept_module.shutil, "disk_usage", lambda path: usage)
    logits(made(tmp_path, model))
    assert not written(tmp_path)


def test_a_write_that_fails_leaves_nothing(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: Any) -> None:
        raise RuntimeError("PytorchStreamWriter failed writing file data/0: file write failed")

    monkeypatch.setattr(kept_files, "save_file", full)
    logits(made(tmp_path, model))
    assert not written(tmp_path)
