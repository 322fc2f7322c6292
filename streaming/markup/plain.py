"""Segments as they were written: what is shown while they are rendered, and where that fails."""

from __future__ import annotations

import re
from html import escape

from streaming.markup.code import code_html
from streaming.markup.rendering import Rendering
from streaming.markup.segments import Segment, SegmentKind

TAIL = '<span class="tail"></span>'
"""Where the text of a block that grows goes on: what is not rendered yet is put in here."""

PLAIN = '<p class="plain">'

_UNSHOWABLE = re.compile("[\ud800-\udfff\x00]")


def html_of(segment: Segment, rendering: Rendering) -> str:
    """What to show of a whole segment by now: what is not rendered yet as it was written."""
    if rendering.html is not None:
        return rendering.html
    if segment.kind is SegmentKind.CODE:
        return code_html(*fenced(segment))
    return plain_text(showable(segment.text))


def plain_text(text: str, *, grows: bool = False) -> str:
    """A text as it was written; `grows`: with the place where more will stand."""
    return f"{PLAIN}{escape(text.strip(), quote=False)}{TAIL if grows else ''}</p>"


def showable(text: str) -> str:
    """Return a text without characters that no page can show."""
    return _UNSHOWABLE.sub("\ufffd", text)


def fenced(segment: Segment) -> tuple[str, str]:
    """The code of a code block, and what stands after its fence."""
    assert segment.fence is not None
    code = showable(segment.text).replace("\r\n", "\n").replace("\r", "\n")
    lines = code.split("\n")[1:]
    if segment.fence_closed:
        del lines[-2 if lines[-1:] == [""] else -1 :]
        lines.append("")
    if indent := segment.fence.indent:
        lines = [line[min(indent, len(line) - len(line.lstrip(" "))) :] for line in lines]
    return "\n".join(lines), showable(segment.fence.info)
