"""Incremental text against the whole text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer

from streaming.engine.local.answers.detokenizer import Detokenizer
from streaming.engine.models.store import ModelFolder


def by_bytes(tokens: Sequence[int]) -> str:
    """A tokenizer whose tokens are bytes: every character may be cut anywhere."""
    return bytes(tokens).decode("utf-8", "replace")


def run(tokens: Sequence[int], stop: Sequence[str] = ()) -> tuple[list[str], Detokenizer]:
    detokenizer = Detokenizer(by_bytes, stop)
    return [detokenizer.push(token) for token in tokens], detokenizer


@given(st.text())
def test_all_text_comes_and_never_half_a_character(text: str) -> None:
    deltas, detokenizer = run(text.encode())
    whole = text.rstrip("\ufffd")  # cannot be told from half a character until more follows
    assert "".join(deltas) + detokenizer.flush() == whole
    if "\ufffd" not in text:
        assert all("\ufffd" not in delta for delta in deltas)
        assert len([delta for delta in deltas if delta]) == len(text)


@given(st.text(), st.text())
def test_a_text_goes_on_behind_another(before: str, text: str) -> None:
    def decode(tokens: Sequence[int]) -> str:
        return by_bytes(tokens).removeprefix(" ")  # as decoders of SentencePiece tokens do

    detokenizer = Detokenizer(decode, after=b"x" + before.encode())
    pushed = "".join(detokenizer.push(token) for token in text.encode())
    assert pushed + detokenizer.flush() == text.rstrip("\ufffd")


@given(st.lists(st.integers(0, 255), max_size=40))
def test_any_bytes_give_the_whole_decoding_but_for_its_open_end(tokens: list[int]) -> None:
    deltas, detokenizer = run(tokens)
    assert "".join(deltas) + detokenizer.flush() == by_bytes(tokens).rstrip("\ufffd")


@given(st.text("ab🙂 ", max_size=30), st.lists(st.text("ab🙂 ", max_size=4), max_size=3))
def test_stop_strings_end_the_text_and_are_never_shown(text: str, stop: list[str]) -> None:
    deltas, detokenizer = run(text.encode(), stop)
    shown = "".join(deltas) + detokenizer.flush()
    real = [s for s in stop if s]
    # by definition: the shortest beginning of the text that contains one, cut before it
    expected, ended = text, False
    for size in range(len(text) + 1):
        found = [text[:size].find(s) for s in real if s in text[:size]]
        if found:
            expected, ended = text[: min(found)], True
            break
    assert (shown, detokenizer.stopped) == (expected, ended)
    # no delta ever had to be taken back
    for end in range(len(deltas)):
        assert expected.startswith("".join(deltas[:end]))


@given(st.text("ab🙂", max_size=20), st.integers(0, 60))
def test_a_replay_continues_where_it_stood(text: str, cut: int) -> None:
    tokens = text.encode()
    deltas, detokenizer = run(tokens, ["abba", "🙂🙂a"])
    replayed = Detokenizer(by_bytes, ["abba", "🙂🙂a"])
    for token in tokens[:cut]:
        replayed.push(token)
    assert [replayed.push(token) for token in tokens[cut:]] == deltas[cut:]
    assert replayed.flush() == detokenizer.flush()


def test_special_tokens_are_silent_and_a_held_end_is_flushed() -> None:
    detokenizer = Detokenizer(by_bytes, ["STOP"], silent={0})
    assert [detokenizer.push(token) for token in b"o\x00kST"] == ["o", "", "k", "", ""]
    assert detokenizer.flush() == "ST"
    assert detokenizer.flush() == ""


@pytest.fixture(scope="module")
def tokenizer(model_folder: ModelFolder) -> Iterator[object]:
    return AutoTokenizer.from_pretrained(str(model_folder.path))


@settings(max_examples=60, deadline=None)
@given(text=st.text(st.characters(codec="utf-8", exclude_characters="\ufffd"), max_size=40))
def test_with_the_real_tokenizer(tokenizer: object, text: str) -> None:
    tokens = tokenizer.encode(text, split_special_tokens=True)  # type: ignore[attr-defined]

    def decode(part: Sequence[int]) -> str:
        return tokenizer.decode(list(part), clean_up_tokenization_spaces=False)  # type: ignore

    detokenizer = Detokenizer(decode)
    deltas = [detokenizer.push(token) for token in tokens]
    whole = decode(tokens)  # the model's vocabulary lacks a few rare bytes
    assert "".join(deltas) + detokenizer.flush() == whole.rstrip("\ufffd")
    if "\ufffd" not in whole:
        assert all("\ufffd" not in delta for delta in deltas)


@given(
    st.lists(
        st.sampled_from([b"a", b"\xff", b"\xf0\x9f", b"\x99\x82", b"\xef\xbf\xbd" * 9]), max_size=12
    ),
    st.sampled_from([b"\xff", b"\xef\xbf\xbd", b"a\xf0", b"\xf0\x9f"]),
)
def test_an_answer_of_no_characters_is_decoded_in_windows(
    others: list[bytes], repeated: bytes
) -> None:
    """A model can be asked to repeat U+FFFD: each token decoded all that stood before it."""
    pieces = [repeated, b"a", *others, *[repeated] * 200, *others, b"b"]
    longest = 0

    def decode(tokens: Sequence[int]) -> str:
        nonlocal longest
        longest = max(longest, len(tokens))
        return b"".join(pieces[token] for token in tokens).decode("utf-8", "replace")

    detokenizer = Detokenizer(decode)
    out = "".join(detokenizer.push(token) for token in range(len(pieces)))
    assert out == b"".join(pieces).decode("utf-8", "replace")
    assert longest <= 80


def test_stop_strings_do_not_make_a_long_text_slower() -> None:
    """What is looked at is what is held: less than the longest of them."""
    stops = ["a" * 99 + end for end in "bcde"]
    detokenizer = Detokenizer(by_bytes, stops)
    for _ in range(3000):
        detokenizer.push(ord("a"))
        assert len(detokenizer._stops._held) < 100
