"""Cuts Markdown into segments that can be rendered one by one, while the text still comes.

A segment is a fenced code block, a heading, a `<details>` with all in it, or what stands between
two boundaries. A boundary is a blank line before a line that can only begin something new. Where
this is in doubt, two blocks stay in one segment, which renders them as Markdown has it. A line is
judged by its beginning, once and for all, as soon as nothing that follows can change the verdict:
so the segments of a text do not depend on how it was cut into deltas.
"""

from __future__ import annotations

import re
from enum import Enum, auto
from typing import NamedTuple

from streaming.markup.lines import (
    Fence,
    Line,
    read_details,
    read_fence,
    read_heading,
    read_in_code,
    read_in_details,
    read_marker,
)

SOFT_CHARS = 10_000
"""A longer segment ends at the next line, or the next item of its list, that allows it."""

_JUDGED_CHARS = 1000
"""A line that is longer is plain text, whatever it begins with: no fence, nothing blank."""


_LINE_SIGNS = re.compile(r"[|$\\]")


class SegmentKind(Enum):
    """What a segment is made of."""

    TEXT = auto()
    LIST = auto()
    HEADING = auto()
    CODE = auto()
    DETAILS = auto()


class Known(NamedTuple):
    """What other segments of the text say of this one's links."""

    definitions: tuple[str, ...] = ()
    """Lines that define references."""
    notes: tuple[str, ...] = ()
    """Labels of footnotes."""


class Segment:
    """A stretch of source text; `size` is its length in code points."""

    def __init__(self, kind: SegmentKind, fence: Fence | None = None) -> None:
        self.kind = kind
        self.fence = fence
        self.fence_closed = False
        self.marker = ""  # of the newest item of a list's outermost level
        self.offset = 0  # the column from which on lines belong to that item
        self.depth = 0  # of the details that are open in it
        self.inside: Fence | None = None  # of the code that is open in details
        self.size = 0
        self.known = Known()
        self.has_line_signs = False  # it may have a table or a formula, which need whole lines
        self._parts: list[str] = []

    def add(self, text: str) -> None:
        """Append source text."""
        self._parts.append(text)
        self.size += len(text)
        if not self.has_line_signs:
            self.has_line_signs = _LINE_SIGNS.search(text) is not None

    def after(self, start: int) -> str:
        """The text from code point `start` on; looks only at what is asked for."""
        parts: list[str] = []
        wanted = self.size - start
        for part in reversed(self._parts):
            if wanted <= 0:
                break
            parts.append(part[-wanted:])
            wanted -= len(part)
        return "".join(reversed(parts))

    @property
    def text(self) -> str:
        """Return all of the source text."""
        if len(self._parts) > 1:
            self._parts = ["".join(self._parts)]
        return self._parts[0] if self._parts else ""


_KINDS = {"heading": SegmentKind.HEADING, "fence": SegmentKind.CODE, "details": SegmentKind.DETAILS}


class Segmenter:
    """Fed text of any length; gives back the segments that it closed.

    `open` is the segment that still grows, `pending` the start of a line that cannot be judged
    yet. Blank lines between segments belong to none.
    """

    def __init__(self) -> None:
        self.open: Segment | None = None
        self.pending = ""
        self._judged = False  # the verdict on the present line is known
        self._after_blank = False
        self._closed: list[Segment] = []

    def feed(self, text: str) -> list[Segment]:
        """Take more text, and return the segments that it closed."""
        start = 0
        while start < len(text):
            end = text.find("\n", start) + 1
            piece = text[start : end or len(text)]
            start += len(piece)
            if self._judged and self.open:
                self.open.add(piece)
            else:
                self.pending += piece
                self._judge(complete=end > 0)
            if end:
                self._end_line()
        return self._take_closed()

    def finish(self) -> list[Segment]:
        """The text has ended: closes what is open."""
        if self.pending:
            self._judge(complete=True)
        self._close()
        self._judged = self._after_blank = False
        return self._take_closed()

    def _judge(self, *, complete: bool) -> None:
        line = self._read(self.pending, complete)
        if line is None:
            return
        self._judged = True
        text, self.pending = self.pending, ""
        self._place(line)
        if self.open:
            self.open.add(text)
        if self.open and self.open.kind is SegmentKind.DETAILS:
            if self.open.depth <= 0:
                self._close()
        elif line.what == "fence_end":
            self._close()

    def _end_line(self) -> None:
        self._judged = False
        if self.open and self.open.kind is SegmentKind.HEADING:
            self._close()

    def _close(self) -> None:
        if self.open:
            self._closed.append(self.open)
        self.open = None
        self._after_blank = False

    def _take_closed(self) -> list[Segment]:
        closed, self._closed = self._closed, []
        return closed

    def _place(self, line: Line) -> None:
        """Leaves `open` as the segment that the line belongs to; None for a blank outside."""
        if line.what == "blank":
            self._after_blank = True
            return
        if self.open and self.open.kind is not SegmentKind.DETAILS and line.what == "fence_end":
            self.open.fence_closed = True
            return
        if self.open is None or self._parts_from(self.open, line):
            self._close()
            self.open = Segment(_KINDS.get(line.what, SegmentKind.TEXT), line.fence)
        if self.open.kind is SegmentKind.DETAILS:
            self.open.depth += line.depth
            if line.what in ("fence", "fence_end"):
                self.open.inside = line.fence
        elif line.what == "marker":
            self.open.kind = SegmentKind.LIST
            self.open.marker, self.open.offset = line.marker, line.offset
        self._after_blank = False

    def _parts_from(self, segment: Segment, line: Line) -> bool:
        """Whether the line begins a new segment."""
        if segment.kind is SegmentKind.CODE:
            return False
        if segment.kind is SegmentKind.DETAILS:
            soft = SOFT_CHARS if self._after_blank else 1.5 * SOFT_CHARS
            return segment.size > soft and segment.inside is None
        if line.what in ("heading", "fence", "details"):
            return True
        in_list = segment.kind is SegmentKind.LIST
        if segment.size > SOFT_CHARS and (
            not in_list or line.what == "marker" or segment.size > 1.5 * SOFT_CHARS
        ):
            return True
        if not self._after_blank:
            return False
        if not in_list:
            return line.indent < 4
        return line.marker != segment.marker if line.what == "marker" else line.indent == 0

    # --- reading the beginning of a line; None: it cannot be told yet ---

    def _read(self, line: str, complete: bool) -> Line | None:
        rest = line.lstrip(" \t")
        indent = len(line[: len(line) - len(rest)].expandtabs(4))
        long = len(line) > _JUDGED_CHARS
        fence = self.open.fence if self.open else None
        if fence:
            return read_in_code(fence, rest, indent, complete, long)
        if long:
            return Line("text", indent)
        if not rest.strip("\r\n"):
            return Line("blank") if complete else None
        if self.open is not None and self.open.kind is SegmentKind.DETAILS:
            return read_in_details(self.open.inside, rest, indent, complete)
        nested = (
            self.open is not None
            and self.open.kind is SegmentKind.LIST
            and indent >= self.open.offset
        )
        if nested or indent >= 4:
            return Line("text", max(indent, 1))
        if rest[0] in "`~":
            return read_fence(rest, indent, complete)
        if rest[0] == "#":
            return read_heading(rest, indent, complete)
        if rest[0] == "<":
            return read_details(rest, indent, complete)
        return read_marker(rest, indent, complete)
