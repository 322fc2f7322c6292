"""Tiny tokenizers with the added tokens of published models, and templates after their syntax.

The templates (`tests/support/chat_templates/`) are written anew; names of tokens, and which
are special, are as the models have them. What stands between the tokens is a byte-level BPE
trained here.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

_TEMPLATES = Path(__file__).parent / "chat_templates"

_CORPUS = [
    "The quick brown fox jumps over the lazy dog and thinks about it. " * 3,
    "system user assistant analysis final question answer thought reasoning think about the sum",
    "日本語のテキスト、カフェ café naïve e\u0301 \n\n  indented\tcode(x) = y",
] * 20

_CHATML = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
_THINK = ("<think>", "</think>")
_QWEN = (*_THINK, "<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>")
_GEMMA = ("<table>", "</table>", "<b>", "</b>", "<code>", "\n\n", "<unused0>", "[multimodal]")


@dataclass(frozen=True, slots=True)
class Family:
    """`special` and `ordinary`: its added tokens. `thought`: the field of a message in which its
    template reads a thought, `inline` where only tags in the content, `parts` where it is a part of
    it, empty where it reads none. `off` and `on`: what switches thinking, by its publisher; `soft`:
    what the system message says to have none."""

    special: tuple[str, ...]
    ordinary: tuple[str, ...] = ()
    bos: str | None = None
    eos: str | None = None
    thought: str = ""
    tags: tuple[str, str] | None = None
    off: tuple[tuple[str, Any], ...] = ()
    on: tuple[tuple[str, Any], ...] = ()
    soft: str = ""


FAMILIES = {
    "qwen3": Family(
        _CHATML, _QWEN, None, "<|im_end|>", "reasoning_content", _THINK,
        (("enable_thinking", False),), (("enable_thinking", True),),
    ),
    "qwen3_5": Family(
        _CHATML, _QWEN, None, "<|im_end|>", "reasoning_content", _THINK,
        (("enable_thinking", False),), (("enable_thinking", True),),
    ),
    "deepseek_r1": Family(
        ("<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>"),
        ("<｜User｜>", "<｜Assistant｜>", *_THINK, "<｜tool▁calls▁begin｜>"),
        "<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>", "inline", _THINK,
    ),
    "deepseek_v3_1": Family(
        ("<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>"),
        ("<｜User｜>", "<｜Assistant｜>", *_THINK, "<｜tool▁calls▁begin｜>"),
        "<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>", "inline", _THINK,
        (("thinking", False),), (("thinking", True),),
    ),
    "harmony": Family(
        ("<|startoftext|>", "<|endoftext|>", "<|return|>", "<|constrain|>", "<|channel|>",
         "<|start|>", "<|end|>", "<|message|>", "<|call|>"),
        (), "<|startoftext|>", "<|return|>", "thinking", None,
    ),
    "glm4": Family(
        ("<|endoftext|>", "[MASK]", "[gMASK]", "<sop>", "<|system|>", "<|user|>", "<|assistant|>",
         "<|observation|>"),
        (*_THINK, "/nothink", "<tool_call>", "</tool_call>", "<arg_key>", "</arg_key>"),
        None, "<|endoftext|>", "reasoning_content", _THINK,
        (("enable_thinking", False),), (("enable_thinking", True),),
    ),
    "mistral_think": Family(
        ("<s>", "</s>", "[INST]", "[/INST]", "[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]", "[THINK]",
         "[/THINK]", "[TOOL_CALLS]"),
        (), "<s>", "</s>", "parts", ("[THINK]", "[/THINK]"),
    ),
    "nemotron": Family(
        ("<s>", "</s>", "<SPECIAL_10>", "<SPECIAL_11>", "<SPECIAL_12>"), _THINK, "<s>",
        "<SPECIAL_12>", "inline", _THINK, soft="/no_think",
    ),
    "lfm2_5": Family(
        ("<|startoftext|>", *_CHATML, "<|tool_list_start|>", "<|tool_list_end|>"), _THINK,
        "<|startoftext|>", "<|im_end|>", "inline", _THINK,
    ),
    "granite4": Family(
        ("<|end_of_text|>", "<|start_of_role|>", "<|end_of_role|>"), ("<tools>", "</tools>"),
        "<|end_of_text|>", "<|end_of_text|>",
    ),
    "gemma2": Family(
        ("<bos>", "<eos>", "<start_of_turn>", "<end_of_turn>"), _GEMMA, "<bos>", "<eos>",
    ),
    "gemma3": Family(
        ("<bos>", "<eos>", "<start_of_turn>", "<end_of_turn>", "<start_of_image>"), _GEMMA, "<bos>",
        "<eos>",
    ),
    "gemma4": Family(
        ("<bos>", "<eos>", "<|turn>", "<turn|>", "<|channel>", "<channel|>", "<|think|>",
         "<|tool_call>", "<tool_call|>"),
        _GEMMA, "<bos>", "<turn|>", "inline", ("<|channel>thought\n", "<channel|>"),
        (("enable_thinking", False),), (("enable_thinking", True),),
    ),
    "llama3": Family(
        ("<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>",
         "<|eot_id|>", "<|eom_id|>", "<|python_tag|>"),
        (), "<|begin_of_text|>", "<|eot_id|>",
    ),
    "llama4": Family(
        ("<|begin_of_text|>", "<|end_of_text|>", "<|header_start|>", "<|header_end|>", "<|eot|>",
         "<|eom|>", "<|image|>"),
        (), "<|begin_of_text|>", "<|eot|>",
    ),
    "phi4": Family(
        (*_CHATML, "<|im_sep|>", *_THINK), (), "<|endoftext|>", "<|im_end|>", "", _THINK,
    ),
    "smollm3": Family(
        ("<|begin_of_text|>", "<|end_of_text|>", "<|im_start|>", "<|im_end|>"), _QWEN,
        "<|begin_of_text|>", "<|im_end|>", "", _THINK,
        (("enable_thinking", False),), (("enable_thinking", True),),
    ),
    "command_r": Family(
        ("<BOS_TOKEN>", "<EOS_TOKEN>", "<|START_OF_TURN_TOKEN|>", "<|END_OF_TURN_TOKEN|>",
         "<|USER_TOKEN|>", "<|CHATBOT_TOKEN|>", "<|SYSTEM_TOKEN|>"),
        ("<|START_THINKING|>", "<|END_THINKING|>", "<|START_RESPONSE|>", "<|END_RESPONSE|>",
         "<|START_ACTION|>", "<|END_ACTION|>"),
        "<BOS_TOKEN>", "<|END_OF_TURN_TOKEN|>", "thinking",
        ("<|START_THINKING|>", "<|END_THINKING|>"),
        (("reasoning", False),), (("reasoning", True),),
    ),
    "minimax": Family(
        ("]~!b[", "]~b]", "[e~[", "<fim_prefix>"),
        (*_THINK, "<minimax:tool_call>", "</minimax:tool_call>"),
        "]~!b[", "[e~[", "reasoning_content", _THINK,
    ),
    "kimi": Family(
        ("[BOS]", "[EOS]", "<|im_user|>", "<|im_assistant|>", "<|im_system|>", "<|im_middle|>",
         "<|im_end|>"),
        (*_THINK, "<|tool_calls_section_begin|>"), "[BOS]", "<|im_end|>", "reasoning_content",
        _THINK, (("thinking", False),), (("thinking", True),),
    ),
}  # fmt: skip


def template_of(family: str) -> str:
    """The source of its chat template."""
    return (_TEMPLATES / f"{family}.jinja").read_text(encoding="utf-8")


@cache
def _trained() -> str:
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=600, initial_alphabet=alphabet, show_progress=False)  # type: ignore[arg-type]
    made.train_from_iterator(_CORPUS, trainer)
    return made.to_str()


@cache
def tokenizer_of(family: str) -> Any:
    """Its tokenizer, with its chat template; shared, so not to be changed."""
    it = FAMILIES[family]
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(_trained()), bos_token=it.bos, eos_token=it.eos
    )
    tokenizer.add_tokens([AddedToken(name, special=True, normalized=False) for name in it.special])
    tokenizer.add_tokens([AddedToken(n, special=False, normalized=False) for n in it.ordinary])
    tokenizer.chat_template = template_of(family)
    return tokenizer


def save_thinking_model(folder: Path, *, layers: int, context: int) -> None:
    """Write a tiny model whose template opens a thought; what it says is noise, but always the
    same."""
    tokenizer = tokenizer_of("deepseek_r1")
    config = Qwen3Config(
        vocab_size=len(tokenizer), hidden_size=32, intermediate_size=32, num_hidden_layers=layers,
        num_attention_heads=2, num_key_value_heads=1, head_dim=16, max_position_embeddings=context,
    )  # fmt: skip
    torch.manual_seed(1)
    Qwen3ForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
