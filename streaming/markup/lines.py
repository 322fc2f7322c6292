"""What a line of Markdown begins, told as soon as nothing that follows can change it.

The functions return None where that cannot be told yet.
"""

from __future__ import annotations

from typing import NamedTuple


class Fence(NamedTuple):
    """What opens a code block: a character so many times, its indent, and what follows."""

    character: str
    length: int
    indent: int
    info: str


class Line(NamedTuple):
    """What a line begins: `what` is blank, text, heading, fence, marker, fence_end or details."""

    what: str
    indent: int = 0
    marker: str = ""
    offset: int = 0
    fence: Fence | None = None
    depth: int = 0
    """By how many details more are open behind it."""


def read_in_code(fence: Fence, rest: str, indent: int, complete: bool, long: bool) -> Line | None:
    """Return what a line inside code is: text, or the fence that ends it."""
    after = rest.lstrip(fence.character)
    may_end = not long and indent < 4 and not after.strip(" \t\r\n")
    if not may_end or (after and len(rest) - len(after) < fence.length):
        return Line("text", indent)
    if not complete:
        return None
    return Line("fence_end" if len(rest) - len(after) >= fence.length else "text", indent)


def read_details(rest: str, indent: int, complete: bool) -> Line | None:
    """Return whether a line that begins with `<` opens a `<details>`."""
    tag = rest[:8].lower()
    if not "<details".startswith(tag) or rest[8:9].strip(" \t\r\n>"):
        return Line("text", indent)
    if not complete:
        return None
    depth = _depth_of(rest)
    return Line("details" if depth > 0 and len(tag) == 8 else "text", indent, depth=depth)


def read_in_details(fence: Fence | None, rest: str, indent: int, complete: bool) -> Line | None:
    """Return what a line inside a `<details>` is, and how many more are open behind it."""
    if fence:
        return read_in_code(fence, rest, indent, complete, long=False)
    if rest[0] in "`~" and indent < 4:
        return read_fence(rest, indent, complete)
    if rest[0] != "<":
        return Line("text", indent)
    return Line("text", indent, depth=_depth_of(rest)) if complete else None


def _depth_of(line: str) -> int:
    text = line.lower()
    return text.count("<details>") + text.count("<details ") - text.count("</details>")


def read_fence(rest: str, indent: int, complete: bool) -> Line | None:
    """Return whether a line that begins with a backtick or a tilde opens a code block."""
    character = rest[0]
    info = rest.lstrip(character)
    length = len(rest) - len(info)
    if not complete and not info:
        return None
    if length < 3 or (character == "`" and "`" in info):
        return Line("text", indent)
    if not complete:
        return None
    return Line("fence", indent, fence=Fence(character, length, indent, info.strip()))


def read_heading(rest: str, indent: int, complete: bool) -> Line | None:
    """Return whether a line that begins with `#` is a heading."""
    title = rest.lstrip("#")
    if len(rest) - len(title) > 6 or (title and title[0] not in " \t\r\n"):
        return Line("text", indent)
    return Line("heading", indent) if title or complete else None


def read_marker(rest: str, indent: int, complete: bool) -> Line | None:
    """Return whether a line begins an item of a list, and from which column on its text stands."""
    if rest[0] in "-*+":
        width = 1
    else:
        width = len(rest) - len(rest.lstrip("0123456789"))
        if not 1 <= width <= 9:
            return Line("text", indent)
        if len(rest) == width:
            return Line("text", indent) if complete else None
        if rest[width] not in ".)":
            return Line("text", indent)
        width += 1
    if rest[width : width + 1].strip(" \t\r\n"):
        return Line("text", indent)
    content = rest[width:].lstrip(" \t")
    if not complete and not content:
        return None
    column = indent + width
    spaces = len((" " * column + rest[width : len(rest) - len(content)]).expandtabs(4)) - column
    if not 1 <= spaces <= 4 or not content.strip("\r\n"):
        spaces = 1
    return Line("marker", indent, rest[width - 1], column + spaces)
