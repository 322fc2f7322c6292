"""The blocks of a text that still comes, and what each piece of it changes on the page.

The newest block is rendered again only when it has grown by a part of its length, so that the
work stays in proportion to the answer, however long. What has come since is the tail: plain
text, shown after the last block.
"""

from __future__ import annotations

from dataclasses import dataclass

from django.utils.safestring import SafeString, mark_safe

from streaming.markup.html import PLAIN_CHARS, segment_html
from streaming.markup.segments import Kind, Segment, Segmenter

_TAIL_CHARS = 16
_TAIL_SHARE = 8  # the tail of a block may be this part of what is rendered of it


@dataclass(frozen=True, slots=True)
class Block:
    """Block `index` of the answer, counted from 0, has this HTML from now on."""

    index: int
    html: str


@dataclass(frozen=True, slots=True)
class Change:
    """What the page has to do: set `blocks`, and then the text after the last of them.

    `tail` is that text; None: append what was fed to the present one.
    """

    blocks: list[Block]
    tail: str | None


def render(text: str) -> list[SafeString]:
    """The HTML of each block of a whole text."""
    segmenter = Segmenter()
    segments = segmenter.feed(text) + segmenter.finish()
    return [mark_safe(segment_html(segment)) for segment in segments]


def to_html(text: str) -> SafeString:
    """A whole text for a template: each block in its own `<div class="block">`."""
    return mark_safe("".join(f'<div class="block">{html}</div>' for html in render(text)))


class MarkupStream:
    """One answer's blocks. After `finish`, they equal `render` of `prefix` and all deltas.

    `prefix` is the answer that this one continues, whose blocks the page shows already; the
    first change tells its last block anew. `rendered_chars` counts the work done, in code
    points of source.
    """

    def __init__(self, prefix: str = "") -> None:
        self.rendered_chars = 0
        self.block_count = 0
        """Blocks told so far, those of the prefix included."""
        self._segmenter = Segmenter()
        self._rendered = 0  # code points of the open segment that its block shows
        self._index = len(self._segmenter.feed(prefix))  # of the open segment
        self._fresh = True

    def feed(self, delta: str) -> Change:
        return self._change(self._segmenter.feed(delta))

    def finish(self) -> Change:
        """Closes the last block; the tail is empty from now on."""
        return Change(self._change(self._segmenter.finish()).blocks, tail="")

    def _change(self, closed: list[Segment]) -> Change:
        blocks = []
        for segment in closed:
            blocks.append(self._block(segment, final=True))
            self._index += 1
            self._rendered = 0
        grows = self._segmenter.open
        if grows and self._is_due(grows):
            shown = _showable(grows)
            if self._fresh or shown > self._rendered:
                self._rendered = shown
                blocks.append(self._block(grows, final=False))
        self.block_count = self._index + (1 if self._rendered else 0)
        tail = None
        if blocks or self._fresh:
            tail = (grows.text[self._rendered :] if grows else "") + self._segmenter.pending
        self._fresh = False
        return Change(blocks, tail)

    def _is_due(self, segment: Segment) -> bool:
        if self._fresh:
            return True
        if segment.kind is Kind.CODE:
            return not self._rendered
        grown = segment.size - self._rendered
        return segment.size <= PLAIN_CHARS and grown >= max(
            _TAIL_CHARS, self._rendered // _TAIL_SHARE
        )

    def _block(self, segment: Segment, *, final: bool) -> Block:
        shown = None if final else self._rendered
        if final or segment.kind is not Kind.CODE:
            self.rendered_chars += segment.size if shown is None else shown
        return Block(self._index, segment_html(segment, shown))


def _showable(segment: Segment) -> int:
    """How much of an open segment is rendered: so much that the tail is pleasant to read.

    Code stays in the tail until it is whole, as the page shows that tail as code. Other text
    is cut before the last word, which may be half a word, and the space before it.
    """
    text = segment.text
    if segment.kind is Kind.CODE:
        return text.find("\n") + 1
    end = len(text.rstrip())
    if end == len(text):
        space = max(text.rfind(" ", -_TAIL_CHARS), text.rfind("\n", -_TAIL_CHARS))
        end = len(text[:space].rstrip()) if space > 0 else end
    if segment.kind is Kind.LIST and text[end : end + 1] == "\n":
        end += 1  # the tail stands in lines of its own
    return end or len(text)
