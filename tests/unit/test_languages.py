"""The languages whose code is highlighted: all of them are known, none takes long for anything."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from streaming.markup.code import (
    HIGHLIGHT_CHARS,
    SHORT_CHARS,
    Code,
    highlight_all,
    is_highlighted,
    lexer,
    worth_highlighting,
)
from streaming.markup.languages import LANGUAGES, MOST_CHARS
from streaming.system.bounded import BoundedPool, preload

SECONDS = 20.0
"""For all that is tried on one lexer; it is ordinarily two. A machine may be busy with others."""

BY_LEXER = {lexer(language).name: language for language in sorted(LANGUAGES)}

LINES = [
    '"' + " " * 40,
    ":" + " " * 490,
    *(mark + " " * 490 + "b" for mark in "\"'`#=<({"),
    *(mark * 490 for mark in "\"'`:#=<({[/\\$&*-,@~_"),
    *(("\\" + mark) * 245 for mark in "\"'`/"),
    *((mark + "a") * 245 for mark in '"<(.$@'),
    " " * 490,
    "0" * 490 + "x",
    "a b " * 120,
    "[({<" * 120,
    "a(" * 240,
]
LONG = ["$ a\n", "a. ", '\\"' * 245 + "\n", "{" * 490 + "\n", "@a\n", "/* \n", '"""\n', "_ (\n"]
"""Each of these again and again, up to what counts as long."""


@pytest.fixture(scope="module")
def pool() -> Iterator[BoundedPool]:
    preload("streaming.markup.warm")
    pool = BoundedPool(1, seconds=SECONDS)
    yield pool
    pool.close()


@pytest.mark.parametrize("language", BY_LEXER.values())
def test_no_lexer_takes_long_for_anything(pool: BoundedPool, language: str) -> None:
    most = MOST_CHARS.get(language, SHORT_CHARS)
    texts = LINES + [(unit * most)[:most] for unit in LONG]
    jobs = [[Code(text, language)] for text in texts if is_highlighted(text, language)]
    assert len(jobs) > len(LINES) / 2
    shown = pool.run(highlight_all, jobs)
    assert all(html is not None for [html] in shown)


@pytest.mark.parametrize("language", sorted(LANGUAGES))
def test_every_name_has_a_lexer_that_colours_something(language: str) -> None:
    text = "#!/bin/x\n<a b='c'>\n  if (x == 1) { return \"s\"; } // + - diff\n# [a] = b\n"
    [[html]] = highlight_all([[Code(text, language)]])
    assert html


@pytest.mark.parametrize("language", ["maple", "systemd", "ldif", "autoit", "http", "rst", "text"])
def test_a_lexer_that_nobody_tried_is_not_called(language: str) -> None:
    assert worth_highlighting([Code("a = 1\n", language)]) == [None]


def test_code_inside_code_is_left_to_no_other_lexer() -> None:
    """Markdown's names the lexer itself, which may be any."""
    text = '```maple\n"' + " " * 40 + "\n```\n"
    [[html]] = highlight_all([[Code(text, "markdown")]])
    assert html


def test_a_segment_gets_no_more_colours_than_a_block_may() -> None:
    code = Code("x = 1\n" * (HIGHLIGHT_CHARS // 12), "python")
    assert worth_highlighting([code] * 4) == [code, code, None, None]
