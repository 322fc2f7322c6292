"""The inline rules of Markdown whose text still comes: what is open is ended, or left out."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from markdown_it.rules_inline import StateInline
from markdown_it.rules_inline.state_inline import Delimiter
from markdown_it.token import Token

from streaming.markup.formulas import MOST_CHARS

_LABEL_CHARS, _LINK_CHARS, _CODE_CHARS, _TAG_CHARS = 300, 2000, 300, 200
"""What is open for longer is no link, code or tag: it is shown as it was written."""


FORMULA_CHARS = MOST_CHARS + 2
"""A longer one, with its opener, is never converted: its source is what there is to read of it."""


_OPENERS = 20
"""Where more marks are open, they are no emphasis."""


RUNS = re.compile(r"`+")


_LABEL = re.compile(r"!?\[((?:[^\[\]\\]|\\.|\[[^\[\]]*\])*)(\]?)", re.DOTALL)


_TAG = re.compile(r"<[A-Za-z/!?][^\s<>]*")


_DOLLAR = re.compile(r"\$(?:[^\s\d$][^$\n]{0,80}|\d[^\s$]{0,20})")


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


def _growth(state: StateInline) -> Growth | None:
    """The state of the text that grows, if it is this one, and what is parsed reaches its end."""
    growth: Growth | None = state.env.get("growth")
    if growth is None or growth.content is None or state.src != growth.content:
        return None
    return growth if state.posMax == len(state.src) else None


def open_code(state: StateInline, silent: bool) -> bool:
    """Code whose end is still to come."""
    if silent or state.src[state.pos] != "`" or not (growth := _growth(state)):
        return False
    run = RUNS.match(state.src, state.pos)
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


def leave_out_unclear(state: StateInline, silent: bool) -> bool:
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


def close_pairs(state: StateInline) -> None:
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
