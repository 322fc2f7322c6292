"""Prompts in pieces: the same tokens, and the same turns left out, as of whole texts."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer

from streaming.engine.base import ChatMessage, EngineError
from streaming.engine.local.prompts.prompt import PromptBuilder
from streaming.engine.local.prompts.token_cache import TokenCache
from streaming.engine.models.store import ModelFolder
from tests.unit.engine import tokenizers_made as made
from tests.unit.engine.plain_prompts import PlainPrompts

THINKING = (
    "{% for m in messages %}<|start_header_id|>{{ m.role }}<think> "
    "{{ m.content.split('</x>')[-1] }}<cut>\n word <|eot_id|> {% endfor %}"
    "<|start_header_id|>assistant <cut>"
)

KINDS = [
    *((kind, template) for kind in ("byte_level", "prefixed", "first_only")
      for template in (made.HEADERS, made.INSTRUCTIONS, made.PLAIN, THINKING)),
    ("default", ""),
]  # fmt: skip


@cache
def both(kind: str, template: str, folder: str) -> tuple[Any, PromptBuilder, PlainPrompts]:
    if kind == "default":
        tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    else:
        tokenizer = getattr(made, kind)(template)
    return tokenizer, PromptBuilder(tokenizer), PlainPrompts(tokenizer)


piece = st.sampled_from(
    ["<|eot_id|>", "<think>", "<cut>", "word", "words", "    ", " ", "\n", "</s>", "<", "the fox",
     "la la", "日本", "e\u0301", "🙂", "'ll", "123", "\ue000", "</x>", "[INST]", "\ud800"]
)  # fmt: skip
text = st.lists(piece, max_size=8).map("".join) | st.text(max_size=20)
role = st.sampled_from(["system", "user", "assistant"])
messages = st.lists(st.builds(ChatMessage, role, text), min_size=1, max_size=12)


def outcome(function: Any, *args: Any) -> Any:
    try:
        return function(*args)
    except EngineError as error:
        return error.code, str(error)


@pytest.mark.parametrize(("kind", "template"), KINDS)
@settings(max_examples=60, deadline=None)
@given(messages=messages, limit=st.integers(1, 150))
def test_they_equal_those_of_whole_texts(
    model_folder: ModelFolder, kind: str, template: str, messages: list[ChatMessage], limit: int
) -> None:
    _, prompts, plain = both(kind, template, str(model_folder.path))
    if messages[0].role == "assistant" and len(messages) == 1:
        assert outcome(prompts.encode, messages)[0] == "invalid_messages"
        return
    assert outcome(prompts.encode, messages) == outcome(plain.encode, messages)
    expected, found = outcome(plain.fit, messages, limit), outcome(prompts.fit, messages, limit)
    if expected[0] != "invalid_messages":
        assert found == expected
    else:
        assert found[0] == "invalid_messages"


@pytest.mark.parametrize(("kind", "template"), KINDS)
@settings(max_examples=30, deadline=None)
@given(messages=messages)
def test_they_equal_those_of_apply_chat_template(
    model_folder: ModelFolder, kind: str, template: str, messages: list[ChatMessage]
) -> None:
    tokenizer, prompts, _ = both(kind, template, str(model_folder.path))
    names = [entry.content for entry in tokenizer.added_tokens_decoder.values()]
    if messages[-1].role == "assistant" or any(
        name in m.content or "\ud800" in m.content
        for name in names for m in messages
    ):  # fmt: skip
        return
    conversation = [{"role": m.role, "content": m.content} for m in messages]
    assert prompts.encode(messages) == tokenizer.apply_chat_template(
        conversation, tokenize=True, add_generation_prompt=True, return_dict=False
    )


def test_a_name_that_is_text_to_the_tokenizer_stays_text() -> None:
    """Its normalizer puts a blank before each stretch of text, and so before the token's name."""
    tokenizer = made.prefixed("{{ messages[0].content }} a<think> b", normalized=True)
    plain = [ChatMessage("user", "la")]
    assert PromptBuilder(tokenizer).encode(plain) == tokenizer.apply_chat_template(
        [{"role": "user", "content": "la"}], add_generation_prompt=True, return_dict=False
    )


def test_each_message_is_tokenized_once(
    model_folder: ModelFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompts = PromptBuilder(AutoTokenizer.from_pretrained(str(model_folder.path)))
    asked: list[str] = []
    renamed = prompts._renamed

    class Noting:
        def encode_batch_fast(self, texts: list[str], **arguments: Any) -> Any:
            asked.extend(texts)
            return renamed.encode_batch_fast(texts, **arguments)

    monkeypatch.setattr(prompts, "_renamed", Noting())
    messages = []
    for number in range(400):
        messages += [ChatMessage("user", f"question {number} " + "la " * 300),
                     ChatMessage("assistant", f"answer {number} " + "mi " * 300)]  # fmt: skip
    messages.append(ChatMessage("user", "newest"))
    ids, trimmed = prompts.fit(messages, 3000)
    assert 0 < len(ids) <= 3000
    assert trimmed > 780
    assert sum(map(len, asked)) < 3 * 3000 * 4  # about what fits, of 730,000 characters
    assert len(asked) == len(set(asked))
    asked.clear()
    answered = [*messages, ChatMessage("assistant", "yes"), ChatMessage("user", "and now?")]
    prompts.fit(answered, 3000)
    assert sum(map(len, asked)) < 1000  # what is new


def test_what_nobody_asks_for_any_more_is_forgotten() -> None:
    pieces = TokenCache(10_000)
    for number in range(100):
        pieces.put((1, f"text {number}", 2), range(100))
        assert pieces._bytes <= 10_000
        assert pieces.get((1, "text 0", 2)) is not None  # the one that is asked for stays
    assert pieces.get((1, "text 50", 2)) is None
    assert pieces.get((1, "text 0", None)) is None
    pieces.put((1, "x" * 20_000, 2), [1])
    assert pieces.get((1, "x" * 20_000, 2)) is None


def test_a_huge_conversation_is_cut_before_it_is_rendered(model_folder: ModelFolder) -> None:
    prompts = PromptBuilder(AutoTokenizer.from_pretrained(str(model_folder.path)))
    messages = [ChatMessage("system", "Be kind.")]
    messages += [ChatMessage("user", "la " * 10_666)] * 999
    messages += [ChatMessage("user", "newest")]
    ids, trimmed = prompts.fit(messages, 3000)
    assert trimmed == 999
    assert ids == prompts.encode([messages[0], messages[-1]])
