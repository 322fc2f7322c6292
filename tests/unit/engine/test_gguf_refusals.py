"""What a GGUF file's header says is enough to refuse it: at once, by name, and never by a
traceback."""

from __future__ import annotations

import re
import struct
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest

from streaming.engine.base import EngineError
from streaming.engine.models.gguf.configuration import configuration_of
from streaming.engine.models.gguf.folder import write_gguf_folder
from streaming.engine.models.gguf.header import read_header
from tests.unit.engine.ggufs import CASES, add, write

LLAMA = CASES["llama"]
Change = Callable[[gguf.GGUFWriter, dict[str, Any]], None]


def refused(path: Path, tmp_path: Path) -> EngineError:
    target = tmp_path / "target"
    target.mkdir()
    with pytest.raises(EngineError) as caught:
        write_gguf_folder(path, target, progress=False)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not list(target.iterdir())
    return caught.value


def keyed(**keys: Any) -> Change:
    """Adds keys; a dot is written as two underscores."""

    def change(writer: gguf.GGUFWriter, tensors: dict[str, Any]) -> None:
        for key, value in keys.items():
            key = key.replace("__", ".")
            for shard in writer.kv_data:
                shard.pop(key, None)
            if value is not None:
                add(writer, key, value)

    return change


def added(name: str, shape: tuple[int, ...] = (64,)) -> Change:
    return lambda writer, tensors: tensors.update({name: np.zeros(shape, np.float32)})


def left_out(name: str) -> Change:
    def change(writer: gguf.GGUFWriter, tensors: dict[str, Any]) -> None:
        del tensors[name]

    return change


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (keyed(llama__attention__scale=0.5), r"llama\.attention\.scale"),
        (keyed(llama__logit_scale=2.0), r"llama\.logit_scale"),
        (keyed(llama__attention__sliding_window=128), r"llama\.attention\.sliding_window"),
        (keyed(llama__attn_logit_softcapping=30.0), r"llama\.attn_logit_softcapping"),
        (keyed(llama__something_new=1), r"llama\.something_new"),
        (keyed(llama__expert_used_count=2, llama__expert_count=4),
         r"no place for its tensors .*ffn_gate"),
        (keyed(llama__rope__scaling__type="dynamic"), "dynamic"),
        (keyed(llama__rope__scaling__type="yarn", llama__rope__scaling__factor=4.0), "YaRN"),
        (keyed(llama__rope__scaling__type="yarn", llama__rope__scaling__factor=4.0,
               llama__rope__scaling__original_context_length=128,
               llama__rope__scaling__yarn_attn_factor=0.7), "yarn_attn_factor"),
        (keyed(llama__rope__scaling__yarn_log_multiplier=0.1), "yarn_log_multiplier"),
        (keyed(llama__rope__scaling__attn_factor=1.2), "attn_factor"),
        (keyed(llama__rope__dimension_count=8), "turn 8 of the 16"),
        (keyed(llama__attention__value_length=8), "as long as"),
        (keyed(llama__attention__causal=False), "does not generate"),
        (keyed(llama__nextn_predict_layers=1), "several tokens"),
        (keyed(llama__block_count=0), "block_count is 0"),
        (keyed(llama__attention__head_count=None), r"lacks llama\.attention\.head_count"),
        (keyed(llama__attention__head_count_kv=[1, 2, 2, 1]), "differs between its layers"),
        (keyed(llama__vocab_size=301), "301 tokens"),
        (keyed(general__architecture="mamba"), "architecture mamba"),
        (keyed(general__type="adapter"), "adapter"),
        (keyed(adapter__type="lora"), "adapter"),
        (keyed(general__type="mmproj"), "images"),
        (keyed(general__architecture="clip"), "images"),
        (keyed(general__type="imatrix"), "imatrix"),
        (keyed(split__count=3), "llama-gguf-split"),
        (keyed(tokenizer__ggml__pre="new-one"), "new-one"),
        (keyed(tokenizer__ggml__pre=None), "does not say how it splits"),
        (keyed(tokenizer__ggml__model="rwkv"), "rwkv"),
        (keyed(tokenizer__ggml__merges=None), r"ggml\.merges"),
        (keyed(tokenizer__ggml__token_type=None), r"ggml\.token_type"),
        (keyed(tokenizer__ggml__eos_token_id=300), "none of its tokens"),
        (added("blk.0.attn_sinks.weight"), r"no place for its tensor blk\.0\.attn_sinks"),
        (added("blk.4.attn_q.weight"), r"no place for its tensor blk\.4\.attn_q"),
        (added("blk.1.attn_q.bias"), r"no place for its tensor blk\.1\.attn_q\.bias"),
        (added("rope_freqs.weight", (5,)), "not 8 plain numbers"),
        (left_out("blk.2.ffn_up.weight"), r"lacks the tensor .*layers\.2\.mlp\.up_proj"),
        (left_out("token_embd.weight"), r"token_embd\.weight"),
        (added("blk.0.attn_q.weight", (32, 64)), r"\[32, 64\]"),
    ],
)  # fmt: skip
def test_by_name(change: Change, reason: str, tmp_path: Path) -> None:
    write(LLAMA, tmp_path / "a.gguf", change=change)
    assert re.search(reason, str(refused(tmp_path / "a.gguf", tmp_path)))


def test_what_changes_nothing_is_no_reason(tmp_path: Path) -> None:
    change = keyed(
        general__name="x", general__new_field="y", quantize__imatrix__file="z",
        packager__anything=1, llama__rope__scaling__finetuned=True, llama__expert_count=0,
        llama__attention__causal=True, llama__attention__head_count_kv=[2, 2, 2, 2],
    )  # fmt: skip
    write(LLAMA, tmp_path / "a.gguf", change=change)
    (tmp_path / "target").mkdir()
    write_gguf_folder(tmp_path / "a.gguf", tmp_path / "target", progress=False)


def test_a_part_of_a_model(tmp_path: Path) -> None:
    path = tmp_path / "big-00002-of-00003.gguf"
    write(LLAMA, path)
    assert "part 2 of 3" in str(refused(path, tmp_path))


@pytest.mark.parametrize("kept", [0, 3, 4, 20, 1000, 9000, 0.5, 0.99])
def test_a_file_that_is_cut_short(kept: float, tmp_path: Path) -> None:
    path = tmp_path / "a.gguf"
    write(LLAMA, path)
    content = path.read_bytes()
    path.write_bytes(content[: kept if isinstance(kept, int) else int(kept * len(content))])
    error = refused(path, tmp_path)
    assert error.code == "model_corrupt"
    assert ("cut short" in str(error)) == (kept not in (0, 3))


@pytest.mark.parametrize(
    ("start", "reason"),
    [
        (b"GGML" + bytes(60), "not a GGUF file"),
        (b"GGUF" + struct.pack("<IQQ", 1, 0, 0), "version 1"),
        (b"GGUF" + struct.pack("<IQQ", 99, 0, 0), "version 99"),
        (b"GGUF" + struct.pack(">IQQ", 3, 0, 0), "big-endian"),
        (b"GGUF" + struct.pack("<IQQ", 3, 2**60, 2**60), "cut short"),
        (b"GGUF" + struct.pack("<IQQQ", 3, 0, 1, 2**62), "no end"),
        (b"GGUF" + struct.pack("<IQQQ", 3, 0, 1, 1) + b"a" + struct.pack("<I", 77), "kind 77"),
        (b"GGUF" + struct.pack("<IQQQ", 3, 0, 1, 1) + b"a" + struct.pack("<IIQ", 9, 9, 1),
         "kind 9"),
        (b"GGUF" + struct.pack("<IQQQ", 3, 0, 1, 1) + b"a" + struct.pack("<IIQ", 9, 8, 2**61),
         "cut short"),
        (b"GGUF" + struct.pack("<IQQQ", 3, 0, 1, 1) + b"\xff" + struct.pack("<IB", 0, 1), "UTF-8"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 2) + 2 * (struct.pack("<Q", 1) + b"a\0\0\0\0\1"),
         "twice"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 0) + bytes(50), "architecture"),
    ],
)  # fmt: skip
def test_what_is_no_header(start: bytes, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "a.gguf"
    path.write_bytes(start)
    assert reason in str(refused(path, tmp_path))


def test_any_byte_may_be_wrong(tmp_path: Path) -> None:
    """Whatever stands there, it is read or refused."""
    path = tmp_path / "a.gguf"
    write(LLAMA, path)
    content = bytearray(path.read_bytes())
    end = min(each.offset for each in read_header(path).tensors.values())
    rng = np.random.default_rng(0)
    for at in rng.integers(0, end, 300):
        changed = bytearray(content)
        changed[at] ^= int(rng.integers(1, 256))
        path.write_bytes(changed)
        try:
            configuration_of(read_header(path))
        except EngineError:
            continue


def test_formats_that_cannot_be_read(tmp_path: Path) -> None:
    path = tmp_path / "a.gguf"
    write(LLAMA, path, gguf.GGMLQuantizationType.Q8_0)
    content = path.read_bytes()
    name = b"blk.0.ffn_up.weight"
    at = content.index(name) + len(name) + 4 + 16
    for kind, said in ((36, "IQ1_BN|number 36|TQ"), (4242, "number 4242"), (24, "I8")):
        path.write_bytes(content[:at] + struct.pack("<I", kind) + content[at + 4 :])
        target = tmp_path / f"of-{kind}"
        target.mkdir()
        with pytest.raises(EngineError, match=f"ffn_up.*({said})"):
            write_gguf_folder(path, target, progress=False)


def test_a_vocabulary_is_passed_over(gemma: Path) -> None:
    """262,144 tokens: the gguf package's reader takes 11 s and 700 MB for this header."""
    tracemalloc.start()
    header = read_header(gemma)
    config = configuration_of(header)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 40 << 20
    assert (config["model_type"], config["sliding_window"]) == ("gemma3_text", 512)
    assert config["layer_types"].count("full_attention") == 3
    assert config["query_pre_attn_scalar"] == 256


def test_old_phi3_files_do_not_say_their_window(tmp_path: Path) -> None:
    case = CASES["phi3"]
    keys = {key: value for key, value in case.keys.items() if "window" not in key}
    write(replace(case, keys=keys), tmp_path / "a.gguf")
    assert "phi3.attention.sliding_window" in str(refused(tmp_path / "a.gguf", tmp_path))
