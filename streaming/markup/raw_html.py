"""The few HTML tags that models write into Markdown and that do no harm; all others are text.

They have no attributes (`<details open>` apart), and each is closed where it was opened: in its
line, and between the same marks of Markdown. What is not is text, too.
"""

from __future__ import annotations

import re

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.ruler import RuleOptionsType
from markdown_it.rules_block import StateBlock
from markdown_it.rules_core import StateCore
from markdown_it.rules_inline import StateInline
from markdown_it.token import Token

_NAMES = "b strong i em u s del ins mark small sub sup kbd samp var q cite ruby rt rp"
PAIRED = frozenset(_NAMES.split())
_EMPTY = frozenset(("br", "wbr"))
TAGS = PAIRED | _EMPTY | {"details", "summary"}

_TAG = re.compile(r"<(/?)([A-Za-z]{1,6})\s?(/?)>")
_DETAILS = re.compile(r"<details(\s+open(?:=(?:\"\"|\"open\"))?)?\s*>", re.IGNORECASE)
_SIDES = re.compile(r"<(/?)details(?:\s[^<>]{0,40})?>", re.IGNORECASE)
_SUMMARY = re.compile(r"\s*<summary>(.*?)</summary>", re.IGNORECASE | re.DOTALL)
_FENCE = re.compile(r"(`{3,}|~{3,})")
_SUMMARY_LINES = 5


def use_raw_html(markdown: MarkdownIt) -> None:
    """Teach a parser these tags, and `<details>` with blocks in it."""
    markdown.inline.ruler.before("autolink", "tag", _tag)
    markdown.core.ruler.after("inline", "tags", _pair_tags)
    alternatives: RuleOptionsType = {"alt": ["paragraph", "reference", "blockquote", "list"]}
    markdown.block.ruler.before("fence", "details", _details, alternatives)
    for name in ("details_open", "details_close", "summary_open", "summary_close"):
        markdown.add_render_rule(name, RendererHTML.renderToken)


# --- tags in a line ---


def _tag(state: StateInline, silent: bool) -> bool:
    found = _TAG.match(state.src, state.pos, state.posMax)
    if found is None:
        return False
    name = found[2].lower()
    is_empty = name in _EMPTY
    if not is_empty and (name not in PAIRED or found[3]):
        return False
    if not silent:
        token = state.push("tag", name, 0)
        token.content = found[0]
        token.meta = {"closes": bool(found[1]) and not is_empty, "pair": is_empty}
    state.pos = found.end()
    return True


def _pair_tags(state: StateCore) -> None:
    """Make pairs of tags elements, and text of those that have no other one."""
    for block in state.tokens:
        if not block.children or all(child.type != "tag" for child in block.children):
            continue
        _find_pairs(block.children)
        for token in block.children:
            if token.type != "tag":
                continue
            if token.tag in _EMPTY:
                token.type, token.content = ("hardbreak", "") if token.tag == "br" else ("wbr", "")
            elif token.meta["pair"]:
                closes = token.meta["closes"]
                token.type = f"{token.tag}_{'close' if closes else 'open'}"
                token.nesting, token.content = (-1 if closes else 1), ""
            else:
                token.type, token.tag = "text", ""


def _find_pairs(tokens: list[Token]) -> None:
    open_: list[Token] = []  # Markdown's own elements, too
    for token in tokens:
        if token.type != "tag":
            if token.nesting > 0:
                open_.append(token)
            elif token.nesting < 0:
                while open_ and open_.pop().type == "tag":
                    pass
        elif token.meta["closes"]:
            if open_ and open_[-1].type == "tag" and open_[-1].tag == token.tag:
                token.meta["pair"] = open_.pop().meta["pair"] = True
        elif token.tag not in _EMPTY:
            open_.append(token)


# --- details ---


def _details(state: StateBlock, start_line: int, end_line: int, silent: bool) -> bool:
    if state.is_code_block(start_line):
        return False
    begin = state.bMarks[start_line] + state.tShift[start_line]
    opened = _DETAILS.match(state.src, begin, state.eMarks[start_line])
    if opened is None:
        return False
    if silent:
        return True
    last, closes, ends = _end_of(state, start_line, end_line)
    token = state.push("details_open", "details", 1)
    token.block = True
    token.map = [start_line, last + 1]
    if opened[1]:
        token.attrs = {"open": ""}
    rest = state.eMarks[last]
    state.eMarks[last] = closes
    line, begin = _summary(state, start_line, last, opened.end())
    _parse_from(state, line, last + 1, begin)
    state.eMarks[last] = rest
    state.push("details_close", "details", -1).block = True
    if ends < rest:
        _parse_from(state, last, last + 1, ends)
    state.line = last + 1
    return True


def _end_of(state: StateBlock, start_line: int, end_line: int) -> tuple[int, int, int]:
    """The line in which a `<details>` ends, and where its end tag begins and ends there; that of
    what it stands in, where it has none."""
    depth, fence = 0, ""
    line = start_line
    for line in range(start_line, end_line):
        begin, end = state.bMarks[line] + state.tShift[line], state.eMarks[line]
        if begin < end and state.sCount[line] < state.blkIndent:
            line = max(start_line, line - 1)
            break
        mark = _FENCE.match(state.src, begin, end)
        if mark and (not fence or mark[1].startswith(fence)):
            fence = "" if fence else mark[1]
        if fence:
            continue
        for side in _SIDES.finditer(state.src, begin, end):
            depth += -1 if side[1] else 1
            if depth == 0:
                return line, side.start(), side.end()
    return line, state.eMarks[line], state.eMarks[line]


def _summary(state: StateBlock, line: int, last: int, begin: int) -> tuple[int, int]:
    """Put the summary, if one comes first; the line and the place where the rest begins."""
    until = min(last, line + _SUMMARY_LINES)
    found = _SUMMARY.match(state.src, begin, state.eMarks[until])
    if found is None:
        return line, begin
    while state.eMarks[line] < found.end():
        line += 1
    state.push("summary_open", "summary", 1).block = True
    token = state.push("inline", "", 0)
    token.content = " ".join(found[1].split())
    token.children = []
    state.push("summary_close", "summary", -1).block = True
    return line, found.end()


def _parse_from(state: StateBlock, line: int, end_line: int, begin: int) -> None:
    """Parse what stands in these lines from a place in the first one on, as blocks."""
    if line >= end_line:
        return
    before = state.bMarks[line], state.tShift[line], state.sCount[line], state.eMarks[line]
    text = state.src[begin : state.eMarks[line]]
    spaces = len(text) - len(text.lstrip(" \t"))
    state.bMarks[line], state.tShift[line] = begin, spaces
    state.sCount[line] = state.blkIndent
    state.md.block.tokenize(state, line, end_line)
    state.bMarks[line], state.tShift[line], state.sCount[line], state.eMarks[line] = before
