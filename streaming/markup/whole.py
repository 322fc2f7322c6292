"""Whole texts, as pages show them: all that has to be rendered is asked for together."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from django.utils.safestring import SafeString, mark_safe

from streaming.markup.plain import html_of
from streaming.markup.references import References
from streaming.markup.renderer import RENDERER
from streaming.markup.rendering import wait
from streaming.markup.segments import Segmenter

_WAITING_PAGES = 32
"""So many threads wait for what is rendered at once; another page shows what is there."""

_room = threading.BoundedSemaphore(_WAITING_PAGES)


class EndedText:
    """A text that has ended, its blocks asked for; `urgent`: before those of pages."""

    def __init__(self, text: str, *, urgent: bool = False) -> None:
        segmenter = Segmenter()
        self._segments = segmenter.feed(text) + segmenter.finish()
        references = References()
        for index, segment in enumerate(self._segments):
            references.add(segment, index)
        for segment in self._segments:
            references.resolve(segment)
        self.renderings = [RENDERER.ask(segment, urgent=urgent) for segment in self._segments]

    def blocks(self) -> list[SafeString]:
        """The HTML of each block; what is not rendered yet as it was written."""
        blocks = zip(self._segments, self.renderings, strict=True)
        return [mark_safe(html_of(segment, rendering)) for segment, rendering in blocks]


def render(text: str) -> list[SafeString]:
    """The HTML of each block of a text. Blocks, for two seconds at most (the first time while the
    processes start, too): what is not rendered by then is shown as it was written."""
    return render_all([text])[0]


def render_all(texts: Sequence[str]) -> list[list[SafeString]]:
    """`render` for several texts, in the same time."""
    wholes = [EndedText(text) for text in texts]
    if _room.acquire(blocking=False):
        try:
            RENDERER.wait_for_start()
            wait(rendering for whole in wholes for rendering in whole.renderings)
        finally:
            _room.release()
    return [whole.blocks() for whole in wholes]


def to_html(text: str) -> SafeString:
    """A whole text for a template: each block in its own `<div class="block">`."""
    return mark_safe(
        "".join(f'<div class="block" dir="auto">{html}</div>' for html in render(text))
    )
