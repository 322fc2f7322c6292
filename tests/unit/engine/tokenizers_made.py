"""Small tokenizers of the kinds that models have, trained here, with templates of their kinds."""

from __future__ import annotations

import json
from typing import Any

from tokenizers import (
    AddedToken,
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    trainers,
)
from transformers import PreTrainedTokenizerFast

CORPUS = [
    "The quick brown fox jumps over the lazy dog. " * 3,
    "question answer system user assistant la la la mi mi don't I'll we've 12345 67",
    "日本語のテキスト、カフェ café naïve e\u0301 \n\n  indented\tcode(x) = y",
] * 20

_LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)

HEADERS = (
    "{{ bos_token }}{% for m in messages %}<|start_header_id|>{{ m.role }}<|end_header_id|>\n\n"
    "{{ m.content | trim }}<|eot_id|>{% endfor %}{% if add_generation_prompt %}"
    "<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}"
)
INSTRUCTIONS = (
    "{{ bos_token }}{% for m in messages %}{% if m.role == 'assistant' %}{{ m.content }}"
    "{{ eos_token }}{% else %}[INST] {{ m.content }} [/INST]{% endif %}{% endfor %}"
)
PLAIN = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}assistant:"


def byte_level(template: str = HEADERS) -> Any:
    """As Llama 3 has it."""
    made = Tokenizer(models.BPE(ignore_merges=True))
    made.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_LLAMA3), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    made.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    made.train_from_iterator(CORPUS, trainers.BpeTrainer(vocab_size=600, initial_alphabet=alphabet))  # type: ignore[arg-type]
    return _finished(made, template)


def prefixed(template: str = INSTRUCTIONS, *, normalized: bool = False) -> Any:
    """As Llama 2 has it: a normalizer puts a blank before each stretch of text."""
    made = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    made.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    made.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback()])
    bytes_ = [f"<0x{byte:02X}>" for byte in range(256)]
    made.train_from_iterator(
        CORPUS, trainers.BpeTrainer(vocab_size=700, special_tokens=["<unk>", *bytes_])
    )
    state = json.loads(made.to_str())
    state["added_tokens"] = state["added_tokens"][:1]  # bytes are ordinary tokens there
    made = Tokenizer.from_str(json.dumps(state))
    return _finished(made, template, normalized=normalized)


def first_only(template: str = INSTRUCTIONS) -> Any:
    """As newer sentencepiece conversions: only the prompt's first text gets a blank."""
    made = Tokenizer(models.Unigram())
    made.normalizer = normalizers.NFKC()
    made.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    made.decoder = decoders.Metaspace(prepend_scheme="first", split=False)
    made.train_from_iterator(
        CORPUS,
        trainers.UnigramTrainer(vocab_size=300, special_tokens=["<unk>"], unk_token="<unk>"),
    )
    return _finished(made, template)


def _finished(made: Tokenizer, template: str, *, normalized: bool = True) -> Any:
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=made,
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
        additional_special_tokens=["<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"],
    )
    tokenizer.add_tokens(
        [
            AddedToken("<think>", special=False, normalized=normalized),
            AddedToken("<cut>", special=False, normalized=False, lstrip=True, rstrip=True),
            AddedToken("word", special=False, normalized=False, single_word=True),
            AddedToken("    ", special=False, normalized=False),
        ]
    )
    tokenizer.chat_template = template
    return tokenizer
