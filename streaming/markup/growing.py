"""Markdown whose text still comes, as HTML of which nothing is taken back. This runs in the pool.

What the next characters may still make another thing of (half a marker, a link without its end,
the row of a table) is left out. Emphasis and code that are open are shown as if they ended here.
`TAIL` stands where the text goes on, unless something was left out.
"""

from __future__ import annotations

import copy
import re
from dataclasses import dataclass, field
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.rules_core import StateCore
from markdown_it.rules_inline import StateInline
from markdown_it.rules_inline.state_inline import Delimiter
from markdown_it.token import Token

from streaming.markup.formulas import MOST_CHARS
from streaming.markup.plain import TAIL

_ATTEMPTS = 4
"""So often lines are left out; each time the block is parsed again."""

_LABEL_CHARS, _LINK_CHARS, _CODE_CHARS, _TAG_CHARS = 300, 2000, 300, 200
"""What is open for longer is no link, code or tag: it is shown as it was written."""

_FORMULA_CHARS = MOST_CHARS + 2
"""A longer one, with its opener, is never converted: its source is what there is to read of it."""

_OPENERS = 20
"""Where more marks are open, they are no emphasis."""

_CONTAINERS = re.compile(r"(?:[ \t]*(?:>|[-+*](?=[ \t])|\d{1,9}[.)](?=[ \t])))*[ \t]*")
_UNCLEAR_LINE = re.compile(
    r"[-=*_+#`~:.$<!&\[(\\| \t]*|\d{1,9}[.)]?|(?:```|~~~).*|\|.*|\[[ xX]?\]?"
)
_UNCLEAR_END = "*_~`!\\<[$"
_OPEN_ENTITY = re.compile(r"&[#\w]{0,32}$")
_OPEN_BEGIN = re.compile(r"\\(?:b(?:e(?:g(?:in?)?)?)?|begin\{[A-Za-z]{0,20})$")
_ESCAPED_URL = re.compile(r"://[^\s%]{0,1000}(%\S{0,200})$")
_RUNS = re.compile(r"`+")
_LABEL = re.compile(r"!?\[((?:[^\[\]\\]|\\.|\[[^\[\]]*\])*)(\]?)", re.DOTALL)
_TAG = re.compile(r"<[A-Za-z/!?][^\s<>]*")
_DOLLAR = re.compile(r"\$(?:[^\s\d$][^$\n]{0,80}|\d[^\s$]{0,20})")
_LEAVES = ("inline", "fence", "code_block")


@dataclass
class Growth:
    """The state of one attempt; `env["growth"]` while a growing text is parsed."""

    whole_line: bool
    """The text ends with a line's end."""
    held: bool = False
    """Something was left out: the text does not go on behind what is shown."""
    cut: int | None = None
    """The first line, counted from 0, that is to be left out."""
    home: Token | None = None
    content: str | None = None
    """The source of the inline text that goes on, while that is parsed."""
    runs: dict[int, int] = field(default_factory=dict)
    """The last place of each length of backticks in it."""


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
    markdown.inline.ruler.before("backticks", "growing_code", _open_code)
    markdown.inline.ruler.push("growing_unclear", _unclear)
    markdown.inline.ruler2.after("balance_pairs", "growing_pairs", _close_pairs)
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
    for run in _RUNS.finditer(token.content):
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
    return is_open and len(token.markup) <= _FORMULA_CHARS


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


def _growth(state: StateInline) -> Growth | None:
    """The state of the text that grows, if it is this one, and what is parsed reaches its end."""
    growth: Growth | None = state.env.get("growth")
    if growth is None or growth.content is None or state.src != growth.content:
        return None
    return growth if state.posMax == len(state.src) else None


def _open_code(state: StateInline, silent: bool) -> bool:
    """Code whose end is still to come."""
    if silent or state.src[state.pos] != "`" or not (growth := _growth(state)):
        return False
    run = _RUNS.match(state.src, state.pos)
    assert run is not None
    code = state.src[run.end() :]
    is_open = growth.runs.get(len(run.group()), -1) <= state.pos
    if not is_open or not code.strip() or len(code) > _CODE_CHARS:
        return False
    state.push("code_open", "code", 1)
    state.push("text", "", 0).content = code.replace("\n", " ").removeprefix(" ")
    if not growth.held:
        state.push("tail", "", 0)
        growth.held = True  # it stands here, and not at the end
    state.push("code_close", "code", -1)
    state.pos = state.posMax
    return True


def _unclear(state: StateInline, silent: bool) -> bool:
    """Leave out what no rule has found to be anything, but may become something."""
    if silent or state.src[state.pos] not in "![<$" or not (growth := _growth(state)):
        return False
    if not (_is_open_tag(state) or _is_open_link(state) or _is_open_formula_at(state)):
        return False
    growth.held = True
    state.pos = state.posMax
    return True


def _is_open_tag(state: StateInline) -> bool:
    tag = _TAG.match(state.src, state.pos)
    return bool(tag and tag.end() == state.posMax and len(tag.group()) <= _TAG_CHARS)


def _is_open_formula_at(state: StateInline) -> bool:
    """A `$` that may begin a formula, and not a price."""
    if state.pos and state.src[state.pos - 1].isalnum():
        return False
    opened = _DOLLAR.match(state.src, state.pos)
    return bool(opened and opened.end() == state.posMax)


def _is_open_link(state: StateInline) -> bool:
    label = _LABEL.match(state.src, state.pos, state.pos + _LABEL_CHARS)
    if label is None:
        return False
    if not label.group(2):
        return label.end() == state.posMax
    after = state.src[label.end() : label.end() + 1]
    end = {"(": ")", "[": "]", ":": "\n"}.get(after)
    if end is None:
        return not after
    if after == ":" and state.pos:
        return False
    rest = state.src[label.end() + 1 :]
    return end not in rest and len(rest) <= _LINK_CHARS


def _close_pairs(state: StateInline) -> None:
    """Mark the place where the text goes on, and end behind it what was opened."""
    growth = _growth(state)
    if growth is None:
        return
    if not growth.held:
        state.push("tail", "", 0)
    enclosed, openers = -1, []
    for index, delimiter in enumerate(state.delimiters):
        if delimiter.end >= 0:
            enclosed = max(enclosed, delimiter.end)
        elif delimiter.open and index > enclosed:
            openers.append(index)
    if len(openers) > _OPENERS:
        return
    for index in reversed([index for index in openers if _is_likely(state, index)]):
        opener = state.delimiters[index]
        state.push("text", "", 0).content = state.tokens[opener.token].content
        opener.end = len(state.delimiters)
        token = len(state.tokens) - 1
        state.delimiters.append(
            Delimiter(opener.marker, opener.length, token, end=-1, open=False, close=True)
        )


def _is_likely(state: StateInline, index: int) -> bool:
    """Whether emphasis probably begins here: not in `2*3`."""
    before = after = state.delimiters[index].token
    mark = state.tokens[before].content
    while before >= 0 and state.tokens[before].content == mark:
        before -= 1
    while after < len(state.tokens) and state.tokens[after].content == mark:
        after += 1
    if before < 0 or after == len(state.tokens):
        return True
    around = state.tokens[before].content[-1:] + state.tokens[after].content[:1]
    return not (len(around) == 2 and around.isascii() and around.isalnum())
