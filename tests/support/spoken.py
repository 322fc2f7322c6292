"""What models of each family write, after their published syntax, and how it is to be read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from streaming.engine.base import Channel, ChatMessage
from streaming.engine.local.answers.answer_reader import AnswerReader
from streaming.engine.local.answers.detokenizer import Part

THOUGHT = "Okay, 2 + 2.\n\nLet me see: 日本 🙂 is <b>not</b> asked."
TEXT = "Four.\n\n```\n2 + 2 = 4\n```\nIs that all? 🙂"


@dataclass(frozen=True, slots=True)
class Spoken:
    """`written` after the prompt that `variables` make; `{}` are the thought and the text."""

    family: str
    written: str
    variables: Mapping[str, Any] = field(default_factory=dict)
    thought: str = THOUGHT
    text: str = TEXT
    asked: str = "What is two plus two?"

    @property
    def raw(self) -> str:
        return self.written.replace("{thought}", self.thought).replace("{text}", self.text)


_TAGS = "<think>\n{thought}\n</think>\n\n{text}"
_OPENED = "{thought}\n</think>\n\n{text}"

SPOKEN = (
    Spoken("qwen3", _TAGS),
    Spoken("qwen3", "{text}", {"enable_thinking": False}, thought=""),
    Spoken("qwen3_5", _OPENED, {"enable_thinking": True}),
    Spoken("qwen3_5", "{text}", {"enable_thinking": False}, thought=""),
    Spoken("deepseek_r1", _OPENED),
    Spoken("deepseek_r1", "\n<think>\n" + _OPENED),  # opened twice: some write it, too
    Spoken("deepseek_v3_1", "{thought}</think>{text}", {"thinking": True}),
    Spoken("deepseek_v3_1", "{text}", thought=""),
    Spoken(
        "harmony",
        "<|channel|>analysis<|message|>{thought}<|end|>"
        "<|start|>assistant<|channel|>final<|message|>{text}",
    ),
    Spoken("harmony", "<|channel|>final<|message|>{text}", thought=""),
    Spoken("glm4", "\n<think>{thought}</think>\n{text}"),
    Spoken("glm4", "\n{text}", {"enable_thinking": False}, thought=""),
    Spoken("mistral_think", "[THINK]{thought}[/THINK]{text}"),
    Spoken("mistral_think", "{text}", thought=""),
    Spoken("nemotron", _OPENED),
    Spoken("nemotron", "{text}", thought="", asked="Two plus two? /no_think"),
    Spoken("lfm2_5", "<think>\n{thought}\n</think>\n{text}"),
    Spoken("granite4", "{text}", thought=""),
    Spoken("gemma2", "{text}", thought=""),
    Spoken("gemma3", "{text}", thought=""),
    Spoken("gemma4", "<|channel>thought\n{thought}\n<channel|>{text}", {"enable_thinking": True}),
    Spoken("gemma4", "{text}", thought=""),
    Spoken("llama3", "{text}", thought=""),
    Spoken("llama4", "{text}", thought=""),
    Spoken("phi4", "<think>{thought}</think>\n{text}"),
    Spoken("smollm3", _TAGS),
    Spoken("command_r", "<|START_THINKING|>{thought}<|END_THINKING|><|START_RESPONSE|>{text}"
           "<|END_RESPONSE|>"),
    Spoken("minimax", _OPENED),
    Spoken("kimi", "<think>{thought}</think>{text}"),
    Spoken("kimi", "{text}", {"thinking": False}, thought=""),
)  # fmt: skip


def prompt_of(tokenizer: Any, messages: Sequence[ChatMessage], **variables: Any) -> list[int]:
    """As transformers makes it."""
    conversation = [{"role": message.role, "content": message.content} for message in messages]
    tokens: list[int] = tokenizer.apply_chat_template(
        conversation, tokenize=True, add_generation_prompt=True, return_dict=False, **variables
    )
    return tokens


def answers_of(tokenizer: Any) -> AnswerReader:
    def decode(tokens: Sequence[int]) -> str:
        text: str = tokenizer.decode(list(tokens), clean_up_tokenization_spaces=False)
        return text

    silent = {token for token, entry in tokenizer.added_tokens_decoder.items() if entry.special}
    source = tokenizer.chat_template or ""
    return AnswerReader(
        tokenizer, source, lambda messages: prompt_of(tokenizer, messages), decode,
        frozenset(silent),
    )  # fmt: skip


def joined(parts: Iterable[Part]) -> tuple[str, str]:
    """All of the thought, and all of the text."""
    found = list(parts)
    return (
        "".join(text for channel, text in found if channel is Channel.REASONING),
        "".join(text for channel, text in found if channel is Channel.TEXT),
    )
