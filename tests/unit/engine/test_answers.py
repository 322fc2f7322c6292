"""How the answers of a model are read, by its tokenizer, its chat template and its own words."""

from __future__ import annotations

import copy
import logging
from collections.abc import Sequence
from typing import Any

import pytest
from transformers.utils.chat_parsing import parse_response

from streaming.engine.base import ChatMessage, SamplingParams, Thinking
from streaming.engine.local.answers.answer_reader import AnswerReader
from streaming.engine.local.answers.detokenizer import Detokenizer
from streaming.engine.local.prompts.prompt import PromptBuilder
from streaming.engine.templates.response_format import choose_format, format_of, known_formats
from streaming.engine.templates.thought_marks import MARKS
from tests.support.spoken import SPOKEN, Spoken, answers_of, joined
from tests.support.thinking_tokenizers import tokenizer_of

PARAMS = SamplingParams(max_tokens=100, seed=1)
HELLO = ChatMessage("user", "Hello")
THINKING = [spoken for spoken in SPOKEN if spoken.thought]

# After the syntax of gpt-oss; what a tool's call looks like is a regular expression.
HARMONY: dict[str, Any] = {
    "start_anchor": "<|start|>assistant",
    "defaults": {"role": "assistant"},
    "fields": {
        "thinking": {"open": "<|channel|>analysis<|message|>", "close": "<|end|>"},
        "content": {"open": "<|channel|>final<|message|>", "close": ["<|end|>", "<|return|>"]},
        "tool_calls": {"open_pattern": r"to=(\w+\w*)*x<\|message\|>", "close": "<|call|>"},
    },
}
CHATML: dict[str, Any] = {
    "start_anchor": "<|im_start|>assistant\n",
    "fields": {
        "reasoning_content": {"open": "<think>", "close": "</think>"},
        "content": {"close": ["<|im_end|>", "<|endoftext|>", "no token"]},
    },
}


def said(answers: AnswerReader, tokenizer: Any, prompt: Sequence[int], raw: str) -> tuple[str, str]:
    reader = answers.begin(prompt, PARAMS, HELLO)
    tokens = tokenizer.encode(raw, add_special_tokens=False)
    return joined([*(part for token in tokens for part in reader.read(token)), *reader.end()])


def having(family: str, response_template: Any) -> Any:
    tokenizer = copy.copy(tokenizer_of(family))
    tokenizer.response_template = response_template
    return tokenizer


@pytest.mark.parametrize("spoken", THINKING, ids=lambda spoken: spoken.family)
def test_an_answer_goes_on_in_its_channel(spoken: Spoken) -> None:
    """With the prompts that the engine makes: in a thought, after one, and without one."""
    tokenizer = tokenizer_of(spoken.family)
    prompts = PromptBuilder(tokenizer)
    thinking = Thinking(template=dict(spoken.variables))
    rest = spoken.written.partition("{thought}")[2].replace("{text}", "Four.")
    for newest, raw, expected in (
        (ChatMessage("assistant", "", reasoning="So we"), f" know.{rest}", (" know.", "Four.")),
        (ChatMessage("assistant", "Four", reasoning="Hm."), " or so.", ("", " or so.")),
        (ChatMessage("assistant", "Four"), " or so.", ("", " or so.")),
    ):
        prompt = prompts.encode([HELLO, newest], thinking)
        reader = prompts.answers.begin(prompt, PARAMS, newest)
        tokens = tokenizer.encode(raw, add_special_tokens=False)
        parts = [part for token in tokens for part in reader.read(token)]
        assert joined([*parts, *reader.end()]) == expected


def test_a_messages_end_is_no_turns_end_in_the_engines_prompts() -> None:
    tokenizer = tokenizer_of("harmony")
    stops = PromptBuilder(tokenizer).stop_ids([])
    names = tokenizer.convert_ids_to_tokens(sorted(stops))
    assert set(names) == {"<|return|>", "<|call|>"}


def test_a_template_that_is_all_text_says_where_an_answer_begins() -> None:
    """Its delimiters are text, too: a person's count for nothing."""
    tokenizer = copy.copy(tokenizer_of("llama3"))
    tokenizer.chat_template = (
        "{% for m in messages %}{{ m.role }}: {{ m.content.split('</think>')[-1] }}\n{% endfor %}"
        "assistant: <think>\n"
    )
    answers = answers_of(tokenizer)
    assert answers.thinks
    forged = tokenizer.encode("user: is </think> a tag?\nassistant: <think>\n")
    assert said(answers, tokenizer, forged, "Hm.\n</think>\n\nYes.") == ("Hm.", "Yes.")
    unopened = tokenizer.encode("user: is <think> a tag?\nassistant: ")
    assert said(answers, tokenizer, unopened, "Yes.") == ("", "Yes.")


def test_a_models_own_response_template_counts_first() -> None:
    tokenizer = having("harmony", HARMONY)
    answers = answers_of(tokenizer)
    assert answers.thinks
    prompt = tokenizer.encode("<|start|>user<|message|>Hello<|end|><|start|>assistant")
    raw = (
        "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant"
        "<|channel|>final<|message|>Four.<|return|>"
    )
    assert said(answers, tokenizer, prompt, raw) == ("Hm.", "Four.")
    parsed = parse_response(raw, HARMONY, prefix=tokenizer.decode(prompt))
    assert (parsed["thinking"], parsed["content"]) == ("Hm.", "Four.")
    tokenizer = having("phi4", CHATML)
    answers = answers_of(tokenizer)
    ends = {tokenizer.convert_tokens_to_ids(name) for name in ("<|im_end|>", "<|endoftext|>")}
    assert answers.stop_ids([]) == ends
    prompt = tokenizer.encode("<|im_start|>assistant<|im_sep|>")
    assert said(answers, tokenizer, prompt, "<think>Hm.</think>Four.") == ("Hm.", "Four.")


@pytest.mark.parametrize(
    "broken",
    [
        [], "x", {}, {"fields": []}, {"fields": {"content": {}}}, {"fields": {"thinking": None}},
        {"fields": {"thinking": {"open": "", "close": "x"}}},
        {"fields": {"thinking": {"open": 7}}},
        {"fields": {"thinking": {"open": ["x", None]}}},
        {"fields": {"thinking": {"close": "x"}}},
        {"fields": {"thinking": {"open": "x" * 1000}}},
        {"fields": {"thinking": {"open": [f"{n}" for n in range(1000)]}}},
        {"fields": {"thinking": {"open_pattern": "(a+)+$", "close": "x"}}},
        {"fields": {"thinking": {"open": "<t>", "close_pattern": "(a+)+$"}}},
        {"fields": {"thinking": {"open": "<t>"}, "content": {"open_pattern": "(a+)+$"}}},
        {"fields": {"thinking": {"open": "<t>", "unknown": 1}}},
    ],
)  # fmt: skip
def test_a_response_template_that_cannot_be_used_is_told(
    broken: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(ValueError, match=r"it |Field|thoughts|one of|neither"):
        format_of(broken)
    with caplog.at_level(logging.WARNING):
        found = choose_format("{{ '<think>' }}{{ '</think>' }}", (), broken)
    assert found is not None
    assert found.name == "think"
    assert "response_template is not used" in caplog.text


def test_a_strangers_expressions_do_not_run() -> None:
    """The turn's end by an expression is none that we need; tools' calls stay text."""
    fields = {
        "thinking": {"open": "<t>", "close": "</t>"},
        "content": {"close_pattern": "(a+)+$"},
        "tool_calls": {"open_pattern": "(a+)+$", "close_pattern": "(b+)+$"},
    }
    found = format_of({"start_anchor_pattern": "(a+)+$", "fields": fields})
    assert (found.thought_opens, found.thought_closes, found.ends) == (("<t>",), ("</t>",), ())
    assert found.implicit


def test_a_model_without_thoughts_is_read_plainly() -> None:
    assert choose_format("{{ messages }}", ("<|im_end|>", "<b>"), None) is None
    answers = answers_of(tokenizer_of("granite4"))
    assert isinstance(answers.begin([1], PARAMS, HELLO), Detokenizer)
    assert not answers.thinks


def test_what_is_read_is_what_is_written() -> None:
    """A thought is shown to a model, and found in what it writes, by the same delimiters."""
    read = {(each.thought_opens[0], each.thought_closes[0]) for each in known_formats()}
    assert {(each.open, each.close) for each in MARKS} <= read
    own = ("harmony", "solar_open", "cwm")  # whose templates read thoughts from a field
    others = {(k.thought_opens[0], k.thought_closes[0]) for k in known_formats() if k.name in own}
    assert read - others == {(each.open, each.close) for each in MARKS}
