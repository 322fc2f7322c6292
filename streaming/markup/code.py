"""The HTML of a code block: its language as an attribute, its tokens as Pygments' short classes.

What calls Pygments runs in the pool; the rest takes time in proportion to the text.
"""

from __future__ import annotations

import functools
import logging
import re
from collections.abc import Sequence
from html import escape
from typing import Literal, NamedTuple

import nh3
from pygments import highlight  # type: ignore[import-untyped]
from pygments.formatters import HtmlFormatter  # type: ignore[import-untyped]
from pygments.lexer import Lexer  # type: ignore[import-untyped]
from pygments.lexers import get_lexer_by_name  # type: ignore[import-untyped]
from pygments.token import STANDARD_TYPES  # type: ignore[import-untyped]

from streaming.markup.languages import LANGUAGES, MOST_CHARS

logger = logging.getLogger(__name__)

HIGHLIGHT_CHARS = 60_000
"""Longer code is shown without colours, and so is what goes beyond it in one segment."""

SHORT_CHARS = 10_000
"""No lexer of `LANGUAGES` takes long for so much, whatever it is (`MOST_CHARS`: for less). Longer
code is tried; where it is hostile, its time ends, and all long code is left plain for a while."""

_LINE_CHARS = _RUN_CHARS = 500
"""So are a longer line and a longer run without punctuation: it is there that the patterns of
some lexers go over the same text again and again."""

TOKEN_CLASSES = set(STANDARD_TYPES.values()) - {""}

_LANGUAGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9+#._-]{0,31}")
_RUN = re.compile(r"[\w\s]+")
_formatter = HtmlFormatter(nowrap=True)
_cleaner = nh3.Cleaner(tags={"span"}, attributes={}, allowed_classes={"span": TOKEN_CLASSES})

State = Literal["open", "growing", "final"]


class Code(NamedTuple):
    """The code of a block, and the language that it is in."""

    text: str
    language: str
    """What its fence names, in small letters; empty: nothing."""


class CodeParts(NamedTuple):
    """The safe HTML of a segment, cut where its code blocks show their code: every second piece is
    the code of `codes`, in order and without colours."""

    pieces: list[str]
    codes: list[Code]

    def html(self, shown: Sequence[str | None] = ()) -> str:
        """The whole, where `shown` has something else for a code with that."""
        pieces = list(self.pieces)
        for number, html in enumerate(shown):
            if html is not None:
                pieces[2 * number + 1] = html
        return "".join(pieces)


def language_of(info: str) -> str:
    """The language of a block; `info` is what stands after its fence, mostly only that word."""
    word = _LANGUAGE.match(info)
    return word.group().lower() if word else ""


def code_html(code: str, info: str = "", *, state: State = "final") -> str:
    """A code block without colours. `open` marks one whose text is still to come."""
    return code_parts(code, info, state=state).html()


def code_parts(code: str, info: str, *, state: State = "final") -> CodeParts:
    """Return the HTML of a code block, with its code as a piece of its own."""
    language = language_of(info)
    label = f' data-language="{language}"' if language else ""
    kind = "code open" if state == "open" else "code"
    head = f'<div class="{kind}"{label}><pre tabindex="0"><code>'
    pieces = [head, escape(code, quote=False), "</code></pre></div>"]
    return CodeParts(pieces, [Code(code, language)])


def is_highlighted(code: str, language: str) -> bool:
    """Whether it is likely that the lexer does not take long for the code."""
    return (
        language in LANGUAGES
        and 0 < len(code) <= HIGHLIGHT_CHARS
        and max(map(len, code.split("\n"))) <= _LINE_CHARS
        and max(map(len, _RUN.findall(code)), default=0) <= _RUN_CHARS
    )


def is_long(code: str, language: str) -> bool:
    """Whether a lexer may take long for so much, if it is hostile."""
    return len(code) > MOST_CHARS.get(language, SHORT_CHARS)


def worth_highlighting(codes: Sequence[Code]) -> list[Code | None]:
    """The same list without what is to stay plain."""
    room = HIGHLIGHT_CHARS
    kept: list[Code | None] = []
    for code in codes:
        fits = len(code.text) <= room and is_highlighted(code.text, code.language)
        kept.append(code if fits else None)
        room -= len(code.text) if fits else 0
    return kept


# --- in the pool ---


def highlight_all(jobs: list[list[Code | None]]) -> list[list[str | None]]:
    """Safe HTML with colours for the code blocks of several segments; None: it stays plain."""
    return [[_highlighted(code) for code in codes] for codes in jobs]


def _highlighted(code: Code | None) -> str | None:
    if code is None:
        return None
    try:
        return _cleaner.clean(highlight(code.text, lexer(code.language), _formatter))
    except Exception as error:  # a fault of the lexer's, which is no other block's
        logger.error("Code could not be highlighted. (%s)", type(error).__name__)
        return None


@functools.cache
def lexer(language: str) -> Lexer:
    """The lexer of one of `LANGUAGES`."""
    # Every character of the code is shown, so nothing is stripped. Code in code is left to no
    # lexer that it names: that might be any.
    return get_lexer_by_name(language, stripnl=False, ensurenl=False, handlecodeblocks=False)
