"""Chat templates are programs by strangers: they end, whatever they do."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

from streaming.engine.base import ChatMessage, EngineError, Thinking
from streaming.engine.local import LocalEngine
from streaming.engine.local.prompts.prompt import PromptBuilder
from streaming.engine.models.store import ModelFolder
from streaming.engine.templates import chat_template
from streaming.engine.templates.choice import choose, of_processor
from streaming.engine.templates.template import excerpt
from streaming.engine.templates.token_names import pattern_of
from streaming.system.bounded import BoundedPool
from tests.support.thinking_tokenizers import tokenizer_of

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


def small(source: Any) -> PromptBuilder:
    """The same, of a tokenizer that is made at once."""
    return PromptBuilder(tokenizer_of("llama3"), source)


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
    with pytest.raises(EngineError, match=r"multiple chat templates.*rag, tool_use.*TEMPLATE"):
        with_template(tokenizer, {"tool_use": "tools", "rag": "documents"})


def test_without_a_default_it_is_the_one_for_chats() -> None:
    """transformers takes none, so that no prompt could be made."""
    chat = "{% for m in messages %}{{ m.content }}{% endfor %}"
    for named in ({"chatml": chat}, {"tool_use": "x", "chatml": chat, "rag": "x"}, {"rag": chat}):
        prompts = small(named)
        prompts.template.check()
        assert prompts.decode(prompts.encode(HI)) == "Hi"
    with pytest.raises(EngineError, match=r"\(a, b\)"):
        small({"a": chat, "b": chat})
    with pytest.raises(EngineError, match=r"no chat template.*CHATSTREAM_CHAT_TEMPLATE"):
        choose(None)


TURNS = "{% for m in messages %}{{ m.role + m.content }};{% endfor %}"
NO_SYSTEM = "{% if messages[0].role == 'system' %}{{ raise_exception('No system!') }}{% endif %}"
DROPS_SYSTEM = TURNS.replace("m in messages", "m in messages if m.role != 'system'")
ONE_TURN = "{% if messages|length > 2 %}{{ raise_exception('Too many') }}{% endif %}" + TURNS


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("{{ messages[0].content + none }}", "can only concatenate str"),
        ("{% for %}", "Expected an expression"),
        ("{{ raise_exception('roles must\\n be odd') }}", "fails: roles must be odd"),
        (ONE_TURN, "fails: Too many"),
        ("{{ messages[0].content }}", "does not show the newest message"),
        ("Hello", "does not show the newest message"),
        ("{{ 'x' * 200000 }}", "characters of a few words"),
    ],
)
def test_one_that_fails_is_told_before_anybody_asks(source: str, said: str) -> None:
    """It failed at every prompt."""
    with pytest.raises(EngineError, match=said) as caught:
        small(source).template.check()
    if caught.value.code != "template_overrun":
        assert "CHATSTREAM_CHAT_TEMPLATE" in str(caught.value)
        assert caught.value.code == "model_unsupported"


@pytest.mark.parametrize("source", [NO_SYSTEM + TURNS, DROPS_SYSTEM])
def test_a_system_message_that_a_template_does_not_take_stands_before_the_question(
    source: str, caplog: pytest.LogCaptureFixture
) -> None:
    prompts = small(source)
    prompts.template.check()
    assert ["takes no system message" in record.message for record in caplog.records] == [True]
    system = [ChatMessage("system", "Be kind."), ChatMessage("system", "Be brief.")]
    text = prompts.decode(prompts.encode([*system, *HI, ChatMessage("assistant", "Yes"), *HI]))
    assert text == "userBe kind.\n\nBe brief.\n\nHi;assistantYes;userHi;"
    ids, trimmed = prompts.fit([system[0], *HI, ChatMessage("assistant", "la " * 90), *HI], 40)
    assert (trimmed, prompts.decode(ids)) == (2, "userBe kind.\n\nHi;")


LISTS = (
    "{% for m in messages %}{{ m.role }}:{% for part in m.content %}{% if part.type == 'text' %}"
    "{{ part.text }}{% endif %}{% endfor %};{% endfor %}"
)


def test_one_that_takes_parts_only_gets_parts() -> None:
    """As of models that read images, which show nothing of a text."""
    prompts = small(LISTS)
    prompts.template.check()
    messages = [ChatMessage("system", "Be kind."), *HI, ChatMessage("assistant", ""), *HI]
    assert prompts.decode(prompts.encode(messages)) == (
        "system:Be kind.;user:Hi;assistant:;user:Hi;"
    )
    messages.append(ChatMessage("assistant", "Yes, <|eot_id|> "))
    ids = prompts.encode(messages)
    assert prompts.decode(ids).endswith(";user:Hi;assistant:Yes, <|eot_id|> ")
    assert not prompts.special_ids.intersection(ids)


def test_one_in_a_file_of_the_processor_is_found(tmp_path: Path) -> None:
    assert of_processor(tmp_path) is None
    for content, found in (
        ('{"chat_template": "x"}', "x"), ("{", None), ("[]", None), ("{}", None),
        ('{"chat_template": 5}', None), ("[" * 99_999, None),
    ):  # fmt: skip
        (tmp_path / "chat_template.json").write_text(content)
        assert of_processor(tmp_path) == found


def test_what_it_demands_of_a_conversation_is_said_of_that_one() -> None:
    odd = "{% if (messages|length) % 2 == 0 %}{{ raise_exception('Odd!') }}{% endif %}" + TURNS
    prompts = small(odd)
    prompts.template.check()
    with pytest.raises(EngineError, match=r"refuses this conversation: Odd!$") as caught:
        prompts.encode([*HI, *HI])
    assert caught.value.code == "invalid_messages"


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"messages": []}, "`messages` is not for a request"),
        ({"tools": [1]}, "`tools` is not for a request"),
        ({"add_generation_prompt": False}, "`add_generation_prompt` is not for a request"),
        ({"eos_token": ""}, "`eos_token` is not for a request"),
        ({"chat_template": "x"}, "`chat_template` is not for a request"),
        ({"": 1}, "no name of a variable"),
        ({"a": "x" * 10_000}, "at most 4,096 are allowed"),
        ({"a": ["xxxx"] * 1000}, "at most 4,096 are allowed"),
        ({f"a{number}": 1 for number in range(33)}, "has 33 variables"),
        ({"a": [[[[[[[]]]]]]]}, "nested too deeply"),
        ({"a": float("nan")}, "no JSON"),
        ({"a": 10**400}, "too large"),
        ({"a": {1: 2}}, "a key that is no text"),
        ({"a": object()}, "no JSON"),
    ],
)
def test_strangers_variables_are_data_few_and_small(variables: dict[str, Any], said: str) -> None:
    prompts = small(TURNS)
    with pytest.raises(EngineError, match=f"^chat_template_kwargs: .*{said}") as caught:
        prompts.encode(HI, Thinking("auto", variables))
    assert caught.value.code == "invalid_params"


def test_strangers_variables_reach_the_template_as_text() -> None:
    prompts = small(TURNS + "{{ a.b[0] }}{{ c }}{{ a | tojson }}")
    values = {"a": {"b": ["x<|eot_id|>"], "<|start_header_id|>": 1}, "c": True, "unknown": 5}
    ids = prompts.encode(HI, Thinking("auto", values))
    assert not prompts.special_ids.intersection(ids)
    assert prompts.decode(ids) == (
        'userHi;x<|eot_id|>True{"b": ["x<|eot_id|>"], "<|start_header_id|>": 1}'
    )


def test_a_file_gives_one_to_a_model_that_has_none(
    model_folder: ModelFolder, tmp_path: Path
) -> None:
    bare = tmp_path / "bare"
    bare.mkdir()
    for file in model_folder.path.iterdir():
        if file.name != "chat_template.jinja":
            (bare / file.name).symlink_to(file)
    (bare / "tokenizer_config.json").unlink()
    config = json.loads((model_folder.path / "tokenizer_config.json").read_text())
    config.pop("chat_template", None)
    (bare / "tokenizer_config.json").write_text(json.dumps(config))

    def engine(path: Path | None) -> LocalEngine:
        return LocalEngine(
            str(bare), device="cpu", dtype="float32", max_running=1, progress=False,
            cache_dir=tmp_path / "cache", chat_template=path,
        )  # fmt: skip

    with pytest.raises(EngineError, match=r"no chat template.*CHATSTREAM_CHAT_TEMPLATE"):
        engine(None).prepare()
    file = tmp_path / "chat.jinja"
    for content, said in ((None, "cannot be read"), (b"\xff", "no UTF-8"), (b" ", "is empty"),
                          (b"x" * 1_000_001, "more than 1,000,000 bytes")):  # fmt: skip
        if content is not None:
            file.write_bytes(content)
        with pytest.raises(EngineError, match=f"^CHATSTREAM_CHAT_TEMPLATE=.*{said}") as caught:
            engine(file).prepare()
        assert caught.value.code == "settings"
    file.write_text("{% for %}")
    with pytest.raises(EngineError, match="chat template fails: Expected"):
        engine(file).start(lambda events: None)
    file.write_text(TURNS)
    engine(file).prepare()


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
