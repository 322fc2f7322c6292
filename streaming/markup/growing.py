"""Markdown whose text still comes, as HTML of which nothing is taken back. This runs in the pool.

What the next characters may still make another thing of (half a marker, a link without its end,
the row of a table) is left out. Emphasis and code that are open are shown as if they ended here.
`TAIL` stands where the text goes on, unless something was left out.
"""

from __future__ import annotations

import copy
import re
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.rules_core import StateCore
from markdown_it.token import Token

from streaming.markup.growing_inline import (
    FORMULA_CHARS,
    RUNS,
    Growth,
    close_pairs,
    leave_out_unclear,
    open_code,
)
from streaming.markup.plain import TAIL

_ATTEMPTS = 4
"""So often lines are left out; each time the block is parsed again."""


_CONTAINERS = re.compile(r"(?:[ \t]*(?:>|[-+*](?=[ \t])|\d{1,9}[.)](?=[ \t])))*[ \t]*")
_UNCLEAR_LINE = re.compile(
    r"[-=*_+#`~:.$<!&\[(\\| \t]*|\d{1,9}[.)]?|(?:```|~~~).*|\|.*|\[[ xX]?\]?"
)
_UNCLEAR_END = "*_~`!\\<[$"
_OPEN_ENTITY = re.compile(r"&[#\w]{0,32}$")
_OPEN_BEGIN = re.compile(r"\\(?:b(?:e(?:g(?:in?)?)?)?|begin\{[A-Za-z]{0,20})$")
_ESCAPED_URL = re.compile(r"://[^\s%]{0,1000}(%\S{0,200})$")
_LEAVES = ("inline", "fence", "code_block")


def render(markdown: MarkdownIt, text: str, env: dict[str, Any]) -> str:
    """The HTML of the beginning of a text; empty if it is not clear what it begins."""
    whole_line = text.endswith("\n")
    text, held = _without_unclear_line(text)
    for _ in range(_ATTEMPTS):
        growth = Growth(whole_line=whole_line, held=held)
        scope = {**copy.deepcopy(env), "growth": growth}
        html = str(markdown.render(text, scope))
        if growth.cut is None:
            env["codes"] += scope["codes"]
            return _with_tail_in_code(html, growth)
        text = "\n".join(text.split("\n")[: growth.cut])
        whole_line = held = True
    return ""


def _with_tail_in_code(html: str, growth: Growth) -> str:
    if growth.held or growth.home is None or growth.home.type == "inline":
        return html
    at = html.rfind("</code></pre>")
    return html if at < 0 else html[:at] + TAIL + html[at:]


def _without_unclear_line(text: str) -> tuple[str, bool]:
    """The text without a last line that may still become anything; whether there was one."""
    begin = text.rfind("\n") + 1
    line = text[begin:]
    rest = _CONTAINERS.sub("", line, count=1)
    if line.strip() and _UNCLEAR_LINE.fullmatch(rest):
        return text[:begin], True
    return text, False


# --- the rules ---


def install(markdown: MarkdownIt) -> None:
    """Add what a growing text needs to a parser; it changes nothing about others."""
    markdown.core.ruler.before("inline", "growing_block", _find_home)
    markdown.core.ruler.after("inline", "growing_inline", _parse_home)
    markdown.inline.ruler.before("backticks", "growing_code", open_code)
    markdown.inline.ruler.push("growing_unclear", leave_out_unclear)
    markdown.inline.ruler2.after("balance_pairs", "growing_pairs", close_pairs)
    markdown.add_render_rule("tail", lambda *_: TAIL)


def _find_home(state: StateCore) -> None:
    """The last leaf is where the text goes on."""
    growth: Growth | None = state.env.get("growth")
    if growth is None or not state.tokens:
        return
    _mark_last_item(state.tokens)
    closing: set[str] = set()
    for token in reversed(state.tokens):
        if token.nesting != -1:
            break
        closing.add(token.type)
    if "table_close" in closing:
        growth.held = True
        if not growth.whole_line:
            growth.cut = state.src.count("\n")  # the row is shown when it is whole
    elif _is_open_formula(token) or _may_be_in_line(token, growth):
        growth.cut = token.map[0] if token.map else 0
    elif token.type not in _LEAVES:
        growth.held = True
    elif token.type == "inline":
        if token.content.rpartition("\n")[2].lstrip().startswith("|"):
            growth.cut = _last_line(token)  # the next line may make it the head of a table
            return
        growth.home = token
        token.type = "growing"
    else:
        growth.home = token
        token.content = token.content.rstrip("\n")


def _mark_last_item(tokens: list[Token]) -> None:
    """Say of a list at the end which item is the last, and in which line it begins: from there on
    it can be rendered by itself."""
    if tokens[-1].level or not tokens[-1].type.endswith("_list_close"):
        return
    heads = [token for token in tokens if token.level == 0 and token.nesting != -1]
    begin = tokens.index(heads[-1])
    items = [t for t in tokens[begin:] if t.level == 1 and t.type == "list_item_open"]
    if items and items[-1].map:
        line = items[-1].map[0]
        items[-1].attrSet("data-item", f"{len(items) - 1} {line} {len(heads)}")


def _last_line(token: Token) -> int:
    assert token.map is not None
    return token.map[0] + token.content.count("\n")


def _parse_home(state: StateCore) -> None:
    growth: Growth | None = state.env.get("growth")
    if growth is None or growth.home is None or growth.home.type != "growing":
        return
    token = growth.home
    token.type = "inline"
    content = token.content.rstrip(_UNCLEAR_END)
    for half in (_OPEN_ENTITY, _OPEN_BEGIN):
        if found := half.search(content, max(0, len(content) - 40)):
            content = content[: found.start()]
    if url := _ESCAPED_URL.search(content):
        content = content[: url.start(1)]
    growth.held = growth.held or content != token.content
    token.content = growth.content = content.rstrip()
    for run in RUNS.finditer(token.content):
        growth.runs[len(run.group())] = run.start()
    token.children = []
    state.md.inline.parse(token.content, state.md, state.env, token.children)
    growth.content = None
    token.children = _without_open_formulas(token.children)
    _close_tags(token.children)
    if not any(map(_is_visible, token.children)):
        growth.cut = token.map[0] if token.map else 0


def _without_open_formulas(tokens: list[Token]) -> list[Token]:
    if not any(_is_open_formula(token) for token in tokens):
        return tokens
    return [token for token in tokens if token.type != "tail" and not _is_open_formula(token)]


def _is_open_formula(token: Token) -> bool:
    is_open = token.type.startswith("formula") and token.meta.get("open", False)
    return is_open and len(token.markup) <= FORMULA_CHARS


def _may_be_in_line(token: Token, growth: Growth) -> bool:
    """Whether a formula has the last line for itself only as long as that does not go on."""
    return token.type == "formula_block" and not token.meta["open"] and not growth.whole_line


def _close_tags(tokens: list[Token]) -> None:
    """End the HTML tags that are open, as the pairs of Markdown's own marks are."""
    open_: list[str] = []
    for token in tokens:
        if token.type != "tag" or "closes" not in token.meta or token.meta["pair"]:
            continue
        if not token.meta["closes"]:
            open_.append(token.tag)
        elif token.tag in open_:
            open_.remove(token.tag)
    for tag in reversed(open_):
        tokens.append(Token("tag", tag, 0, meta={"closes": True, "pair": False}))


def _is_visible(token: Token) -> bool:
    if token.type == "text":
        return bool(token.content.strip())
    return token.nesting == 0 and token.type not in ("softbreak", "hardbreak", "tail")
