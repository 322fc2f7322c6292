"""The blocks of a text that still comes, and what each piece of it changes on the page.

The newest block is rendered again when something has come that plain text cannot show (a marker,
a line's end), as often as is in proportion to the answer, however long. The words that come
meanwhile are the tail: plain text, for the place in that block where its text goes on. What is
neither is shown when it is rendered, so that nothing that a reader sees has to be taken back.
"""

from __future__ import annotations

import re
from collections import deque
from typing import NamedTuple

from streaming.markup.changes import Block, Change
from streaming.markup.html import PLAIN_CHARS
from streaming.markup.plain import PLAIN, TAIL, html_of, plain_text, showable
from streaming.markup.references import References
from streaming.markup.renderer import RENDERER, Renderer
from streaming.markup.rendering import Rendering, wait
from streaming.markup.segments import Segment, Segmenter, SegmentKind

_WORK = 16
"""So many code points of a block that grows may be rendered for each one that comes."""

_WORDS = re.compile(r"(?:[^\n\r\\`*_~\[<&$!:%#]|:(?!/|$)|!(?!\[|$)|#(?=\w))*")
"""What stands in a block as it was written, whatever follows."""

_JUDGED_AFTER = 2
"""So many characters tell whether the first of them may be shown as it was written."""

_UNCLEAR = re.compile(r"[-+*_=>#`~.:!\[(\\&$<\d\s]*")
"""What may still become anything: it is not worth rendering."""

_LAST_ITEM = re.compile(r'<li[^>]* data-item="(\d+) (\d+) (\d+)"')

_WHOLE_CHARS = 400
"""A longer list is rendered from its last item on, while it grows."""

_STALE_GROWTH = 1.5
"""Links whose definitions came later are rendered again when the text has grown so much since."""


class _Item(NamedTuple):
    """The last item of an open list that was told: its number, and where its source begins."""

    number: int
    start: int


class _Growing(NamedTuple):
    rendering: Rendering
    asked: int
    """Code points of the open segment that it goes to."""
    item: _Item | None
    """Where it begins; None: it is of the whole segment."""


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
        self._references = References()
        before = self._segmenter.feed(prefix)
        self._index = len(before)
        """Of the first segment that is not told as a whole: of `_closed`, or else the open one."""
        self._closed: deque[tuple[Segment, Rendering]] = deque()
        self._growing: _Growing | None = None  # of the open segment
        self._item: _Item | None = None
        self._asked = 0  # code points of the open segment that a rendering was asked for
        self._shown = 0  # of them, those that its block and the tail show
        self._is_told = False  # it has a block
        self._place = False  # which has a place for the tail
        self._is_raw = False  # where anything may stand
        self._is_stuck = False  # until it is rendered again: what follows is no plain word
        self._unclear = (
            0  # so far the open segment has nothing worth rendering beyond what is shown
        )
        self._more = ""  # of the tail, not told yet
        self._allowed = _WORK * _WORK  # code points that may be rendered
        self._plain: dict[int, Rendering] = {}  # blocks told without the colours that may come
        self._late: set[Rendering] = set()
        self._fed_chars = self._resolved_chars = len(prefix)
        self.is_fresh = True
        self._know(before)

    def feed(self, delta: str) -> Change:
        """Add text, block until it is rendered, and return what changed."""
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
        self._allowed += _WORK * len(delta)
        self._fed_chars += len(delta)
        self._add(self._segmenter.feed(delta))

    def close(self) -> None:
        """The text has ended."""
        self._add(self._segmenter.finish())
        self._render_stale()

    def awaited(self, *, late: bool = False) -> list[Rendering]:
        """What the next change would better wait for; `late`: even if it was waited for before."""
        asked = [rendering for _, rendering in self._closed]
        asked += [self._growing.rendering] if self._growing else []
        asked += self._plain.values() if late else []
        return [r for r in asked if not r.is_complete and (late or r not in self._late)]

    def take(self) -> Change:
        """The change by what is rendered by now. What is not is waited for no more, but comes."""
        blocks = [self._improved(index) for index in self._told_plain()]
        count = len(blocks)
        while self._closed and (html := self._closed[0][1].html) is not None:
            self._tell_closed(blocks, html)
        if not self._closed:
            self._tell_growing(blocks)
        self._late = set(self.awaited(late=True))
        self.block_count = self._index + self._is_told
        is_new = len(blocks) > count or self.is_fresh
        more, self._more = self._more, ""
        self.is_fresh = False
        return Change(blocks, more, "") if is_new else Change(blocks, None, more)

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
        self._is_told = False
        self._more = ""

    def _tell_growing(self, blocks: list[Block]) -> None:
        segment = self._segmenter.open
        if not segment or not self._growing or not self._growing.rendering.is_complete:
            return
        rendering, asked, item = self._growing
        self._growing = None
        html = rendering.html
        last = _LAST_ITEM.search(html or "")
        if item and html and (not last or last[3] != "1"):
            # It is no list by itself: the whole is rendered.
            self._item, self._asked, self._unclear = None, 0, 0
            return
        if html is None:
            html = plain_text(showable(segment.text[:asked]), grows=True)
            item = None  # the text stands for all of it
        if not html:
            return
        before = item or _Item(0, 0)
        source = segment.after(before.start)[: asked - before.start]
        blocks.append(Block(self._index, html, item and item.number))
        self._item = None
        if last:
            start = before.start + _line_start(source, int(last[2]))
            self._item = _Item(before.number + int(last[1]), start)
        self._is_told = True
        self._place = TAIL in html
        self._is_raw = segment.kind is SegmentKind.CODE or html.startswith(PLAIN)
        # Rendering trims the white space at a block's end: it stands in the tail.
        code = segment.kind is SegmentKind.CODE
        self._shown = asked if code else before.start + len(source.rstrip())
        self._more = ""
        self._is_stuck = False
        self._show_more(segment)

    def _show_more(self, segment: Segment) -> None:
        """Put as much as can be shown as it was written into the tail."""
        if not self._place or self._is_stuck or self._shown == segment.size:
            return
        more = segment.after(self._shown)
        if not self._is_raw:
            words = _WORDS.match(more)
            rest = len(more) - (words.end() if words else 0)
            self._is_stuck = rest > _JUDGED_AFTER
            more = words.group() if words else ""
        self._shown += len(more)
        self._more += showable(more)

    # --- what is asked for ---

    def _add(self, closed: list[Segment]) -> None:
        for segment in closed:
            self._references.add(segment, self._index + len(self._closed))
            self._references.resolve(segment)
            self._closed.append((segment, self._ask(segment)))
            self._growing, self._item, self._asked, self._shown = None, None, 0, 0
            self._place = self._is_raw = self._is_stuck = False
            self._unclear = 0
        if self._fed_chars > _STALE_GROWTH * self._resolved_chars:
            self._render_stale()
        if not (grows := self._segmenter.open):
            return
        self._show_more(grows)
        if not self._growing and self._is_due(grows):
            self._asked = _showable(grows)
            item = self._item if grows.size > _WHOLE_CHARS else None
            start = item.start if item else 0
            self._references.resolve(grows, start)
            rendering = self._ask(grows, self._asked, start)
            self._growing = _Growing(rendering, self._asked, item)

    def _know(self, before: list[Segment]) -> None:
        """Take what stands before the first delta, whose blocks the page has. What the last of
        them defines may become another thing now that it goes on."""
        for index, segment in enumerate(before):
            self._references.add(segment, index)
        for segment in before:
            self._references.resolve(segment)
        self._references.take_stale()
        if self._segmenter.open:
            self._references.expect(self._segmenter.open)

    def _render_stale(self) -> None:
        """Have rendered again what was before the definitions of its links came. It is done when
        the text has grown by a half, and at its end: so the work stays in proportion to it."""
        self._resolved_chars = self._fed_chars
        for index, segment in self._references.take_stale():
            rendering = self._ask(segment)
            if index < self._index:
                self._plain[index] = rendering
            else:
                self._closed[index - self._index] = segment, rendering

    def _is_due(self, segment: Segment) -> bool:
        """Whether to render an open segment (again)."""
        if segment.kind is SegmentKind.CODE:
            return not self._asked and "\n" in segment.text
        if self.is_fresh and segment.size <= PLAIN_CHARS:
            return True
        if segment.size == self._asked or self._is_raw:
            return False
        start = self._item.start if self._item and segment.size > _WHOLE_CHARS else 0
        if self._allowed < segment.size - start:
            return False
        if self._place and self._shown == segment.size:
            return False
        seen = max(self._asked, self._shown) if self._place else self._asked
        held = segment.after(max(seen, self._unclear))
        if not _UNCLEAR.fullmatch(held):
            return True
        self._unclear = segment.size
        return segment.has_line_signs and held.endswith("\n")

    def _ask(self, segment: Segment, shown: int | None = None, start: int = 0) -> Rendering:
        if segment.kind is not SegmentKind.CODE:
            size = segment.size if shown is None else shown - start
            self.rendered_chars += size
            self._allowed -= 0 if shown is None else size
        return self._renderer.ask(segment, shown, start=start)


def _line_start(text: str, lines: int) -> int:
    """Where the line stands that comes after so many lines."""
    start = 0
    for _ in range(lines):
        start = text.find("\n", start) + 1
    return start


def _showable(segment: Segment) -> int:
    """How much of an open segment is rendered: of code what names its language, the rest being
    shown as it comes."""
    return segment.text.find("\n") + 1 if segment.kind is SegmentKind.CODE else segment.size
