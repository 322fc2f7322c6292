"""Ends what a piece of Markdown leaves open, so that more can stand behind it.

Of all blocks, two go on over blank lines until something ends them: fenced code, and HTML such as
a comment. What is open in an item of a list ends with the item.
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

_MARKER = re.compile(r" {0,3}(?:[-+*]|\d{1,9}[.)])(?: {1,4}(?! )|$)")


class _Open(NamedTuple):
    """A block that is open: a fence of so many signs, or HTML and what ends it. `offset`: the
    column of the list's item that it is in, 0 outside of one."""

    offset: int
    indent: str = ""
    fence: str = ""
    ends: tuple[str, ...] = ()

    def is_ended_by(self, line: str) -> bool:
        """Return whether a line ends the block."""
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
    block: _Open | None = None
    for line in lines:
        if block and block.offset and line.strip() and _indent(line) < block.offset:
            block = None  # its item ends here
        if block:
            block = None if block.is_ended_by(line) else block
            continue
        if line.strip() and _indent(line) < offset:
            offset = 0
        if marker := _MARKER.match(line):
            offset = len(marker[0]) if marker[0].endswith(" ") else len(marker[0]) + 1
        block = _opened_by(line, offset)
    if block and not block.offset:
        lines.append(f"{block.indent}{block.fence}" if block.fence else block.ends[0])
    return "".join(f"{line}\n" for line in lines)


def lines_of(text: str) -> list[str]:
    """Return the lines of a text, however they end."""
    return text.replace("\r\n", "\n").replace("\r", "\n").split("\n")


def _opened_by(line: str, offset: int) -> _Open | None:
    inside = offset if offset and _indent(line) >= offset else 0
    text = line[inside:]
    if fence := _FENCE.match(text):
        return _Open(inside, fence[1], fence[2])
    if html := _HTML.match(text):
        number = next(at for at, found in enumerate(html.groups()) if found)
        opened = _Open(inside, ends=_ENDS[number])
        rest = text[html.end() :] if number else text
        return None if opened.is_ended_by(rest) else opened
    return None


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip(" "))
