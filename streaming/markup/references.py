"""Where the links and footnotes of a text are defined, which may be in another segment of it.

A definition counts for the whole text, wherever it stands: so a segment that was rendered before
it came is rendered again. All here takes time in proportion to the text.
"""

from __future__ import annotations

import re

from streaming.markup.segments import Known, Segment, SegmentKind

_MOST_CHARS = 2_000
"""A longer line defines nothing."""

_LABEL = re.compile(r"\[([^\[\]\\\n]{1,200})\]")
_LINK = re.compile(r" {0,3}\[([^\[\]\\\n^][^\[\]\\\n]{0,199})\]:[ \t]*\S")
_NOTE = re.compile(r"[ >\t]{0,20}\[\^([^\[\]\s]{1,200})\]:")


class References:
    """The definitions of a text, as its segments are added; the first one for a label counts."""

    def __init__(self) -> None:
        self._links: dict[str, str] = {}
        self._notes: dict[str, str] = {}
        self._users: dict[str, list[int]] = {}
        self._segments: dict[int, Segment] = {}  # that have labels
        self._stale: set[int] = set()
        self._expected: set[int] = set()

    def add(self, segment: Segment, index: int) -> None:
        """Take a segment that is whole."""
        if segment.kind is SegmentKind.CODE:
            return
        text = segment.text
        labels = _labels_of(text)
        for label in labels:
            self._users.setdefault(label, []).append(index)
        if labels:
            self._segments[index] = segment
        self._define(text, index)

    def expect(self, segment: Segment) -> None:
        """Have the users of what an open segment defines rendered again, whatever it becomes."""
        if segment.kind is not SegmentKind.CODE:
            for label in _labels_of(segment.text):
                self._expected.update(self._users.get(label, ()))

    def resolve(self, segment: Segment, start: int = 0) -> None:
        """Tell a segment what is known by now of its labels, or of those from `start` on."""
        if segment.kind is SegmentKind.CODE or not (self._links or self._notes):
            return
        labels = sorted(_labels_of(segment.after(start)))
        segment.known = Known(
            tuple(self._links[label] for label in labels if label in self._links),
            tuple(self._notes[label] for label in labels if label in self._notes),
        )

    def take_stale(self) -> list[tuple[int, Segment]]:
        """The segments that knew less than there is, by their index; they are told of it."""
        changed = []
        for index in sorted(self._stale | self._expected):
            segment = self._segments[index]
            before = segment.known
            self.resolve(segment)
            if segment.known != before or index in self._expected:
                changed.append((index, segment))
        self._stale.clear()
        self._expected.clear()
        return changed

    def _define(self, text: str, index: int) -> None:
        if "]:" not in text:
            return
        is_head = True  # a definition does not interrupt a paragraph, but a footnote's does
        for line in text.split("\n"):
            if len(line) > _MOST_CHARS:
                is_head = False
            elif note := _NOTE.match(line):
                self._put(self._notes, _normal("^" + note[1]), note[1], index)
            elif is_head and (link := _LINK.match(line)):
                self._put(self._links, _normal(link[1]), line.rstrip("\r"), index)
            else:
                is_head = False

    def _put(self, known: dict[str, str], label: str, value: str, index: int) -> None:
        if label and label not in known:
            known[label] = value
            self._stale.update(user for user in self._users.get(label, ()) if user != index)


def _labels_of(text: str) -> set[str]:
    return {_normal(label) for label in _LABEL.findall(text)} if "[" in text else set()


def _normal(label: str) -> str:
    """A label as the parser compares it; those of footnotes to the letter."""
    return label if label.startswith("^") else " ".join(label.split()).lower().upper()
