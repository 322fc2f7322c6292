"""The tokenizer that is made of a GGUF file's vocabulary gives the tokens of the one that the file
was written from."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf
import pytest
from tokenizers import (
    AddedToken,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    trainers,
)

from streaming.engine.base import EngineError
from streaming.engine.models.gguf import pretokenizers
from streaming.engine.models.gguf.folder import write_gguf_folder
from streaming.engine.models.gguf.header import read_header
from streaming.engine.models.gguf.tokenizer import tokenizer_of
from tests.unit.engine.ggufs import CASES, write
from tests.unit.engine.tokenizers_made import CORPUS

TEXTS = [
    *CORPUS[:3], "", " ", "  two  blanks", "I'LL 2024-11-30\r\n\r\n", "<eos>he<bos>",
    "🎉x\u00a0y", "<think>so</think> <b>bold</b>",
]  # fmt: skip


def byte_level() -> Tokenizer:
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    made.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer: Any = trainers.BpeTrainer(vocab_size=500, initial_alphabet=alphabet)
    made.train_from_iterator(CORPUS, trainer)
    return with_added(made)


def sentencepiece() -> Tokenizer:
    """As Llama 2 has it: a blank before each stretch of text."""
    made = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    made.normalizer = normalizers.Sequence(
        [normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")]
    )
    made.decoder = decoders.Sequence(
        [decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse(),
         decoders.Strip(content=" ", left=1)]
    )  # fmt: skip
    bytes_ = [f"<0x{byte:02X}>" for byte in range(256)]
    trainer: Any = trainers.BpeTrainer(vocab_size=600, special_tokens=["<unk>", *bytes_])
    made.train_from_iterator(CORPUS, trainer)
    state = json.loads(made.to_str())
    state["added_tokens"] = state["added_tokens"][:1]
    return with_added(Tokenizer.from_str(json.dumps(state)))


def with_added(made: Tokenizer) -> Tokenizer:
    made.add_special_tokens([AddedToken(each, normalized=False) for each in ("<bos>", "<eos>")])
    made.add_tokens([AddedToken(each, normalized=False) for each in ("<think>", "</think>", "<b>")])
    return made


def written(made: Tokenizer, path: Path, **keys: Any) -> None:
    """A model with this vocabulary. A key that is None is left out."""
    state = json.loads(made.to_str())
    added = {each["id"]: each["special"] for each in state["added_tokens"]}
    tokens = [made.id_to_token(at) or "" for at in range(made.get_vocab_size())]
    merges = [" ".join(each) for each in state["model"]["merges"]]
    is_bytes = state["model"]["byte_fallback"]
    # What is merged first has the highest score.
    ranks = {"".join(each): -at for at, each in reversed([*enumerate(state["model"]["merges"])])}

    def change(writer: gguf.GGUFWriter, tensors: dict[str, Any]) -> None:
        for shard in writer.kv_data:
            for key in [key for key in shard if key.startswith("tokenizer.")]:
                del shard[key]
            shard.pop("llama.vocab_size")
        writer.add_tokenizer_model("llama" if is_bytes else "gpt2")
        writer.add_token_list(tokens)
        writer.add_token_types(
            [{None: 1, True: 3, False: 4}[added.get(at)] for at in range(len(tokens))]
        )
        if is_bytes:
            writer.add_token_scores([float(ranks.get(token, -1e6)) for token in tokens])
        else:
            writer.add_token_merges(merges)
        told = {"pre": "default" if is_bytes else "gpt-2", "bos_token_id": tokens.index("<bos>"),
                "eos_token_id": tokens.index("<eos>"), **keys}  # fmt: skip
        for key, value in told.items():
            call: Any = writer.add_string if isinstance(value, str) else writer.add_uint32
            call = writer.add_bool if isinstance(value, bool) else call
            if value is not None:
                call(key if "." in key else f"tokenizer.ggml.{key}", value)
        table = tensors["token_embd.weight"]
        tensors["token_embd.weight"] = table.repeat(4, 0)[: len(tokens)]
        tensors["output.weight"] = tensors["token_embd.weight"]

    write(CASES["llama"], path, change=change)


@pytest.mark.parametrize("make", [byte_level, sentencepiece])
def test_tokens_are_the_same(make: Callable[[], Tokenizer], tmp_path: Path) -> None:
    made, path = make(), tmp_path / "a.gguf"
    written(made, path, add_bos_token=False)
    found = tokenizer_of(read_header(path))
    for text in TEXTS:
        ids = made.encode(text, add_special_tokens=False).ids
        assert found.encode(text) == ids, text
        assert found.decode(ids) == made.decode(ids, skip_special_tokens=False)
    assert set(found.all_special_tokens) - {"<unk>"} == {"<bos>", "<eos>"}
    assert {"<think>", "</think>", "<b>", "<eos>"} <= set(found.get_added_vocab())


@pytest.mark.parametrize(
    ("split", "pieces"),
    [
        ("gpt-2", ["It", "'s", "Ġ12345", "ĠDO", "'", "LL"]),
        ("smollm", ["1", "2", "3", "4", "5"]),
        ("llama-bpe", ["Ġ", "123", "45", "'LL"]),
        ("qwen2", ["Ġ", "1", "2", "3", "4", "5", "'LL"]),
        ("gpt-4o", ["It's", "Ġ", "123", "45", "ĠDO'LL"]),
        ("tekken", ["It", "'s", "Ġ", "1", "2"]),
        ("deepseek-v3", ["Ġ", "123", "45"]),
    ],
)
def test_text_is_split_as_the_file_names_it(split: str, pieces: list[str], tmp_path: Path) -> None:
    path = tmp_path / "a.gguf"
    written(byte_level(), path, pre=split)
    found = tokenizer_of(read_header(path)).backend_tokenizer
    text = "It's 12345 二 DO'LL  \n"
    split_up = [piece for piece, _ in found.pre_tokenizer.pre_tokenize_str(text)]
    assert "".join(split_up) == pre_tokenizers.ByteLevel(False, use_regex=False).pre_tokenize_str(
        text
    )[0][0]  # fmt: skip
    assert [piece for piece in pieces if piece in split_up] == pieces, split_up
    assert found.model.ignore_merges == (split in ("llama-bpe", "tekken"))


def test_every_split_can_be_made(tmp_path: Path) -> None:
    path = tmp_path / "a.gguf"
    written(byte_level(), path)
    header = read_header(path)
    for split in pretokenizers.SPLITS:
        header.metadata["tokenizer.ggml.pre"] = split
        found = tokenizer_of(header)
        assert found.decode(found.encode("abc 12", add_special_tokens=False)) == "abc 12", split


@pytest.mark.parametrize(
    ("make", "keys", "begins"),
    [
        (byte_level, {}, False),
        (byte_level, {"pre": "llama-bpe"}, True),
        (byte_level, {"pre": "llama-bpe", "add_bos_token": False}, False),
        (byte_level, {"add_bos_token": True}, True),
        (sentencepiece, {}, True),
        (sentencepiece, {"add_bos_token": False}, False),
    ],
)
def test_whether_a_text_begins_with_bos(
    make: Callable[[], Tokenizer], keys: dict[str, Any], begins: bool, tmp_path: Path
) -> None:
    written(make(), tmp_path / "a.gguf", **keys)
    found = tokenizer_of(read_header(tmp_path / "a.gguf"))
    assert (found.encode("Hi")[0] == found.bos_token_id) == begins


def test_a_blank_in_front_is_the_files_to_say(tmp_path: Path) -> None:
    for said, text in ((None, "\u2581la"), (True, "\u2581la"), (False, "la")):
        path = tmp_path / f"{said}.gguf"
        written(sentencepiece(), path, add_space_prefix=said)
        found = tokenizer_of(read_header(path))
        ids = found.encode("la", add_special_tokens=False)
        assert "".join(found.convert_ids_to_tokens(ids)) == text
        assert found.decode(ids) == "la"


def test_what_ends_an_answer_and_how_it_is_sampled(tmp_path: Path) -> None:
    path = tmp_path / "a.gguf"
    keys = {"tokenizer.ggml.eot_token_id": 3, "tokenizer.ggml.eom_token_id": 4,
            "tokenizer.ggml.padding_token_id": 5, "general.sampling.top_k": 20}  # fmt: skip
    made = byte_level()
    written(made, path, **keys)
    target = tmp_path / "a"
    target.mkdir()
    write_gguf_folder(path, target, progress=False)
    eos = made.token_to_id("<eos>")
    assert json.loads((target / "generation_config.json").read_text()) == {
        "bos_token_id": made.token_to_id("<bos>"), "pad_token_id": 5,
        "eos_token_id": [eos, 3, 4], "do_sample": True, "top_k": 20,
    }  # fmt: skip
    assert json.loads((target / "config.json").read_text())["eos_token_id"] == [eos, 3, 4]


def test_several_templates(tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    path = tmp_path / "a.gguf"
    templates = {"tokenizer.chat_template": "one", "tokenizer.chat_template.tool_use": "two"}
    written(byte_level(), path, **templates)
    target = tmp_path / "a"
    target.mkdir()
    write_gguf_folder(path, target, progress=False)
    found: Any = AutoTokenizer.from_pretrained(target)
    assert found.chat_template == {"default": "one", "tool_use": "two"}
    assert all(each.is_file() for each in target.iterdir())  # what a manifest can have


def test_a_token_that_is_there_twice(tmp_path: Path) -> None:
    written(byte_level(), tmp_path / "a.gguf")
    content = (tmp_path / "a.gguf").read_bytes()
    (tmp_path / "a.gguf").write_bytes(content.replace(b"</think>", b"<think>\0", 1))
    tokenizer_of(read_header(tmp_path / "a.gguf"))  # another one, so no reason
    (tmp_path / "a.gguf").write_bytes(content.replace(b"<bos>", b"<eos>", 1))
    with pytest.raises(EngineError, match="a token twice"):
        tokenizer_of(read_header(tmp_path / "a.gguf"))


def test_gemma(gemma: Path) -> None:
    """The real one: blanks, HTML and bytes."""
    found = tokenizer_of(read_header(gemma))
    assert found.encode("Hello world") == [2, 9259, 1902]
    for text in ("  two  blanks\n\n\tx", "<b>x</b> 12345", "日本語 🎉 \u0378"):
        assert found.decode(found.encode(text, add_special_tokens=False)) == text
    assert found.encode("<b>", add_special_tokens=False) == [200]
    assert found.chat_template is None
