"""The HTML of a code block: its language as an attribute, its tokens as Pygments' short classes."""

from __future__ import annotations

import re
from html import escape
from typing import Literal

from pygments import highlight  # type: ignore[import-untyped]
from pygments.formatters import HtmlFormatter  # type: ignore[import-untyped]
from pygments.lexer import Lexer  # type: ignore[import-untyped]
from pygments.lexers import get_lexer_by_name  # type: ignore[import-untyped]
from pygments.util import ClassNotFound  # type: ignore[import-untyped]

HIGHLIGHT_CHARS = 10_000
"""Longer code is shown without colours."""

_LINE_CHARS = _RUN_CHARS = 500
"""So are a longer line and a longer run without punctuation: it is there that the patterns of
some lexers go over the same text again and again."""

_LANGUAGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9+#._-]{0,31}")
_RUN = re.compile(r"[\w\s]+")
_formatter = HtmlFormatter(nowrap=True)

State = Literal["open", "growing", "final"]


def code_html(code: str, info: str = "", *, state: State = "final") -> str:
    """A code block. `info` is what stands after the fence; its first word is the language.

    Only a `final` block is highlighted. `open` marks one whose text is still to come.
    """
    word = _LANGUAGE.match(info)
    language = word.group().lower() if word else ""
    shown = (state == "final" and _highlighted(code, language)) or escape(code)
    label = f' data-language="{language}"' if language else ""
    kind = "code open" if state == "open" else "code"
    return f'<div class="{kind}"{label}><pre tabindex="0"><code>{shown}</code></pre></div>'


def _highlighted(code: str, language: str) -> str | None:
    if not language or not is_highlighted(code) or (lexer := _lexer(language)) is None:
        return None
    return str(highlight(code, lexer, _formatter))


def is_highlighted(code: str) -> bool:
    """Whether no lexer takes long for the code."""
    return (
        0 < len(code) <= HIGHLIGHT_CHARS
        and max(map(len, code.split("\n"))) <= _LINE_CHARS
        and max(map(len, _RUN.findall(code)), default=0) <= _RUN_CHARS
    )


def _lexer(language: str) -> Lexer | None:
    try:
        # Every character of the code is shown, so nothing is stripped.
        return get_lexer_by_name(language, stripnl=False, ensurenl=False)
    except ClassNotFound:
        return None
