"""Ends what a piece of Markdown leaves open, so that more can stand behind it.

Of all blocks, two go on over blank lines until something ends them: fenced code, and HTML such as
a comment. Other HTML ends at a blank line; until then, nothing in it begins a block. What is open
in an item of a list ends with the item.
"""

from __future__ import annotations

import re
from typing import NamedTuple

_FENCE = re.compile(r"( {0,3})(`{3,}(?=[^`]*$)|~{3,})")
_HTML = re.compile(
    r" {0,3}<(?:(script|pre|style|textarea)(?=[\s>]|$)|(!--)|(\?)|(!\[cdata\[)|(![a-z]))",
    re.IGNORECASE,
)
_RAW_ENDS = ("</script>", "</pre>", "</style>", "</textarea>")
_ENDS = (_RAW_ENDS, ("-->",), ("?>",), ("]]>",), (">",))
"""What ends HTML that begins with each group of `_HTML`; any of the texts does."""

_NAMES = (
    "address|article|aside|base|basefont|blockquote|body|caption|center|col|colgroup|dd|details|"
    "dialog|dir|div|dl|dt|fieldset|figcaption|figure|footer|form|frame|frameset|h[1-6]|head|header|"
    "hr|html|iframe|legend|li|link|main|menu|menuitem|nav|noframes|ol|optgroup|option|p|param|"
    "search|section|summary|table|tbody|td|tfoot|th|thead|title|tr|track|ul"
)
_BLOCK_TAG = re.compile(rf" {{0,3}}</?(?:{_NAMES})(?:\s|/?>|$)", re.IGNORECASE)
_LONE_TAG = re.compile(r" {0,3}</?[a-z][a-z0-9-]*(?:\s[^<>]*)?/?>\s*$", re.IGNORECASE)
_NO_TEXT = re.compile(r" {0,3}(?:#{1,6}(?:\s|$)|(?:[-*_]\s*){3,}$)")
"""A line that is no paragraph, which a lone tag cannot interrupt."""

_QUOTE = re.compile(r" {0,3}>")
_MARKER = re.compile(r" {0,3}(?:[-+*]|\d{1,9}[.)])(?: {1,4}(?! )|$)")


class _Open(NamedTuple):
    """A block that is open: a fence of so many signs, or HTML and what ends it, a blank line if
    that is nothing. `offset`: the column of the list's item that it is in, 0 outside of one."""

    offset: int
    indent: str = ""
    fence: str = ""
    ends: tuple[str, ...] = ()

    def is_ended_by(self, line: str) -> bool:
        """Return whether a line ends the block."""
        if not self.fence and not self.ends:
            return not line.strip()
        if not self.fence:
            text = line.lower()
            return any(end in text for end in self.ends)
        bare = line.strip(" \t")
        is_fence = len(bare) >= len(self.fence) and not bare.strip(self.fence[0])
        return is_fence and _indent(line) < self.offset + 4


def closed(text: str) -> str:
    """Return Markdown in which nothing is left open, with a newline at its end; "" for nothing."""
    lines = lines_of(text.rstrip())
    if lines == [""]:
        return ""
    offset = 0
    is_text = False
    block: _Open | None = None
    for line in lines:
        if block and block.offset and line.strip() and _indent(line) < block.offset:
            block = None  # its item ends here
        if block:
            block, is_text = None if block.is_ended_by(line) else block, False
            continue
        if line.strip() and _indent(line) < offset:
            if is_text and not _begins_something(line):
                continue  # the item's text goes on
            offset = 0
        if marker := _MARKER.match(line):
            offset = len(marker[0]) if marker[0].endswith(" ") else len(marker[0]) + 1
            is_text = False
            line = " " * offset + line[len(marker[0]) :]
        block, rest = _opened_by(line, offset, is_text)
        is_text = not block and bool(line.strip()) and not _NO_TEXT.match(line.strip())
        if block and rest and block.is_ended_by(rest):  # on the line on which it begins
            block = None
    if block and not block.offset and (block.fence or block.ends):
        lines.append(f"{block.indent}{block.fence}" if block.fence else block.ends[0])
    return "".join(f"{line}\n" for line in lines)


def lines_of(text: str) -> list[str]:
    """Return the lines of a text, however they end."""
    return text.replace("\r\n", "\n").replace("\r", "\n").split("\n")


def _opened_by(line: str, offset: int, is_text: bool) -> tuple[_Open | None, str]:
    """Return the block that a line begins, and what stands on the line that may end it."""
    inside = offset if offset and _indent(line) >= offset else 0
    text = line[inside:]
    if fence := _FENCE.match(text):
        return _Open(inside, fence[1], fence[2]), ""
    if html := _HTML.match(text):
        number = next(at for at, found in enumerate(html.groups()) if found)
        return _Open(inside, ends=_ENDS[number]), text[html.end() :] if number else text
    if _BLOCK_TAG.match(text) or (not is_text and _LONE_TAG.match(text)):
        return _Open(inside), ""
    return None, ""


def _begins_something(line: str) -> bool:
    patterns = (_FENCE, _HTML, _BLOCK_TAG, _NO_TEXT, _MARKER, _QUOTE)
    return any(pattern.match(line) for pattern in patterns)


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip(" "))
