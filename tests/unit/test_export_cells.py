"""No cell of an export is a formula, whatever stands before its sign."""

from __future__ import annotations

import csv
import io
import unicodedata
from datetime import UTC, datetime
from uuid import uuid4

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from streaming.admin.export import cell

SIGNS = "=+-@＝＋－＠﹦﹢﹣﹫⁼⁺⁻₊₋−"
BREAKS = "\t\r\n"
INVISIBLE = [
    character
    for character in map(chr, range(0x110000))
    if unicodedata.category(character) in ("Cc", "Cf", "Zs", "Zl", "Zp")
]
FILLERS = "\u115f\u1160\u3164\uffa0\u034f\u180b\ufe0f\u2800"


def runs(text: str) -> bool:
    """Whether a spreadsheet that drops or skips what is not seen comes to a sign first."""
    seen = text.lstrip("".join(INVISIBLE) + FILLERS)
    unseen = text[: len(text) - len(seen)]
    return seen[:1] in [*SIGNS] or any(character in unseen for character in BREAKS)


@pytest.mark.parametrize("sign", SIGNS + BREAKS)
@pytest.mark.parametrize(
    "before", ["", " ", "\ufeff", "\u200b", "\u00a0", "\u3000", "\x00", "\u202e", "\u2060 \x1b"]
)
def test_a_sign_behind_what_is_not_seen_is_no_formula(before: str, sign: str) -> None:
    assert cell(f"{before}{sign}1+1") == f"'{before}{sign}1+1"


@given(
    before=st.text(st.sampled_from([*INVISIBLE, *FILLERS]), max_size=8),
    sign=st.sampled_from(SIGNS + BREAKS),
    rest=st.text(max_size=5),
)
def test_nothing_unseen_hides_a_sign(before: str, sign: str, rest: str) -> None:
    assert cell(f"{before}{sign}{rest}").startswith("'")


@given(st.text())
@example("a=1")
@example("1 - 1")
@example("é=1")
@example("🇯🇵 =")
@example("'=1")
@example("")
def test_a_text_is_as_it_was_or_quoted(text: str) -> None:
    assert cell(text) in (text, f"'{text}")
    assert not runs(cell(text))
    if text[:1].isalnum():
        assert cell(text) == text


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=1, max_size=4))
def test_a_row_stays_a_row(texts: list[str]) -> None:
    """A separator or a line break in a text begins no cell, of a sign or otherwise."""
    buffer = io.StringIO(newline="")
    csv.writer(buffer).writerow([cell(text) for text in texts])
    buffer.seek(0)
    [row] = csv.reader(buffer)
    assert row == [cell(text) for text in texts]


@pytest.mark.parametrize("value", [-1, 0, -0.5, None, True, uuid4()])
def test_what_is_no_text_is_as_it_is(value: object) -> None:
    assert cell(value) is value


def test_moments() -> None:
    assert cell(datetime(2026, 1, 2, 3, 4, 5, 678901, UTC)) == "2026-01-02T03:04:05.678+00:00"
