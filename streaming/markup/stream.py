"""The blocks of a text that still comes, and what each piece of it changes on the page.

The newest block is rendered again only when it has grown by a part of its length, so that the
work stays in proportion to the answer, however long. What has come since is the tail: plain
text, shown after the last block. So is what has come since a block whose rendering is late.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from streaming.markup.html import PLAIN_CHARS
from streaming.markup.plain import html_of
from streaming.markup.renderer import RENDERER, Renderer
from streaming.markup.rendering import Rendering, wait
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


class MarkupStream:
    """One answer's blocks. After `finish`, they equal `render` of `prefix` and all deltas.

    `prefix` is the answer that this one continues, whose blocks the page shows already; the
    first change tells its last block anew. `rendered_chars` counts the work asked for, in code
    points of source. `feed` and `finish` block until all is rendered; who must not be held up
    calls `add` or `close`, waits for `awaited` as long as it likes, and then calls `take` or `end`.
    """

    def __init__(self, prefix: str = "", renderer: Renderer = RENDERER) -> None:
        self.rendered_chars = 0
        self.block_count = 0
        """Blocks told so far, those of the prefix included."""
        self._renderer = renderer
        self._segmenter = Segmenter()
        self._index = len(self._segmenter.feed(prefix))
        """Of the first segment that is not told as a whole: of `_closed`, or else the open one."""
        self._shown = 0  # code points of that segment that its block shows
        self._closed: deque[tuple[Segment, Rendering]] = deque()
        self._growing: tuple[Rendering, int] | None = None  # of the open segment, and how much
        self._asked = 0  # code points of the open segment that a rendering was asked for
        self._looked = 0  # its size when it was looked at in vain
        self._plain: dict[int, Rendering] = {}  # blocks told without the colours that may come
        self._late: set[Rendering] = set()
        self.is_fresh = True

    def feed(self, delta: str) -> Change:
        self.add(delta)
        self._renderer.wait_for_start()
        wait(self.awaited())
        return self.take()

    def finish(self) -> Change:
        """Closes the last block; the tail is empty from now on."""
        self.close()
        self._renderer.wait_for_start()
        wait(self.awaited(late=True))
        return self.end()

    def add(self, delta: str) -> None:
        """Take more of the text, and have rendered what is due."""
        self._add(self._segmenter.feed(delta))

    def close(self) -> None:
        """The text has ended."""
        self._add(self._segmenter.finish())

    def awaited(self, *, late: bool = False) -> list[Rendering]:
        """What the next change would better wait for; `late`: even if it was waited for before."""
        asked = [rendering for _, rendering in self._closed]
        asked += [self._growing[0]] if self._growing else []
        asked += self._plain.values() if late else []
        return [r for r in asked if not r.is_complete and (late or r not in self._late)]

    def take(self) -> Change:
        """The change by what is rendered by now. What is not is waited for no more, but comes."""
        blocks = [self._improved(index) for index in self._told_plain()]
        count = len(blocks)
        while self._closed and (html := self._closed[0][1].html) is not None:
            self._tell_closed(blocks, html)
        if self._growing and not self._closed and self._growing[0].is_complete:
            rendering, shown = self._growing
            self._growing = None
            if rendering.html is None:
                self._asked = 2 * shown  # it is left alone for a while
            else:
                self._shown = shown
                blocks.append(Block(self._index, rendering.html))
        self._late = set(self.awaited(late=True))
        self.block_count = self._index + (1 if self._shown else 0)
        tail = self._tail() if len(blocks) > count or self.is_fresh else None
        self.is_fresh = False
        return Change(blocks, tail)

    def end(self) -> Change:
        """The last change: what is not rendered yet is told as it was written."""
        blocks = [self._improved(index) for index in self._told_plain()]
        while self._closed:
            segment, rendering = self._closed[0]
            self._tell_closed(blocks, html_of(segment, rendering))
        self.block_count = self._index
        return Change(blocks, tail="")

    # --- what is told ---

    def _told_plain(self) -> list[int]:
        return [index for index, rendering in self._plain.items() if rendering.is_complete]

    def _improved(self, index: int) -> Block:
        rendering = self._plain.pop(index)
        return Block(index, rendering.html or "")

    def _tell_closed(self, blocks: list[Block], html: str) -> None:
        _, rendering = self._closed.popleft()
        if not rendering.is_complete:
            self._plain[self._index] = rendering
        blocks.append(Block(self._index, html))
        self._index += 1
        self._shown = 0

    def _tail(self) -> str:
        """The text behind what the blocks show."""
        segments = [segment for segment, _ in self._closed]
        if self._segmenter.open:
            segments.append(self._segmenter.open)
        text = "".join(segment.text for segment in segments)
        return text[self._shown :] + self._segmenter.pending

    # --- what is asked for ---

    def _add(self, closed: list[Segment]) -> None:
        for segment in closed:
            self._closed.append((segment, self._ask(segment)))
            self._growing, self._asked, self._looked = None, 0, 0
        grows = self._segmenter.open
        if grows and not self._growing and self._is_due(grows):
            shown = _showable(grows)
            self._looked = grows.size
            if self.is_fresh or shown > self._asked:
                self._asked = shown
                self._growing = self._ask(grows, shown), shown

    def _is_due(self, segment: Segment) -> bool:
        if self.is_fresh:
            return True
        if segment.kind is Kind.CODE:
            return not self._asked
        grown = segment.size - self._asked
        return (
            segment.size <= PLAIN_CHARS
            and grown >= max(_TAIL_CHARS, self._asked // _TAIL_SHARE)
            and segment.size - self._looked > self._looked // 64
        )

    def _ask(self, segment: Segment, shown: int | None = None) -> Rendering:
        if shown is None or segment.kind is not Kind.CODE:
            self.rendered_chars += segment.size if shown is None else shown
        return self._renderer.ask(segment, shown)


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
