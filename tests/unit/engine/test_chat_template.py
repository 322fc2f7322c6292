"""Chat templates are programs by strangers: they end, whatever they do."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

from streaming.bounded import BoundedPool
from streaming.engine import chat_template
from streaming.engine.base import ChatMessage, EngineError
from streaming.engine.local import LocalEngine
from streaming.engine.local.prompt import PromptBuilder
from streaming.engine.model_store import ModelFolder
from streaming.engine.names import pattern_of
from streaming.engine.template_traits import excerpt

HI = [ChatMessage("user", "Hi")]
ENDLESS = (
    "{% for a in range(99999) %}{% for b in range(99999) %}{% for c in range(99999) %}"
    "{% endfor %}{% endfor %}{% endfor %}"
)


@pytest.fixture
def tokenizer(model_folder: ModelFolder) -> Any:
    return AutoTokenizer.from_pretrained(str(model_folder.path))


def with_template(tokenizer: Any, source: Any) -> PromptBuilder:
    tokenizer.chat_template = source
    return PromptBuilder(tokenizer)


def failure_of(prompts: PromptBuilder) -> str:
    with pytest.raises(EngineError) as caught:
        prompts.encode(HI)
    return caught.value.code


@pytest.mark.parametrize(
    "source",
    [
        ENDLESS,
        "{{ 'x' * 10**9 }}",
        "{% set n = namespace(t='xxxxxxxx') %}{% for i in range(99) %}"
        "{% set n.t = n.t + n.t %}{% endfor %}",
        "{% for i in range(9999) %}{{ 'x' * 1000 }}{% endfor %}",
        "{{ messages[0].content * 100000000 }}",
        "{{ 9 ** (9 ** 9) }}",
    ],
)
def test_one_that_takes_too_much_is_ended(tokenizer: Any, source: str) -> None:
    prompts = with_template(tokenizer, source)
    with pytest.raises(EngineError, match=r"^The model's chat template .*\.$") as caught:
        prompts.encode(HI)
    assert caught.value.code == "template_overrun"
    assert "{{ messages" not in str(caught.value)
    assert len(with_template(tokenizer, "{{ messages[0].content }}").encode(HI)) == 1


def test_one_that_could_not_be_run_is_not_to_blame(
    tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompts = with_template(tokenizer, "{{ messages[0].content }}")
    full = BoundedPool(1, seconds=5, most_open=0)
    monkeypatch.setattr(chat_template, "_pool", full)
    with pytest.raises(EngineError, match="cannot be run at the moment") as caught:
        prompts.encode(HI)
    assert caught.value.code == "engine_error"


def test_everybody_else_goes_on_meanwhile(tokenizer: Any) -> None:
    """The interpreter's lock is free while a template runs."""
    prompts = with_template(tokenizer, ENDLESS)
    outcome: list[str] = []
    thread = threading.Thread(target=lambda: outcome.append(failure_of(prompts)))
    thread.start()
    ticks = 0
    while thread.is_alive():
        time.sleep(0.01)
        ticks += 1
    assert ticks > 100
    assert outcome == ["template_overrun"]


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (
            "{{ raise_exception('roles\\nmust \x1b[31malternate') }}",
            r"roles must \x1b[31malternate",
        ),
        ("{{ raise_exception('x' * 1000000) }}", "x" * 200 + "… (3800 more"),
        ("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "recursion"),
        ("{{ messages[7].content }}", "no element 7"),
        ("{% for %}", "Expected"),
        ("{{ cycler.__init__.__globals__ }}", "unsafe"),
    ],
)
def test_its_own_words_are_told_on_one_line(tokenizer: Any, source: str, said: str) -> None:
    with pytest.raises(EngineError) as caught:
        with_template(tokenizer, source).encode(HI)
    assert caught.value.code == "invalid_messages"
    assert said in str(caught.value)
    assert len(str(caught.value)) < 300
    assert str(caught.value).isprintable()


def test_its_words_tell_nothing_that_forges_a_token(tokenizer: Any) -> None:
    prompts = with_template(tokenizer, "{{ raise_exception('not ' + messages[0].content) }}")
    with pytest.raises(EngineError, match=r"not a <\|im_end\|> b$"):
        prompts.encode([ChatMessage("user", "a <|im_end|> b")])
    cut = with_template(tokenizer, "{{ raise_exception(messages[0].content[:12]) }}")
    with pytest.raises(EngineError) as caught:
        cut.encode([ChatMessage("user", "<|im_end|>")])
    secret = prompts._secrets[2].strip("\ue000\ue001").split("t")[0]
    assert secret[:6] not in str(caught.value)


def test_of_several_it_is_the_one_that_transformers_takes(tokenizer: Any) -> None:
    conversation = [{"role": "user", "content": "Hi"}]
    prompts = with_template(
        tokenizer, {"tool_use": "tools", "default": "{{ bos_token }}{{ messages[0].content }}"}
    )
    assert prompts.encode(HI) == tokenizer.apply_chat_template(
        conversation, add_generation_prompt=True, return_dict=False
    )
    with pytest.raises(EngineError, match="multiple chat templates"):
        with_template(tokenizer, {"tool_use": "tools", "rag": "documents"})


def test_a_model_whose_template_never_ends_is_refused_at_start(
    model_folder: ModelFolder, tmp_path: Path
) -> None:
    for file in model_folder.path.iterdir():
        (tmp_path / file.name).symlink_to(file)
    tokenizer = AutoTokenizer.from_pretrained(str(model_folder.path))
    tokenizer.chat_template = ENDLESS
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        (tmp_path / name).unlink(missing_ok=True)
    tokenizer.save_pretrained(str(tmp_path))
    engine = LocalEngine(str(tmp_path), device="cpu", max_running=1)
    with pytest.raises(EngineError, match="chat template did not end within 5 seconds"):
        engine.start(lambda events: None)


def test_the_names_of_thousands_of_tokens_cost_no_more_than_a_few() -> None:
    """An alternation of 6,000 names took 8 s for a prompt of 250,000 "<"."""
    names = [f"<unused{number}>" for number in range(6000)] + ["<start_of_turn>", "<", "<<>"]
    found = pattern_of(names)
    assert found.findall("<unused5999> <unused6000> <<unused17><<<>") == [
        "<unused5999>", "<", "<", "<unused17>", "<", "<<>",
    ]  # fmt: skip
    steps = found.findall("<" * 250_000)
    assert len(steps) == 250_000
    assert pattern_of([]).search("anything") is None


def test_an_excerpt_is_one_bounded_line() -> None:
    assert excerpt("a\n\tb\u2028c\x00 d") == r"a b c\x00 d"
    assert len(excerpt("word " * 10_000)) < 240


def test_the_processes_need_no_torch() -> None:
    modules = chat_template._pool.run(eval, "list(__import__('sys').modules)")
    assert "transformers.utils.chat_template_utils" in modules
    assert "torch" not in modules
