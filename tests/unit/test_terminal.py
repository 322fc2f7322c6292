"""What the terminal client says, and what it keeps from the terminal."""

from __future__ import annotations

import contextlib
import io
import queue
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from uuid import UUID

import pytest
from django.core.management import CommandError
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from streaming.client import QueueLoad, ResponseQueuePosition, SessionCreated
from streaming.management.commands.chat import address_of, instructions_of
from streaming.system.bounded import BoundedPool
from streaming.terminal import words
from streaming.terminal.last_lines import LastLines
from streaming.terminal.markdown import TerminalMarkdown
from streaming.terminal.plain import Printed, _print
from streaming.terminal.screen import View
from streaming.terminal.session import News, Signal
from streaming.terminal.visible import visible
from tests.support import bounded_calls
from tests.unit.client.told import TEXT, THOUGHT, Said, answer, call, refusal

ID = UUID(int=1)


def test_no_control_character_is_left() -> None:
    everything = "".join(map(chr, range(sys.maxunicode + 1)))
    shown = visible(everything)
    left = {c for c in shown if ord(c) < 0x20 or 0x7F <= ord(c) < 0xA0}
    assert left == {"\n", "\t"}
    assert len(shown) == len(everything)
    assert visible("日本語 ё 👩‍💻\n\t") == "日本語 ё 👩‍💻\n\t"
    assert visible("\x1b[31m\r\u202e") == "␛[31m␍\ufffd"
    shown.encode()  # lone surrogates neither


@given(text=st.text("ab `~\n", max_size=200), cuts=st.lists(st.integers(0, 200)))
def test_a_tail_is_the_same_however_it_comes(text: str, cuts: list[int]) -> None:
    whole, pieces = LastLines(5, 20), LastLines(5, 20)
    whole.add(text)
    at = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    for start, end in pairwise(at):
        pieces.add(text[start:end])
    assert str(pieces) == str(whole)
    assert str(whole).endswith(text.split("\n")[-1])


def test_a_tail_keeps_its_code_block_open() -> None:
    tail = LastLines(3, 10)
    tail.add("text\n````python\n" + "x = 1\n```\n" * 50)
    assert str(tail).startswith("````python\n")
    tail.add("````\n" + "more\n" * 5)
    assert str(tail) == "more\nmore\nmore\n"
    tail.clear()
    assert str(tail) == ""


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (r"so \(x_1 \, y_2\) and $a*b*c$", r"so \(x_1 \, y_2\) and $a*b*c$"),
        ("\\[\nx_1\n- y\n\\]", "\\[\nx_1\n- y\n\\]"),
        ("text\n$$\nx\n$$\nmore", "$$\nx\n$$"),
        ("これは**「重要」**です。", "これは「重要」です。"),
        ("<details>\n<summary>a</summary>\n\nb <kbd>c</kbd>", "<summary>a</summary>"),
        ("- [ ] a\n- [x] b", "[x] b"),
        ("a[^1]\n\n[^1]: note", "[^1]: note"),
        ("[a][1]\n\n[1]: http://b.c", "a (http://b.c)"),
        (r"\( $ \[ $$ \begin{align} <b", r"\( $ \[ $$ \begin{align} <b"),
    ],
)
def test_what_the_page_knows_of_markdown_does_no_harm_here(text: str, shown: str) -> None:
    out = io.StringIO()
    Console(file=out, width=80).print(TerminalMarkdown(text, hyperlinks=False))
    assert shown in "\n".join(line.rstrip() for line in out.getvalue().split("\n"))


def test_a_tail_costs_no_more_for_a_long_line() -> None:
    tail = LastLines(10, 80)
    for _ in range(10_000):
        tail.add("x" * 100)
    assert len(str(tail)) <= 800
    assert len(tail._begun) <= 1600


@pytest.mark.parametrize(
    ("old", "parts", "shown"),
    [
        ("one two", ["one ", "two three"], "one two three\n"),
        ("one two", ["one two"], "one two\n"),
        ("one two", ["one", " else"], "one two\none else\n"),
        ("", ["one"], "one\n"),
        ("one two", ["one"], "one two\none\n"),
    ],
)
def test_an_answer_that_begins_anew_in_a_pipe(old: str, parts: list[str], shown: str) -> None:
    out = io.StringIO()
    printed = Printed(out)
    printed.add(old)
    printed.begin_anew()
    for part in parts:
        printed.add(part)
    printed.end()
    assert out.getvalue() == shown


def test_a_thought_ends_its_line_before_what_follows() -> None:
    out = io.StringIO()
    printed = Printed(out)
    for part in ("one", " two"):
        printed.add(part)
    printed.end()
    printed.end()
    printed.add("more")
    printed.end()
    assert out.getvalue() == "one two\nmore\n"


@pytest.mark.parametrize(
    ("given_address", "meant"),
    [
        ("ws://h:1/ws/chat/", "ws://h:1/ws/chat/"),
        ("http://h:1", "ws://h:1/ws/chat/"),
        ("https://h/", "wss://h/ws/chat/"),
        ("h:8000", "ws://h:8000/ws/chat/"),
        ("wss://h/sub/ws/chat/", "wss://h/sub/ws/chat/"),
    ],
)
def test_addresses(given_address: str, meant: str) -> None:
    assert address_of(given_address) == meant


def test_places_in_words() -> None:
    def place(position: int | None, eta: float | None, service: str) -> ResponseQueuePosition:
        return ResponseQueuePosition(
            response_id=UUID(int=1),
            position=position,
            size=5,
            eta_seconds=eta,
            service=service,  # type: ignore[arg-type]
        )

    assert words.of_place(place(1, None, "ready")) == "Position 1 of 5, you are next."
    assert (
        words.of_place(place(3, 9.2, "ready"), 4) == "Position 3 of 5, 2 ahead of you, about 6 s."
    )
    assert words.of_place(place(2, 1, "ready"), 10).endswith("about 1 s.")
    assert words.of_place(place(2, 600, "ready")).endswith("about 10 min.")
    assert words.of_place(place(None, None, "away")).startswith("Waiting. No worker")


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [
        (130, 175, "about 2 to 3 min."),
        (20, 45, "about 20 to 45 s."),
        (50, 170, "about 50 s to 3 min."),
        (7, 7.5, "about 7 to 8 s."),
        (-3, -1, "about 1 s."),
    ],
)
def test_ranges_in_words(low: float, high: float, said: str) -> None:
    place = ResponseQueuePosition(
        response_id=UUID(int=1),
        position=2,
        size=5,
        eta_seconds=(low + high) / 2,
        eta_low_seconds=low,
        eta_high_seconds=high,
    )
    assert words.of_place(place).endswith(said)


def test_the_load_in_words() -> None:
    free = QueueLoad(waiting=0, running=1, capacity=2, eta_seconds=0)
    assert words.of_load(free) == ""
    full = QueueLoad(waiting=3, running=2, capacity=2)
    assert words.of_load(full) == "3 prompts wait now."
    known = full.model_copy(
        update={"eta_seconds": 90, "eta_low_seconds": 70, "eta_high_seconds": 115}
    )
    assert words.of_load(known) == "3 prompts wait now, about 70 s to 2 min."


@pytest.mark.parametrize("language", ["maple", "markdown\n```maple"])
def test_no_answer_makes_a_terminal_hang(language: str) -> None:
    code = f"```{language}\n" + '"' + " " * 40 + "b"
    pool = BoundedPool(1, seconds=10)
    try:
        shown = pool.run(bounded_calls.show_on_a_terminal, f"~~~{code[3:]}\n~~~\n")
        assert '"' in shown
        shown = pool.run(bounded_calls.show_on_a_terminal, "```python\nx = 'é'\n```")
        assert "\x1b[3" in shown  # colours, of as many as this terminal has
    finally:
        pool.close()


def test_the_models_card_has_what_is_known() -> None:
    limits = {"max_input_chars": 9, "max_tokens": 1024, "context_tokens": 4096}
    card = {"parameters": 134_515_008, "dtype": "int8", "takes_system": True}
    told = {"model": "m\x1b[2J", "limits": limits, "sampling": {"top_k": 20}, "thinks": True}
    assert words.of_model(SessionCreated.model_validate({**told, "card": card})).split("\n") == [
        "m\u241b[2J",
        "Parameters: 135M",
        "Weights: int8",
        "Context: 4,096 tokens",
        "Longest answer: 1,024 tokens",
        "Thinks before it answers: yes",
        "Instructions: as a system message",
        "Sampling: top_k 20",
    ]
    limits["context_tokens"] = None
    told |= {"sampling": {}, "thinks": False}
    assert words.of_model(SessionCreated.model_validate(told)).split("\n")[1:] == [
        "Longest answer: 1,024 tokens",
        "Thinks before it answers: no",
    ]
    assert words.of_model(None) == "No model is loaded yet."


def test_instructions_are_said_as_they_hold() -> None:
    assert words.of_instructions("Be\x07 brief.") == "Instructions: Be\u2407 brief."
    assert words.of_instructions("") == "No instructions."
    assert "own" in words.of_instructions(None)


def test_instructions_of_the_command_are_a_text_or_a_file(tmp_path: Path) -> None:
    (file := tmp_path / "rules.txt").write_text("Be kind.\n", encoding="utf-8")
    assert instructions_of("Be brief.") == "Be brief."
    assert instructions_of(f"@{file}") == "Be kind."
    for path in (tmp_path / "missing", tmp_path):
        with pytest.raises(CommandError, match="cannot be read"):
            instructions_of(f"@{path}")


SAID = [
    (THOUGHT, "Hm."),
    (TEXT, "I look it up.\n"),
    call(0, '{"city": '),
    call(0, '"P\x07aris"}', ""),
    call(1, "{}", "clock"),
]


class Told:
    """An exchange whose news are known."""

    was_stopped = False

    def __init__(self, said: list[Said], status: str = "completed", *, twice: bool = False) -> None:
        self.news: queue.SimpleQueue[News] = queue.SimpleQueue()
        for event in [*(answer(said, ID)[:-1] if twice else []), *answer(said, ID, status=status)]:
            self.news.put(event)
        self.news.put(Signal.END)

    @contextlib.contextmanager
    def stoppable(self) -> Iterator[None]:
        yield


@pytest.mark.parametrize("twice", [False, True])
def test_calls_stand_beside_the_text_in_a_pipe(twice: bool) -> None:
    out, err = io.StringIO(), io.StringIO()
    assert _print(Told(SAID, twice=twice), out, err, reasoning=False) == 0  # type: ignore[arg-type]
    assert out.getvalue() == "I look it up.\n"
    assert err.getvalue().splitlines() == [
        'The model calls weather({"city": "P␇aris"})',
        "The model calls clock({})",
    ]


def test_a_refusal_stands_beside_the_text_in_a_pipe() -> None:
    out, err = io.StringIO(), io.StringIO()
    said = [refusal("I must"), refusal(" not.")]
    assert _print(Told(said), out, err, reasoning=False) == 0  # type: ignore[arg-type]
    assert (out.getvalue(), err.getvalue()) == ("", "The model refuses: I must not.\n")


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        (SAID, ["Hm.", "I look it up.", 'calls weather({"city": "P␇aris"})', "calls clock({})"]),
        ([refusal("I must"), refusal(" not.")], ["The model refuses: I must not."]),
    ],
)
def test_calls_and_refusals_are_shown_plainly(said: list[Said], shown: list[str]) -> None:
    out = io.StringIO()
    View(Console(file=out, width=80)).show(Told(said))  # type: ignore[arg-type]
    text = out.getvalue()
    places = [text.index(each) for each in shown]
    assert places == sorted(places)
    assert "wrote nothing" not in text
