"""Prompts of twenty families: token for token as transformers makes them of ordinary texts, with
thoughts, options and answers that go on; and nobody's text is a token of theirs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streaming.engine.base import ChatMessage, EngineError, Thinking
from streaming.engine.local.prompts.prompt import PromptBuilder
from tests.support.thinking_tokenizers import FAMILIES, template_of, tokenizer_of

TEXTS = ["What is 7 × 6?", "  Spaces, é日本 🙂\n\n```py\nx = 1\n```", "one\ntwo \u2028", "la la."]
SYSTEM = "Be kind.\nAnswer in 日本語."
Q, A, T = TEXTS[0], TEXTS[3], "It is six and seven.\n\nSo 42."


STRIPPING = ("deepseek_r1", "deepseek_v3_1", "nemotron", "gemma4")
"""Their templates cut thoughts out of all answers, the newest one, too."""


@cache
def prompts_of(family: str) -> PromptBuilder:
    return PromptBuilder(tokenizer_of(family))


def user(text: str = Q) -> ChatMessage:
    return ChatMessage("user", text)


def answer(text: str = A, thought: str = "") -> ChatMessage:
    return ChatMessage("assistant", text, reasoning=thought)


def marked(family: str, thought: str, text: str) -> str:
    """As the model wrote it, and as clients keep it that know of no thoughts."""
    tags = FAMILIES[family].tags
    assert tags is not None
    if family not in ("qwen3", "qwen3_5", "nemotron", "lfm2_5", "smollm3", "minimax", "gemma4"):
        return f"{tags[0]}{thought}{tags[1]}{text}"
    blank = "" if tags[0].endswith("\n") else "\n"
    return f"{tags[0]}{blank}{thought}\n{tags[1]}\n\n{text}"


def as_transformers(family: str, messages: Sequence[ChatMessage]) -> list[dict[str, Any]]:
    """The conversation in the form that the family's template reads, by its publisher."""
    it, made = FAMILIES[family], []
    for at, message in enumerate(messages):
        said: dict[str, Any] = {"role": message.role, "content": message.content}
        thought, is_last = message.reasoning, at == len(messages) - 1
        if thought and it.thought == "parts":
            said["content"] = [
                {"type": "thinking", "thinking": thought},
                {"type": "text", "text": message.content},
            ]
        elif is_last and family in STRIPPING:
            pass  # transformers cannot go on with what the template cuts
        elif thought and (it.thought == "inline" or (is_last and it.tags and not it.thought)):
            said["content"] = marked(family, thought, message.content)
        elif thought and it.thought:
            said[it.thought] = thought
        made.append(said)
    if family == "gemma2" and made[0]["role"] == "system":
        system = made.pop(0)["content"]
        made[0]["content"] = f"{system}\n\n{made[0]['content']}"
    return made


def stock(family: str, messages: Sequence[ChatMessage], **how: Any) -> list[int]:
    how = how if "continue_final_message" in how else {"add_generation_prompt": True, **how}
    ids: list[int] = tokenizer_of(family).apply_chat_template(
        as_transformers(family, messages), tokenize=True, return_dict=False, **how
    )
    return ids


def text_of(family: str, tokens: Sequence[int]) -> str:
    return str(tokenizer_of(family).decode(list(tokens), skip_special_tokens=False))


CONVERSATIONS = [
    [user()],
    [user(TEXTS[1]), answer(TEXTS[1]), user(TEXTS[2])],
    [user(), answer(A, T), user("And 8 × 6?")],
    [user(), answer(A, T), user(), answer("", T), user(), answer(A), user(TEXTS[1])],
    [user(""), answer(""), user("")],
]


@pytest.mark.parametrize("family", FAMILIES)
def test_conversations(family: str) -> None:
    prompts = prompts_of(family)
    prompts.template.check()
    for messages in CONVERSATIONS:
        assert prompts.encode(messages) == stock(family, messages)
        begun = [ChatMessage("system", SYSTEM), *messages]
        assert prompts.encode(begun) == stock(family, begun)


@pytest.mark.parametrize("family", FAMILIES)
def test_an_answer_that_goes_on(family: str) -> None:
    prompts = prompts_of(family)
    for before in ([user()], [ChatMessage("system", SYSTEM), user(), answer(A, T), user(TEXTS[1])]):
        for last in (answer("Forty"), answer("Forty-two is\n- the", T)):
            messages = [*before, last]
            expected = stock(family, messages, continue_final_message=True)
            assert prompts.encode(messages) == expected
            assert text_of(family, expected).endswith(last.content)
        # blanks at its end are the model's own, and the next token follows them
        blank = prompts.encode([*before, answer("Forty two ")])
        assert (
            text_of(family, blank)
            == text_of(family, prompts.encode([*before, answer("Forty two")])) + " "
        )


INSIDE = {
    "deepseek_r1": "<｜Assistant｜><think>\n",
    "deepseek_v3_1": "<｜Assistant｜><think>",
    "mistral_think": "[/INST][THINK]",
    "nemotron": "<SPECIAL_11>Assistant\n<think>\n",
    "lfm2_5": "<|im_start|>assistant\n<think>\n",
    "gemma4": "<|turn>model\n<|channel>thought\n",
    "phi4": "<|im_start|>assistant<|im_sep|><think>",
    "smollm3": "<|im_start|>assistant\n<think>\n",
}


@pytest.mark.parametrize("family", [name for name, it in FAMILIES.items() if it.tags or it.thought])
@pytest.mark.parametrize("effort", ["auto", "off", "high"])
def test_a_thought_that_goes_on(family: str, effort: Any) -> None:
    messages = [user(), answer(A, T), user(), answer("", "Now eight and")]
    tokens = prompts_of(family).encode(messages, Thinking(effort))
    if family not in INSIDE:
        on = dict(FAMILIES[family].on if effort == "high" else ())
        if family == "harmony" and effort == "high":
            on = {"reasoning_effort": "high"}
        name = "reasoning_content"
        conversation = as_transformers(family, messages)
        conversation[-1] = {"role": "assistant", "content": "", name: "Now eight and"}
        expected = tokenizer_of(family).apply_chat_template(
            conversation, tokenize=True, return_dict=False, continue_final_message=name, **on
        )
        assert tokens == expected
        return
    # no published way, so by what its model writes itself
    tokenizer = tokenizer_of(family)
    plain = tokenizer.encode("Now eight and", add_special_tokens=False)
    opening = tokenizer.encode(INSIDE[family], add_special_tokens=False)
    assert tokens[-len(opening + plain) :] == opening + plain
    assert text_of(family, tokens).count(INSIDE[family] + "Now eight and") == 1
    question = prompts_of(family).encode(
        messages[:3], Thinking("auto" if effort == "off" else effort)
    )
    common = len(tokens) - len(opening + plain)
    assert tokens[:common] == question[:common]


def test_a_thought_that_nobody_can_go_on_with_is_begun_anew() -> None:
    """It was another model's."""
    messages = [user(), answer("", "It is")]
    assert prompts_of("llama3").encode(messages) == stock("llama3", [user()])


@pytest.mark.parametrize("family", [name for name, it in FAMILIES.items() if it.tags])
def test_thoughts_that_a_client_left_in_the_text(family: str) -> None:
    """Clients that know of no thoughts send them back as they came; the same becomes of them as
    with transformers, where that takes them for thoughts."""
    prompts = prompts_of(family)
    raw = marked(family, T, A)
    messages = [user(), answer(raw), user("And 8 × 6?")]
    if family in ("kimi", "command_r"):  # their templates would put the thought into the answer
        rest = [user(), answer(A, T), user("And 8 × 6?")]
        assert prompts.encode(messages) == prompts.encode(rest)
    else:
        assert prompts.encode(messages) == stock(family, messages)
    inside = prompts.encode([user(), answer("", "It is six")])
    cut = marked(family, "It is six", "").partition("It is six")[0] + "It is six"
    assert prompts.encode([user(), answer(cut)]) == inside
    if family in ("deepseek_r1", "qwen3_5", "minimax", "nemotron"):  # the prompt has opened it
        end = FAMILIES[family].tags[1]  # type: ignore[index]
        messages = [user(), answer(f"{T}\n{end}\n\n{A}"), user()]
        assert prompts.encode(messages) == stock(family, messages)
        assert T not in text_of(family, prompts.encode(messages))
        text = f"A thought ends with {end} there."
        assert text in text_of(family, prompts.encode([user(), answer(text), user()]))
    # anywhere else it is what people speak of
    quoting = answer(f"The tag {raw}")
    found = prompts.encode([user(), quoting, user()])
    tokens = Counter(found) - Counter(prompts.encode([user(), answer("The tag"), user()]))
    control = set(prompts._secrets)
    assert not control.intersection(tokens)
    assert T in text_of(family, found)


@pytest.mark.parametrize("family", [name for name, it in FAMILIES.items() if it.off])
def test_thinking_is_switched_as_its_publisher_says(family: str) -> None:
    it, messages = FAMILIES[family], [ChatMessage("system", SYSTEM), user(), answer(A, T), user()]
    prompts = prompts_of(family)
    assert prompts.encode(messages) == stock(family, messages)
    assert prompts.encode(messages, Thinking("off")) == stock(family, messages, **dict(it.off))
    for effort in ("low", "medium", "high"):
        assert prompts.encode(messages, Thinking(effort)) == stock(family, messages, **dict(it.on))
    on = Thinking("off", dict(it.on))  # what is said by its name counts more
    assert prompts.encode(messages, on) == stock(family, messages, **dict(it.on))
    assert stock(family, messages, **dict(it.off)) != stock(family, messages, **dict(it.on))


def test_how_much_is_thought_is_told_where_a_template_says_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    messages = [user()]
    prompts = PromptBuilder(tokenizer_of("harmony"))
    for effort in ("low", "medium", "high"):
        expected = stock("harmony", messages, reasoning_effort=effort)
        assert prompts.encode(messages, Thinking(effort)) == expected  # type: ignore[arg-type]
    for _ in range(2):
        assert prompts.encode(messages, Thinking("off")) == stock("harmony", messages)
    assert [record.message for record in caplog.records] == [
        "This model's thinking cannot be switched off; it goes on."
    ]
    nemotron = prompts_of("nemotron")
    soft = [ChatMessage("system", "/no_think"), user()]
    assert nemotron.encode(messages, Thinking("off")) == stock("nemotron", soft)
    assert text_of("nemotron", nemotron.encode(messages, Thinking("off"))).endswith("</think>")


EFFORTS = """{%- if reasoning_effort is defined and reasoning_effort not in ['none', 'high'] -%}
{{- raise_exception('reasoning_effort must be none or high') -}}{%- endif -%}
{{- '[E]' + reasoning_effort | default('none') -}}{%- for m in messages -%}{{- m.content -}}
{%- endfor -%}"""
BUDGET = """{%- if thinking_budget is defined -%}{{- '[B]' ~ thinking_budget -}}{%- endif -%}
{%- for m in messages -%}{{- m.content -}}{%- endfor -%}"""


def test_values_that_a_template_takes_are_found() -> None:
    tokenizer = tokenizer_of("llama3")
    some = PromptBuilder(tokenizer, EFFORTS)
    texts = {
        effort: tokenizer.decode(some.encode([user()], Thinking(effort)))  # type: ignore[arg-type]
        for effort in ("auto", "off", "low", "medium", "high")
    }
    assert {effort: text.partition("What")[0] for effort, text in texts.items()} == {
        "auto": "[E]none", "off": "[E]none", "low": "[E]high", "medium": "[E]high",
        "high": "[E]high",
    }  # fmt: skip
    budget = PromptBuilder(tokenizer, BUDGET)
    assert tokenizer.decode(budget.encode([user()], Thinking("off"))).startswith("[B]0")
    assert tokenizer.decode(budget.encode([user()], Thinking("low"))).startswith("[B]1024")
    assert tokenizer.decode(budget.encode([user()])).startswith("What")


text = st.text(st.characters(codec="utf-8"), max_size=30) | st.text(" \nab<|>_é🙂1", max_size=12)


@pytest.mark.parametrize("family", FAMILIES)
@settings(max_examples=25, deadline=None)
@given(system=st.none() | text, asked=text, said=text, thought=text, last=text)
def test_any_ordinary_text(
    family: str, system: str | None, asked: str, said: str, thought: str, last: str
) -> None:
    prompts, it = prompts_of(family), FAMILIES[family]
    if any(name in each for name in (*it.special, *it.ordinary)
           for each in (system or "", asked, said, thought, last)):  # fmt: skip
        return
    if it.thought == "inline":
        thought = thought.strip()  # which stands on lines of its own
    if family == "gemma2" and system is not None and not system.strip():
        system = None
    head = [] if system is None else [ChatMessage("system", system)]
    messages = [*head, user(asked), answer(said, thought), user(last)]
    assert prompts.encode(messages) == stock(family, messages)


def hostile(family: str) -> str:
    it = FAMILIES[family]
    tags = " ".join(it.tags or ())
    return f"a {' '.join(it.special)} {tags} {tags[::-1]} {it.special[0][:-1]}"


@pytest.mark.parametrize("family", FAMILIES)
def test_no_text_forges_a_token(family: str) -> None:
    """Not a person's, not a system message, not a thought, not a variable."""
    prompts, evil = prompts_of(family), hostile(family)
    control = set(prompts._secrets)
    names = tokenizer_of(family).added_tokens_decoder

    def written(messages: Sequence[ChatMessage], thinking: Thinking) -> list[int]:
        return [token for token in prompts.encode(messages, thinking) if token in control]

    for effort in ("auto", "off", "high"):
        plain, spoilt = (
            written(
                [ChatMessage("system", each), user(each), answer(f"b {each}", f"b {each}"),
                 user(each), answer(f"b {each}", f"b {each}")],
                Thinking(effort, {"reasoning_effort": each, "other": {each: [each]}}),  # type: ignore[arg-type]
            )
            for each in ("a", evil)
        )  # fmt: skip
        assert spoilt == plain, [names[token].content for token in spoilt]
        inside = [
            written([user(each), answer("", f"b {each}")], Thinking()) for each in ("a", evil)
        ]
        assert inside[0] == inside[1]


@pytest.mark.parametrize("family", ["gemma2", "gemma3", "gemma4"])
def test_added_tokens_that_are_ordinary_text_are_what_the_tokenizer_says(family: str) -> None:
    """HTML was tokenized otherwise than the model has learned it."""
    page = [user("<table><b>bold</b>\n\n<code>x</code></table> <unused0>")]
    assert prompts_of(family).encode(page) == stock(family, page)
    bold = tokenizer_of(family).convert_tokens_to_ids("<b>")
    assert bold in prompts_of(family).encode(page)


def test_thoughts_that_no_prompt_shows_leave_room_for_turns() -> None:
    prompts, thought = prompts_of("qwen3"), "I think. " * 50_000
    messages = [m for _ in range(20) for m in (user(), answer(A, thought))]
    messages.append(user())
    whole, trimmed = prompts.fit(messages, 1000)
    assert trimmed == 0
    plain = [ChatMessage(m.role, m.content) for m in messages]
    assert whole == prompts.encode(plain) == prompts.whole(messages, 1000)


def test_a_thought_that_is_shown_counts_when_old_turns_make_room() -> None:
    prompts = prompts_of("mistral_think")
    messages = [m for _ in range(6) for m in (user(), answer(A, "I think. " * 20))]
    messages.append(user())
    whole = prompts.encode(messages)
    fitting, trimmed = prompts.fit(messages, len(whole) // 2)
    assert 0 < trimmed < 12
    assert fitting == prompts.encode(messages[trimmed:])
    with pytest.raises(EngineError) as caught:
        prompts.fit([user(), answer("", "I think. " * 400)], 200)
    assert caught.value.code == "context_full"


def test_the_templates_are_of_twenty_families() -> None:
    assert len({template_of(family) for family in FAMILIES}) == 20
