"""Segments become HTML: what runs patterns over their text does so in processes of its own.

This is the way through which every renderer goes. A new one (formulas, documents, diagrams) is a
function of a module that only the pool's processes call, a `Batches` for it, and a plain form that
is shown while it works and for good where it takes too long.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from concurrent import futures

from django.utils.translation import gettext

from streaming.markup import code as code_blocks
from streaming.markup import html as markdown
from streaming.markup.batches import Batches
from streaming.markup.cache import HtmlCache, digest
from streaming.markup.code import (
    Code,
    CodeParts,
    code_html,
    code_parts,
    is_long,
    language_of,
    worth_highlighting,
)
from streaming.markup.plain import TAIL, fenced, plain_text, showable
from streaming.markup.quarantine import Quarantine
from streaming.markup.rendering import Rendering
from streaming.markup.segments import Segment, SegmentKind
from streaming.system.bounded import BoundedPool, Overrun, Unserved, preload

logger = logging.getLogger(__name__)

_PROCESSES = 2
"""For Markdown, and as many for code: who is held up by code holds up no Markdown."""

_SECONDS = 1.0
"""For one call; it is ordinarily some milliseconds, on a busy machine some dozens."""

_START_SECONDS = 10.0
_LOOK_SECONDS = 0.05

_CACHE_BYTES = 16 * 2**20
_OVERRUN_BYTES = 2**20  # of keys only

preload("streaming.markup.warm")


class Renderer:
    """Renders segments, each content once. Safe to use from any thread."""

    def __init__(self, processes: int = _PROCESSES, seconds: float = _SECONDS) -> None:
        self.markdown = Batches(
            BoundedPool(processes, seconds=seconds),
            markdown.render_all,
            batch_size=markdown.PLAIN_CHARS,
            most_open=processes + 1,
        )
        self.code = Batches(
            BoundedPool(processes, seconds=seconds),
            code_blocks.highlight_all,
            batch_size=code_blocks.SHORT_CHARS,
            most_open=processes + 1,
        )
        self.cache = HtmlCache(_CACHE_BYTES)
        self._overran = HtmlCache(_OVERRUN_BYTES)
        self._quarantine = Quarantine()
        self._lock = threading.Lock()
        self._open: dict[bytes, Rendering] = {}

    def warm(self) -> None:
        """Start the processes in the background, if they do not run."""
        self.markdown.pool.warm()
        self.code.pool.warm()

    def wait_for_start(self) -> None:
        """Wait while the processes start, if they do; it is a second, or some on a busy machine."""
        self.markdown.pool.wait_for_start(_START_SECONDS)
        self.code.pool.wait_for_start(_START_SECONDS)

    async def await_start(self) -> None:
        """`wait_for_start` for an event loop."""
        ends = time.monotonic() + _START_SECONDS
        while self.markdown.pool.is_starting or self.code.pool.is_starting:
            if time.monotonic() > ends:
                return
            await asyncio.sleep(_LOOK_SECONDS)

    def forget(self) -> None:
        """Forget what was rendered, and what took too long."""
        with self._lock:
            self.cache.clear()
            self._overran.clear()
            self._quarantine = Quarantine()

    def close(self) -> None:
        """End the processes of both pools."""
        self.markdown.pool.close()
        self.code.pool.close()

    def ask(
        self, segment: Segment, shown: int | None = None, *, start: int = 0, urgent: bool = True
    ) -> Rendering:
        """The rendering of a segment; returns at once.

        `shown` is how much of an open one to show, `start` from where on; None: it is whole. Code
        is highlighted when it is whole. An open code block is empty: its text is the tail. A whole
        segment always gets some HTML; a part that could not be rendered has none.
        """
        if segment.kind is SegmentKind.CODE:
            return self._ask_code(segment, shown, urgent)
        final = shown is None
        text = showable(segment.text if shown is None else segment.after(start)[: shown - start])
        if len(text) > markdown.PLAIN_CHARS:
            return Rendering(plain_text(text, grows=not final), complete=True)
        labels, known = _labels_for(text), segment.known
        kind = "final" if final else "growing"
        key = digest(kind, *labels, text, "", *known.definitions, "", *known.notes)
        rendering, is_new = self._find(key, plain_text(text) if final else None)
        if is_new:
            job = markdown.Job(text, final, labels, known.definitions, known.notes)
            future = self.markdown.ask(job, len(text), urgent=urgent)
            future.add_done_callback(
                lambda future: self._take_markdown(key, rendering, job, urgent, future)
            )
        return rendering

    def _ask_code(self, segment: Segment, shown: int | None, urgent: bool) -> Rendering:
        code, info = fenced(segment)
        if shown is not None:
            html = code_html("", info, state="open")
            return Rendering(html.replace("<code></code>", f"<code>{TAIL}</code>"), complete=True)
        parts = code_parts(code, info)
        worth = self._worth_highlighting(parts)
        if not any(worth):
            return Rendering(parts.html(), complete=True)
        key = digest("code", language_of(info), code)
        rendering, is_new = self._find(key, parts.html(), at_once=True)
        if is_new:
            self._highlight(key, rendering, parts, worth, urgent)
        return rendering

    def _find(
        self, key: bytes, plain: str | None, *, at_once: bool = False
    ) -> tuple[Rendering, bool]:
        """What is known or under way, or a new rendering, which the caller has to begin."""
        with self._lock:
            if (html := self.cache.get(key)) is not None:
                return Rendering(html, complete=True), False
            if self._overran.get(key) is not None:
                return Rendering(plain, complete=True), False
            if (rendering := self._open.get(key)) is not None:
                return rendering, False
            rendering = self._open[key] = Rendering(plain if at_once else None)
            return rendering, True

    def _take_markdown(
        self,
        key: bytes,
        rendering: Rendering,
        job: markdown.Job,
        urgent: bool,
        future: futures.Future[CodeParts | None],
    ) -> None:
        plain = plain_text(job.text, grows=not job.final)
        if error := future.exception():
            if not isinstance(error, Unserved):
                _log_overrun(error, "Markdown")
            self._end(key, rendering, plain if job.final else None, error)
        elif (parts := future.result()) is None:
            self._end(key, rendering, plain)
        else:
            worth = self._worth_highlighting(parts) if job.final else []
            if any(worth):
                rendering.html = parts.html()
                self._highlight(key, rendering, parts, worth, urgent)
            else:
                self._end(key, rendering, parts.html())

    def _worth_highlighting(self, parts: CodeParts) -> list[Code | None]:
        worth = worth_highlighting(parts.codes)
        with self._lock:
            return [None if code and _kind(code) in self._quarantine else code for code in worth]

    def _highlight(
        self,
        key: bytes,
        rendering: Rendering,
        parts: CodeParts,
        codes: list[Code | None],
        urgent: bool,
    ) -> None:
        size = sum(len(code.text) for code in codes if code)

        def take(future: futures.Future[list[str | None]]) -> None:
            error = future.exception()
            if error and not isinstance(error, Unserved):
                kinds = sorted({_kind(code) for code in codes if code})
                _log_overrun(error, ", ".join(kinds))
                with self._lock:
                    for kind in kinds:
                        self._quarantine.add(kind)
            self._end(key, rendering, parts.html(() if error else future.result()), error)

        self.code.ask(codes, size, urgent=urgent).add_done_callback(take)

    def _end(
        self,
        key: bytes,
        rendering: Rendering,
        html: str | None,
        error: BaseException | None = None,
    ) -> None:
        """Keep what a rendering has become: it is made again only if it was not tried."""
        rendering.html = html
        with self._lock:
            self._open.pop(key, None)
            if error is None and html is not None:
                self.cache.put(key, html)
            elif not isinstance(error, Unserved):
                self._overran.put(key, "")
        rendering.ended.set_result(None)


def _kind(code: Code) -> str:
    """What is left alone where such code took too long: its language, or all long code."""
    return "long code" if is_long(code.text, code.language) else code.language


def _labels_for(text: str) -> markdown.Labels:
    table = gettext("Table") if "|" in text else ""
    if "[^" not in text:
        return markdown.Labels(table)
    return markdown.Labels(table, gettext("Footnote"), gettext("Back from footnote"))


def _log_overrun(error: BaseException, what: str) -> None:
    if isinstance(error, Overrun):
        logger.warning("A block of %s took too long to render; it is shown as text.", what)
    else:
        message = "A block of %s could not be rendered; it is shown as text. (%s)"
        logger.error(message, what, type(error).__name__)


RENDERER = Renderer()
