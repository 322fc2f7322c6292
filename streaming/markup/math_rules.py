"""Finds the formulas in Markdown, before its other rules take their signs for something else.

`\\(...\\)`, `\\[...\\]`, `$...$`, `$$...$$` and LaTeX's environments. A formula ends in its
paragraph, as LaTeX has it: a blank line in one is an error there. Code has no formulas.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape
from typing import NamedTuple

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.ruler import RuleOptionsType
from markdown_it.rules_block import StateBlock
from markdown_it.rules_core import StateCore
from markdown_it.rules_inline import StateInline
from markdown_it.token import Token
from markdown_it.utils import EnvType, OptionsDict

from streaming.markup.formulas import ENVIRONMENTS, mathml
from streaming.markup.math_signs import BRACKETS, is_citation, is_prose, is_tight, next_place

_LONG_CHARS = 50
"""An inline formula with a longer source scrolls by itself, where it is wider than the page."""

_BEGIN = re.compile(r"\\begin\{([A-Za-z]+\*?)\}")
_OPENERS = re.compile(r"\$\$(?!\$)|\\\[|\\begin\{([A-Za-z]+\*?)\}")
_AFTER = re.compile(r"\s*([.,;:]?)\s*")


class _Span(NamedTuple):
    """A formula in a text: where its source begins and ends, and the whole of it."""

    start: int
    stop: int
    end: int
    display: bool


def use_formulas(markdown: MarkdownIt) -> None:
    """Teach a parser formulas, and to show them as MathML."""
    _find_formulas(markdown)
    markdown.add_render_rule("formula", _render)
    markdown.add_render_rule("formula_block", _render)


def keep_formulas(markdown: MarkdownIt) -> None:
    """Have a parser leave formulas as they were written."""
    _find_formulas(markdown)
    markdown.core.ruler.push("formulas", _to_text)


def _find_formulas(markdown: MarkdownIt) -> None:
    markdown.inline.ruler.before("escape", "formula", _inline)
    alternatives: RuleOptionsType = {"alt": ["paragraph", "reference", "blockquote", "list"]}
    markdown.block.ruler.before("fence", "formula", _block, alternatives)


def _render(
    renderer: RendererHTML,
    tokens: Sequence[Token],
    index: int,
    options: OptionsDict,
    env: EnvType,
) -> str:
    """The HTML of a formula; what cannot be converted, or has no end, as it was written."""
    token = tokens[index]
    is_block = token.type == "formula_block"
    display, after = token.meta["display"], token.meta["after"]
    html = None
    if not token.meta["open"]:
        html = mathml(token.content, display=display, after=after)
    if html is None:
        source = f'<span class="tex">{escape(token.markup, quote=False)}</span>'
        return f"<p>{source}</p>\n" if is_block else source
    if is_block:
        return f'<div class="formula" tabindex="0">{html}</div>\n'
    if display or len(token.content) > _LONG_CHARS:
        return f'<span class="formula" tabindex="0">{html}</span>'
    return html


def _put(token: Token, latex: str, source: str, *, display: bool, after: str, open_: bool) -> None:
    token.content = latex
    token.markup = source
    token.meta = {"display": display, "after": after, "open": open_}


def _to_text(state: StateCore) -> None:
    tokens: list[Token] = []
    for token in state.tokens:
        for child in token.children or ():
            if child.type == "formula":
                child.type, child.content = "text", child.markup
        if token.type != "formula_block":
            tokens.append(token)
            continue
        text = Token("text", "", 0, content=token.markup)
        inline = Token("inline", "", 0, content=token.markup, children=[text])
        paragraph = (Token("paragraph_open", "p", 1), inline, Token("paragraph_close", "p", -1))
        tokens += paragraph
    state.tokens = tokens


# --- in a line ---


def _inline(state: StateInline, silent: bool) -> bool:
    character = state.src[state.pos]
    if character not in "\\$":
        return False
    span = _dollars(state) if character == "$" else _brackets(state)
    is_open = span is None and _may_come(state)
    if is_open:
        span = _Span(state.pos, state.posMax, state.posMax, display=False)
    if span is None or span.end > state.posMax:
        return _unclosed(state, silent)
    if not silent:
        source = state.src[state.pos : span.end]
        latex = state.src[span.start : span.stop]
        token = state.push("formula", "", 0)
        _put(token, latex, source, display=span.display, after="", open_=is_open)
    state.pos = span.end
    return True


def _unclosed(state: StateInline, silent: bool) -> bool:
    """What begins a formula that never ends is shown as it was written."""
    opener = state.src[state.pos : state.pos + 2]
    if opener not in BRACKETS or next_place(state.src, BRACKETS[opener], state.pos + 2) is not None:
        return False
    if not silent:
        state.append_pending(opener)
    state.pos += 2
    return True


def _may_come(state: StateInline) -> bool:
    """Whether a formula begins whose end may still come: then no rule touches what is there."""
    if state.env.get("final", True):
        return False
    opener = state.src[state.pos : state.pos + 2]
    if opener == "$$":
        return state.src[state.pos + 2 : state.pos + 3] != "$" and not _follows_dollar(state)
    if opener in BRACKETS:
        return next_place(state.src, BRACKETS[opener], state.pos + 2) is None
    begin = _BEGIN.match(state.src, state.pos)
    return begin is not None and begin[1] in ENVIRONMENTS


def _brackets(state: StateInline) -> _Span | None:
    src, pos = state.src, state.pos
    opener = src[pos : pos + 2]
    if opener in BRACKETS:
        found = next_place(src, BRACKETS[opener], pos + 2)
        if found is None or not (latex := src[pos + 2 : found].strip()):
            return None
        before, after = src[max(pos - 1, 0) : pos], src[found + 2 : found + 3]
        is_display = opener == r"\["
        if is_display and (before.isalnum() or after == "(" or is_citation(latex)):
            return None  # escaped brackets of a link, of code or of words
        return _Span(pos + 2, found, found + 2, display=is_display)
    begin = _BEGIN.match(src, pos)
    if begin is None or begin[1] not in ENVIRONMENTS:
        return None
    closer = rf"\end{{{begin[1]}}}"
    found = next_place(src, closer, begin.end())
    if found is None:
        return None
    end = found + len(closer)
    return _Span(pos, end, end, display=True)


def _dollars(state: StateInline) -> _Span | None:
    src, pos = state.src, state.pos
    run = len(src[pos : pos + 3]) - len(src[pos : pos + 3].lstrip("$"))
    if run > 2 or _follows_dollar(state):
        return None
    found = next_place(src, "$" * run, pos + run)
    if found is None:
        return None
    latex = src[pos + run : found]
    end = found + run
    if not latex.strip() or "`" in latex or is_prose(latex):
        return None
    if run == 1 and not is_tight(src, pos, latex, end):
        return None
    return (
        _Span(pos + 1, found, end, display=False) if run == 1 else _Span(pos + 2, found, end, True)
    )


def _follows_dollar(state: StateInline) -> bool:
    return state.pos > 0 and state.src[state.pos - 1] == "$"


# --- in lines of its own ---


def _block(state: StateBlock, start_line: int, end_line: int, silent: bool) -> bool:
    if state.is_code_block(start_line):
        return False
    first = _line(state, start_line)
    opener = _OPENERS.match(first)
    if opener is None or (opener[1] and opener[1] not in ENVIRONMENTS):
        return False
    closer = {"$$": "$$", **BRACKETS}.get(opener[0], rf"\end{{{opener[1]}}}")
    lines = [first[opener.end() :]]
    line = start_line
    while (found := next_place(lines[-1], closer, 0)) is None:
        line += 1
        if line >= end_line or state.isEmpty(line) or state.sCount[line] < state.blkIndent:
            return _open_block(state, start_line, line, silent)
        lines.append(_line(state, line))
    after = _AFTER.fullmatch(lines[-1], found + len(closer))
    if after is None:
        return False  # the line goes on: it is a formula within a paragraph
    source = "\n".join([opener[0] + lines[0], *lines[1:]])
    lines[-1] = lines[-1][:found]
    latex = "\n".join(lines)
    if opener[1]:
        latex = opener[0] + latex + closer
    if not latex.strip() or (opener[0] == "$$" and (is_prose(latex) or "`" in latex)):
        return False
    if not silent:
        token = state.push("formula_block", "", 0)
        _put(token, latex, source, display=True, after=after[1], open_=False)
        token.map = [start_line, line + 1]
        state.line = line + 1
    return True


def _open_block(state: StateBlock, start_line: int, end_line: int, silent: bool) -> bool:
    """A formula that has not ended: nothing but its source, while its end may still come."""
    if state.env.get("final", True):
        return False
    if not silent:
        lines = [_line(state, line) for line in range(start_line, end_line)]
        token = state.push("formula_block", "", 0)
        _put(token, "", "\n".join(lines), display=True, after="", open_=True)
        token.map = [start_line, end_line]
        state.line = end_line
    return True


def _line(state: StateBlock, line: int) -> str:
    return state.src[state.bMarks[line] + state.tShift[line] : state.eMarks[line]]
