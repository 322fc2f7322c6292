"""Prompts: as the stock template makes them, except that no text can forge a token."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken
from transformers import AutoTokenizer

from streaming.engine.base import ChatMessage, EngineError
from streaming.engine.local.prompts.prompt import PromptBuilder
from streaming.engine.models.store import ModelFolder

IM_START, IM_END = 1, 2


@pytest.fixture(scope="module")
def tokenizer(model_folder: ModelFolder) -> Any:
    return AutoTokenizer.from_pretrained(str(model_folder.path))


@pytest.fixture(scope="module")
def prompts(tokenizer: Any) -> PromptBuilder:
    return PromptBuilder(tokenizer)


def stock(tokenizer: Any, messages: list[ChatMessage]) -> list[int]:
    conversation = [{"role": m.role, "content": m.content} for m in messages]
    ids: list[int] = tokenizer.apply_chat_template(
        conversation, tokenize=True, add_generation_prompt=True, return_dict=False
    )
    return ids


text = st.text(st.characters(codec="utf-8"), max_size=60) | st.text(" \n\tab<|>'_é🙂1", max_size=20)
conversations = st.builds(
    lambda system, turns, last: [
        *([ChatMessage("system", system)] if system is not None else []),
        *(
            message
            for question, answer in turns
            for message in (ChatMessage("user", question), ChatMessage("assistant", answer))
        ),
        ChatMessage("user", last),
    ],
    st.none() | text,
    st.lists(st.tuples(text, text), max_size=3),
    text,
)


@settings(max_examples=300, deadline=None)
@given(messages=conversations)
def test_ordinary_text_is_tokenized_as_the_stock_template_does(
    tokenizer: Any, prompts: PromptBuilder, messages: list[ChatMessage]
) -> None:
    names = [entry.content for entry in tokenizer.added_tokens_decoder.values()]
    if not any(name in message.content for name in names for message in messages):
        assert prompts.encode(messages) == stock(tokenizer, messages)


forged = st.lists(
    st.sampled_from(
        ["<|im_end|>", "<|im_start|>", "<|endoftext|>", "<file_sep>", "<|im_", "end|>", "<|", "|>",
         "\n", "system", "<", ">", " ", "x", "\ue000", "🙂"]
    ),
    max_size=8,
).map("".join)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(system=forged, first=forged, answer=forged, last=forged)
def test_no_text_forges_a_token(
    tokenizer: Any, prompts: PromptBuilder, system: str, first: str, answer: str, last: str
) -> None:
    messages = [
        ChatMessage("system", system),
        ChatMessage("user", first),
        ChatMessage("assistant", answer),
        ChatMessage("user", last),
    ]
    ids = prompts.encode(messages)
    special = [token for token in ids if token in prompts.special_ids]
    assert special == [IM_START, IM_END] * 4 + [IM_START]
    parts = [
        f"system\n{system}", "\n", f"user\n{first}", "\n", f"assistant\n{answer}", "\n",
        f"user\n{last}", "\n", "assistant\n",
    ]  # fmt: skip
    # nothing is lost either: the text between the tokens is what was written
    found: list[list[int]] = [[]]
    for token in ids[1:]:
        if token in prompts.special_ids:
            found.append([])
        else:
            found[-1].append(token)
    assert [tokenizer.decode(part) for part in found] == parts


@settings(max_examples=200, deadline=None)
@given(question=forged, begun=forged)
def test_an_answer_that_goes_on_stands_at_the_end(
    tokenizer: Any, prompts: PromptBuilder, question: str, begun: str
) -> None:
    asked = ChatMessage("user", question)
    ids = prompts.encode([asked, ChatMessage("assistant", begun)])
    special = [token for token in ids if token in prompts.special_ids]
    assert special == [token for token in prompts.encode([asked]) if token in prompts.special_ids]
    last = len(ids) - ids[::-1].index(IM_START)
    assert tokenizer.decode(ids[last:]) == f"assistant\n{begun}"


def test_added_tokens_that_are_not_special_are_covered(model_folder: ModelFolder) -> None:
    """`<think>` and the like: split_special_tokens leaves them whole, this must not."""
    tokenizer = AutoTokenizer.from_pretrained(str(model_folder.path))
    tokenizer.add_tokens([AddedToken("<think>", special=False), AddedToken("    ", special=False)])
    think = tokenizer.convert_tokens_to_ids("<think>")
    prompts = PromptBuilder(tokenizer)
    assert think not in prompts.encode([ChatMessage("user", "a <think> b")])
    assert think in stock(tokenizer, [ChatMessage("user", "a <think> b")])
    code = [ChatMessage("user", "if x:\n    pass")]
    assert prompts.encode(code) == stock(tokenizer, code)


def test_a_template_may_write_added_tokens_itself(model_folder: ModelFolder) -> None:
    tokenizer = AutoTokenizer.from_pretrained(str(model_folder.path))
    tokenizer.chat_template = (
        "{% for m in messages %}<|im_start|>{{ m.content | trim }}|>{% endfor %}<|im_"
    )
    prompts = PromptBuilder(tokenizer)
    plain = [ChatMessage("user", "hello")]
    assert prompts.encode(plain) == stock(tokenizer, plain)
    ids = prompts.encode([ChatMessage("user", " <|im_end "), ChatMessage("user", "end|>")])
    assert [token for token in ids if token in prompts.special_ids] == [IM_START] * 2
    glued = prompts.encode([ChatMessage("user", "<|im_end")])  # the template adds "|>"
    assert IM_END not in glued


def test_lone_surrogates_become_replacement_characters(
    tokenizer: Any, prompts: PromptBuilder
) -> None:
    ids = prompts.encode([ChatMessage("user", "a\ud800b \ud83d\ude42 \udc00")])
    assert "a\ufffdb 🙂 \ufffd<" in tokenizer.decode(ids)


def test_a_template_that_refuses_says_so(model_folder: ModelFolder) -> None:
    tokenizer = AutoTokenizer.from_pretrained(str(model_folder.path))
    tokenizer.chat_template = "{{ raise_exception('roles must alternate') }}"
    with pytest.raises(EngineError, match="roles must alternate") as caught:
        PromptBuilder(tokenizer).encode([ChatMessage("user", "Hi")])
    assert caught.value.code == "invalid_messages"


def test_the_whole_is_kept_to_the_last_token_or_refused(prompts: PromptBuilder) -> None:
    messages = [ChatMessage("user", "Hi " * 50), ChatMessage("assistant", "Hello.")]
    messages.append(ChatMessage("user", "newest"))
    tokens = prompts.encode(messages)
    assert prompts.whole(messages, len(tokens) + 1) == tokens  # an answer of one token fits
    for context in (len(tokens), 8):
        with pytest.raises(EngineError) as caught:
            prompts.whole(messages, context)
        assert caught.value.code == "context_length_exceeded"
        assert f"is {context} tokens, and the messages take {len(tokens)}." in str(caught.value)
    with pytest.raises(EngineError, match="the messages take more") as unread:
        prompts.whole([ChatMessage("user", "x" * 1_000_001)], 8)
    assert unread.value.code == "context_length_exceeded"


def test_the_newest_turn_leaves_an_answer_what_is_left(prompts: PromptBuilder) -> None:
    """Old turns make room for `limit`; what is left of them may fill it up to `most`."""
    story = [ChatMessage("user", "Tell a story."), ChatMessage("assistant", "la " * 90)]
    old = [ChatMessage("user", "Hi"), ChatMessage("assistant", "Hello.")]
    alone = prompts.encode(story)
    size = len(alone)
    assert prompts.fit(story, size - 40, most=size) == (alone, 0)
    assert prompts.fit([*old, *story], size - 40, most=size) == (alone, 2)
    assert prompts.fit([*old, *story], size, most=size + 99) == (alone, 2)
    with pytest.raises(
        EngineError, match=f"takes {size} tokens, and {size - 1} fit.*new"
    ) as caught:
        prompts.fit([*old, *story], size - 40, most=size - 1)
    assert caught.value.code == "context_full"
    with pytest.raises(EngineError, match=r"too long: .* and 20 fit. Send a shorter one") as caught:
        prompts.fit([*story, ChatMessage("user", "la " * 90)], 10, most=20)
    assert caught.value.code == "input_too_long"


def test_trimming_drops_whole_turns_from_the_oldest(prompts: PromptBuilder) -> None:
    messages = [ChatMessage("system", "Be kind.")]
    for number in range(6):
        messages.append(ChatMessage("user", f"question {number} " + "la " * 20))
        messages.append(ChatMessage("assistant", f"answer {number}"))
    messages.append(ChatMessage("user", "newest"))
    whole = len(prompts.encode(messages))
    assert prompts.fit(messages, whole) == (prompts.encode(messages), 0)
    for limit in range(40, whole):
        ids, trimmed = prompts.fit(messages, limit)
        assert len(ids) <= limit
        assert trimmed % 2 == 0
        assert ids == prompts.encode([messages[0], *messages[1 + trimmed :]])
        assert len(prompts.encode([messages[0], *messages[trimmed - 1 :]])) > limit
    with pytest.raises(EngineError) as caught:
        prompts.fit(messages, 10)
    assert caught.value.code == "input_too_long"
    with pytest.raises(EngineError):
        prompts.fit([], 100)
