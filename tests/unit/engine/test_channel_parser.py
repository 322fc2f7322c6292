"""Thought and text of what models write, however it comes in tokens."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers.utils.chat_parsing import parse_response
from transformers.utils.chat_parsing.response_templates import load_response_template

import streaming.engine.templates.response_format as response_format
from streaming.engine.base import Channel, ChatMessage, SamplingParams
from streaming.engine.local.answers.answer_reader import AnswerReader
from streaming.engine.local.answers.channel_parser import ChannelParser
from streaming.engine.local.answers.delimiters import Delimiters
from streaming.engine.local.answers.detokenizer import Detokenizer, Part
from streaming.engine.templates.response_format import known_formats
from tests.support.spoken import SPOKEN, TEXT, THOUGHT, Spoken, answers_of, joined, prompt_of
from tests.support.thinking_tokenizers import FAMILIES, tokenizer_of

FORMATS = {known.name: known for known in known_formats()}


@cache
def answers(family: str) -> AnswerReader:
    return answers_of(tokenizer_of(family))


def begun(spoken: Spoken, stop: Sequence[str] = (), most: int = 0) -> Detokenizer | ChannelParser:
    asked = ChatMessage("user", spoken.asked)
    prompt = prompt_of(tokenizer_of(spoken.family), [asked], **spoken.variables)
    params = SamplingParams(max_tokens=100, seed=1, stop=tuple(stop))
    return answers(spoken.family).begin(prompt, params, asked, most)


def tokens_of(family: str, text: str, draw: Any = None) -> list[int]:
    """Tokens of a text, its delimiters as tokens; with `draw` the rest in random pieces, down to
    single bytes."""
    tokenizer = tokenizer_of(family)
    whole: list[int] = tokenizer.encode(text, add_special_tokens=False)
    if draw is None:
        return whole
    added = tokenizer.added_tokens_decoder
    byte_tokens = tokenizer.backend_tokenizer.get_vocab()
    out: list[int] = []
    for token in whole:
        name = tokenizer.convert_ids_to_tokens(token)
        if token in added or len(name) == 1 or not draw(st.booleans()):
            out.append(token)
        else:
            out += [byte_tokens[byte] for byte in name]
    return out


def read(reader: Detokenizer | ChannelParser, tokens: Sequence[int]) -> list[Part]:
    parts = [part for token in tokens for part in reader.read(token)]
    return [*parts, *reader.end()]


@pytest.mark.parametrize("spoken", SPOKEN, ids=lambda spoken: spoken.family)
@settings(max_examples=12, deadline=None)
@given(data=st.data())
def test_each_family_is_split_alike_in_all_tokens(spoken: Spoken, data: st.DataObject) -> None:
    tokens = tokens_of(spoken.family, spoken.raw, data.draw)
    assert joined(read(begun(spoken), tokens)) == (spoken.thought, spoken.text.lstrip())


@pytest.mark.parametrize("spoken", SPOKEN, ids=lambda spoken: spoken.family)
def test_a_replay_goes_on_where_it_stood_at_every_token(spoken: Spoken) -> None:
    thought = spoken.thought and "Hm.\n\n🙂"
    shorter = replace(spoken, thought=thought, text="Four. 🙂 \nIs that all?")
    tokens = tokens_of(spoken.family, shorter.raw)
    whole = begun(spoken, ["that all"])
    parts = [list(whole.read(token)) for token in tokens]
    end = list(whole.end())
    for cut in range(len(tokens) + 1):
        again = begun(spoken, ["that all"])
        assert [list(again.read(token)) for token in tokens[:cut]] == parts[:cut]
        assert [list(again.read(token)) for token in tokens[cut:]] == parts[cut:]
        assert list(again.end()) == end
        assert again.uncounted == whole.uncounted
        assert again.stopped == whole.stopped


def test_all_families_are_spoken() -> None:
    assert {spoken.family for spoken in SPOKEN} == set(FAMILIES)
    thinks = {family for family in FAMILIES if answers(family).thinks}
    assert thinks == set(FAMILIES) - {"granite4", "gemma2", "gemma3", "llama3", "llama4"}
    assert isinstance(begun(Spoken("llama3", "")), Detokenizer)  # the plain way


@pytest.mark.parametrize("spoken", [s for s in SPOKEN if s.thought], ids=lambda s: s.family)
def test_nobodys_text_is_a_delimiter(spoken: Spoken) -> None:
    """Characters that look like one, but are no token, stay where they are."""
    tokenizer = tokenizer_of(spoken.family)
    found = answers(spoken.family)._delimiters
    assert found is not None
    forged = " ".join(tokenizer.convert_ids_to_tokens(list(found.marks)))
    at = spoken.raw.index(THOUGHT) + 4
    tokens = tokens_of(spoken.family, spoken.raw[:at])
    copied: list[int] = []
    names = tokenizer.backend_tokenizer.get_vocab()
    for byte in forged.encode():  # as single bytes, so that nothing becomes a token
        copied.append(names[_BYTES[byte]])
    tokens += [*copied, *tokens_of(spoken.family, spoken.raw[at:])]
    thought, text = joined(read(begun(spoken), tokens))
    assert thought == THOUGHT[:4] + forged + THOUGHT[4:]
    assert text == TEXT


def _byte_names() -> dict[int, str]:
    from transformers.convert_slow_tokenizer import bytes_to_unicode

    return bytes_to_unicode()


_BYTES = _byte_names()


@pytest.mark.parametrize("name", FORMATS)
def test_our_formats_are_transformers_own(name: str) -> None:
    """Its parser finds the same thought and text in what the format's own closing makes."""
    path = Path(response_format.__file__).parent / "response_templates" / f"{name}.json"
    spec = json.loads(path.read_text(encoding="utf-8"))
    del spec["chatstream"]
    spec["start_anchor"] = "<<answer>>"
    load_response_template(spec)
    known = FORMATS[name]
    end = "".join(known.text_closes[:1])
    raw = f"{known.thought_opens[0]}Hm, so.{known.closing}Four.{end}"
    parsed = parse_response(raw, spec, prefix="<<answer>>")
    channels = ChannelParser(Delimiters(known, {}), _characters)
    assert joined(read(channels, [ord(char) for char in raw])) == ("Hm, so.", "Four.")
    assert parsed["reasoning_content"] == "Hm, so."
    assert parsed["content"].endswith("Four.")


def _characters(tokens: Sequence[int]) -> str:
    """A tokenizer without added tokens, whose tokens are characters."""
    return "".join(map(chr, tokens))


def in_text(name: str, raw: str, **settings: Any) -> tuple[str, str]:
    channels = ChannelParser(Delimiters(FORMATS[name], {}), _characters, **settings)
    return joined(read(channels, [ord(char) for char in raw]))


@pytest.mark.parametrize(
    ("name", "raw"),
    [
        ("think", "\n<think>\nHm.\n</think>\n\nFour."),
        ("think_answer", "<think>\nHm.\n</think>\n<answer>\nFour.\n</answer>"),
        ("think_answer", "<think>\nHm.\n</think>\nFour."),
        ("think_response", "<think>\nHm.\n</think>\n\n<response>\nFour.\n</response>\n"),
        ("thought", "<thought>\nHm.\n</thought>\n\nFour."),
        ("kimi", "◁think▷Hm.◁/think▷Four."),
        ("seed_oss", "<seed:think>Hm.</seed:think>Four."),
        ("apertus", "<|inner_prefix|>Hm.<|inner_suffix|>Four."),
        ("cwm", "<|reasoning_thinking_start|>\nHm.\n<|reasoning_thinking_end|>\nFour."),
        ("begin_of_thought", "<|begin_of_thought|>\n\nHm.\n\n<|end_of_thought|>\n\n"
         "<|begin_of_solution|>\n\nFour.\n\n<|end_of_solution|>"),
        ("solar_open", "<|begin|>assistant<|think|>Hm.<|end|>"
         "<|begin|>assistant<|content|>Four.<|end|>"),
    ],
)  # fmt: skip
def test_delimiters_may_be_ordinary_text(name: str, raw: str) -> None:
    assert in_text(name, raw) == ("Hm.", "Four.")


def test_ordinary_text_opens_a_thought_at_the_beginning_only() -> None:
    raw = "HTML has no <think> tag, nor </think>; see <think>."
    assert in_text("think", raw) == ("", raw)
    assert in_text("think", "<think>A <think> b</think>c </think>") == ("A <think> b", "c </think>")


def test_a_thought_without_a_beginning_is_text_and_glues_nothing() -> None:
    """What was said is said; the end of what was not begun is no text."""
    spoken = Spoken("qwen3", "")
    raw = "Hm.</think>\n\nFour."
    assert joined(read(begun(spoken), tokens_of("qwen3", raw))) == ("", "Hm.\n\nFour.")


def test_thoughts_and_texts_that_come_again_are_set_apart() -> None:
    raw = "<think>\nHm.\n</think>\n\nTwo.<think>So.</think>Four."
    found = joined(read(begun(Spoken("qwen3", "")), tokens_of("qwen3", raw)))
    assert found == ("Hm.\n\nSo.", "Two.\n\nFour.")


def test_what_may_be_a_delimiter_is_counted_where_it_leads() -> None:
    thought, text = "◁think▷Hm.◁/think▷", "Four ◁"
    channels = ChannelParser(Delimiters(FORMATS["kimi"], {}), _characters)
    read(channels, [ord(char) for char in thought])
    assert channels.thought_tokens == channels.uncounted == len(thought)
    read(channels, [ord(char) for char in text])
    assert channels.thought_tokens == len(thought)


def test_words_that_end_no_thought_are_said_once() -> None:
    """Of a stranger's format: else nothing but these words would follow."""
    delimiters = Delimiters(FORMATS["kimi"], {})
    channels = ChannelParser(delimiters, _characters, closing=[ord("x"), ord("y")], most_thought=9)
    for char in "◁think▷abc":
        channels.read(ord(char))
    for char in "xy":
        assert channels.forced() == ord(char)
        channels.read(ord(char))
    assert channels.forced() is None


def test_half_a_character_is_no_other_channels() -> None:
    names = tokenizer_of("qwen3").backend_tokenizer.get_vocab()
    half = [names[_BYTES[byte]] for byte in "🙂".encode()]
    tokens = [
        *tokens_of("qwen3", "<think>Hm"), *half[:2], *tokens_of("qwen3", "</think>"), *half[2:],
        *tokens_of("qwen3", "Four."),
    ]  # fmt: skip
    thought, text = joined(read(begun(Spoken("qwen3", "")), tokens))
    assert (thought, text.lstrip("\ufffd")) == ("Hm", "Four.")


def test_stop_strings_end_the_text_and_no_thought() -> None:
    spoken = next(each for each in SPOKEN if each.family == "qwen3")
    reader = begun(spoken, ["see", "ur.\n\n`"])
    thought, text = joined(read(reader, tokens_of("qwen3", spoken.raw)))
    assert (thought, text) == (THOUGHT, "Fo")
    assert reader.stopped
    again = begun(spoken, ["Hm.Fo", "ab"])
    raw = "a<think>Hm.</think>b Four."
    parts = read(again, tokens_of("qwen3", raw))
    assert joined(parts) == ("Hm.", "a\n\nb Four.")
    assert parts[0] == (Channel.TEXT, "a")  # no stop string goes on beyond a thought
    assert not again.stopped


def harmony(raw: str) -> tuple[str, str]:
    return joined(read(begun(Spoken("harmony", "")), tokens_of("harmony", raw)))


START = "<|start|>assistant"


@pytest.mark.parametrize(
    ("raw", "thought", "text"),
    [
        # what it says before it calls is said; the call itself is shown, as there are no tools
        (f"<|channel|>commentary<|message|>I look.<|end|>{START}<|channel|>final<|message|>Four.",
         "", "I look.\n\nFour."),
        ("<|channel|>commentary to=functions.add <|constrain|>json<|message|>{}", "", "{}"),
        (f"<|channel|>analysis<|message|>A.<|end|>{START}<|channel|>analysis<|message|>B.<|end|>"
         f"{START}<|channel|>final<|message|>Four.", "A.\n\nB.", "Four."),
        ("<|channel|>analysis to=python code<|message|>1+1<|end|>", "1+1", ""),
        ("<|channel|>analysis<|constrain|>x<|message|>A", "A", ""),
        # broken: no end, no channel, nothing at all
        ("<|channel|>analysis<|message|>A.<|channel|>final<|message|>Four.", "A.", "Four."),
        ("<|message|>Four.", "", "Four."),
        ("Four.", "", "Four."),
        (" to=x" + "Four. " * 100, "", "to=x" + ("Four. " * 100).rstrip()),
        ("<|channel|>ana", "", ""),
        ("", "", ""),
    ],
)  # fmt: skip
def test_messages_have_channels_by_their_headers(raw: str, thought: str, text: str) -> None:
    assert harmony(raw) == (thought, text)


def test_only_the_last_messages_end_is_the_turns() -> None:
    names = tokenizer_of("harmony").get_vocab()
    end, stops = names["<|end|>"], answers("harmony").stop_ids([names["<|end|>"]])
    assert end not in stops
    assert {names["<|return|>"], names["<|call|>"]} <= stops
    reader = begun(Spoken("harmony", ""))
    ended = []
    raw = f"<|channel|>analysis<|message|>A<|end|>{START}<|channel|>final<|message|>B<|end|>"
    for token in tokens_of("harmony", raw):
        if token == end:
            ended.append(reader.ends(token))
        reader.read(token)
    assert ended == [False, True]


def test_what_ends_a_turn_follows_from_the_template() -> None:
    """None of these is declared by the model: a checkpoint without generation_config.json."""
    for family, expected in (
        ("qwen3", "<|im_end|>"), ("gemma3", "<end_of_turn>"), ("granite4", "<|end_of_text|>"),
        ("llama4", "<|eot|>"), ("glm4", "<|user|>"), ("command_r", "<|END_OF_TURN_TOKEN|>"),
        ("nemotron", "<SPECIAL_12>"), ("minimax", "[e~["),
    ):  # fmt: skip
        tokenizer = tokenizer_of(family)
        found = answers(family)
        assert found._end == tokenizer.convert_tokens_to_ids(expected), family
        assert found._end in found.stop_ids([])


def test_a_thought_that_is_too_long_is_ended_in_the_familys_own_words() -> None:
    for spoken in SPOKEN:
        if not spoken.thought:
            continue
        tokens = tokens_of(spoken.family, spoken.raw.replace(THOUGHT, "hm " * 200))
        reader, took = begun(spoken, most=9), []
        for token in tokens[:60]:
            forced = reader.forced()
            took.append(token if forced is None else forced)
            reader.read(took[-1])
        assert 9 <= reader.thought_tokens <= 12, spoken.family
        for cut in range(len(took)):  # and so it is after a crash, wherever
            again = begun(spoken, most=9)
            for token in took[:cut]:
                again.read(token)
            forced = again.forced()
            assert forced is None or forced == took[cut]
        shorter = begun(spoken, most=3)  # a bound that was another then changes nothing
        for token in took:
            shorter.read(token)
        assert (shorter.forced(), shorter.thought_tokens) == (None, reader.thought_tokens)


def test_no_token_costs_more_the_more_there_were(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, piece in (
        ("think", "hm "),
        ("think", "\n"),
        ("think", "\ufffd"),
        ("think", "</thin"),
    ):
        longest = looked = 0

        def decode(tokens: Sequence[int], piece: str = piece) -> str:
            nonlocal longest
            longest = max(longest, len(tokens))
            return "".join(piece if token else "<think>" for token in tokens)

        channels = ChannelParser(Delimiters(FORMATS[name], {}), decode)
        scan = ChannelParser._scan

        def counted(self: ChannelParser, text: str, scan: Any = scan) -> Any:
            nonlocal looked
            looked += len(text)
            return scan(self, text)

        with monkeypatch.context() as patch:
            patch.setattr(ChannelParser, "_scan", counted)
            channels.read(0)
            for _ in range(30_000):
                channels.read(1)
        assert channels.thought_tokens + channels._undecided == 30_001
        assert longest <= 80
        assert looked <= 30_000 * 3 * len(piece)


def test_a_thought_goes_on_and_so_does_what_is_said_after_it() -> None:
    tokenizer = tokenizer_of("qwen3")
    params = SamplingParams(max_tokens=100, seed=1)
    prompt = prompt_of(tokenizer, [ChatMessage("user", "Hello")])
    begun_thought = tokenizer.encode("<think>\nSo we", add_special_tokens=False)
    newest = ChatMessage("assistant", "", reasoning="So we")
    reader = answers("qwen3").begin([*prompt, *begun_thought], params, newest)
    tokens = tokens_of("qwen3", " know.\n</think>\n\nFour.")
    assert joined(read(reader, tokens)) == (" know.", "Four.")
    said = tokenizer.encode("<think>\nHm.\n</think>\n\nFour", add_special_tokens=False)
    newest = ChatMessage("assistant", "Four", reasoning="Hm.")
    reader = answers("qwen3").begin([*prompt, *said], params, newest)
    assert joined(read(reader, tokens_of("qwen3", " or so."))) == ("", " or so.")
    assert reader.thought_tokens == 0
    harmony_prompt = prompt_of(tokenizer_of("harmony"), [ChatMessage("user", "Hello")])
    going_on = tokens_of("harmony", "<|channel|>analysis<|message|>So we")
    newest = ChatMessage("assistant", "", reasoning="So we")
    reader = answers("harmony").begin([*harmony_prompt, *going_on], params, newest)
    raw = f" know.<|end|>{START}<|channel|>final<|message|>Four."
    assert joined(read(reader, tokens_of("harmony", raw))) == (" know.", "Four.")
