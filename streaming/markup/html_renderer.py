"""Adds to one response's events the HTML that their text becomes.

It stands between the events of a response, in the order of their numbers, and a socket that
was opened for HTML. What it does not know goes through untouched.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from streaming.markup.changes import Block
from streaming.markup.renderer import RENDERER
from streaming.markup.rendering import PATIENCE_SECONDS, Rendering, await_all
from streaming.markup.stream import MarkupStream
from streaming.markup.whole import EndedText

DELTA_SECONDS = 0.1
"""How long a delta waits for what it completes; then the text is shown as a tail meanwhile."""


class RenderedEvent:
    """An event on its way: `text` is what the socket should get, once `wait` has returned."""

    def __init__(
        self, text: Callable[[], str], awaited: list[Rendering] | None = None, seconds: float = 0.0
    ) -> None:
        self.text = text
        self._awaited = awaited or []
        self._seconds = seconds

    @property
    def is_ready(self) -> bool:
        """Return whether nothing has to be waited for."""
        return not self._awaited

    async def wait(self) -> None:
        """Wait until all is rendered, or for as long as this event may be held up."""
        if self._awaited and self._seconds >= PATIENCE_SECONDS:
            await RENDERER.await_start()
        await await_all(self._awaited, self._seconds)


class HtmlRenderer:
    """The markup of one response for one socket. `prefix` is the answer that it continues.

    Added to `response.output_text.delta`: `blocks`, a list of `{"index", "html"}` (with `keep`: of
    the list at the block's end so many items stay, and those of `html` follow), and `tail`,
    the text for the place in the last block where it goes on, or null: append `more` to the
    present tail. Added to `response.done`: the `blocks` that close the text, and an empty `tail`.
    `block_count` comes with the first delta of an attempt and with the end: blocks from this index
    on are void.
    """

    def __init__(self, prefix: str = "") -> None:
        self._prefix = prefix
        self._begin()

    async def render_event(self, event: str) -> str:
        """The JSON text of an event, as the socket should get it."""
        rendered = self.take(event)
        await rendered.wait()
        return rendered.text()

    def take(self, event: str) -> RenderedEvent:
        """Take an event; the next one only when the text of this one was asked for."""
        fields = json.loads(event)
        match fields["type"]:
            case "response.output_text.delta":
                return self._take_delta(fields)
            case "response.done":
                return self._take_done(fields)
            case "response.in_progress":
                self._begin()
        return RenderedEvent(lambda: event)

    def _begin(self) -> None:
        self._stream = MarkupStream(self._prefix)
        self._fed: list[str] = []
        self._fed_chars = 0
        self._torn = False  # a delta is missing: the text is made good at the end

    def _take_delta(self, fields: dict[str, Any]) -> RenderedEvent:
        delta = fields["delta"]
        self._torn = self._torn or fields.get("offset", self._fed_chars) != self._fed_chars
        if self._torn:
            return RenderedEvent(lambda: _dumps(fields | {"blocks": [], "tail": None}))
        stream, first = self._stream, not self._fed
        self._fed.append(delta)
        self._fed_chars += len(delta)
        stream.add(delta)

        def text() -> str:
            change = stream.take()
            added: dict[str, Any] = {"blocks": _blocks(change.blocks), "tail": change.tail}
            if change.tail is None:
                added["more"] = change.more
            count = {"block_count": stream.block_count} if first else {}
            return _dumps(fields | added | count)

        # The first one tells anew what the page shows of a continued answer.
        return RenderedEvent(text, stream.awaited(), PATIENCE_SECONDS if first else DELTA_SECONDS)

    def _take_done(self, fields: dict[str, Any]) -> RenderedEvent:
        stream, whole = self._stream, fields["text"]
        told = not self._torn and self._fed and whole == "".join(self._fed)
        self._begin()
        if not told:
            return self._take_all(fields, EndedText(self._prefix + whole, urgent=True))
        stream.close()

        def text() -> str:
            blocks = _blocks(stream.end().blocks)
            return _dumps(_ended(fields, blocks, stream.block_count))

        return RenderedEvent(text, stream.awaited(late=True), PATIENCE_SECONDS)

    def _take_all(self, fields: dict[str, Any], whole: EndedText) -> RenderedEvent:
        def text() -> str:
            blocks = [{"index": index, "html": html} for index, html in enumerate(whole.blocks())]
            return _dumps(_ended(fields, blocks, len(blocks)))

        awaited = [rendering for rendering in whole.renderings if not rendering.is_complete]
        return RenderedEvent(text, awaited, PATIENCE_SECONDS)


def _ended(fields: dict[str, Any], blocks: list[dict[str, Any]], count: int) -> dict[str, Any]:
    return fields | {"blocks": blocks, "tail": "", "block_count": count}


def _blocks(blocks: list[Block]) -> list[dict[str, Any]]:
    return [
        {name: value for name, value in asdict(block).items() if value is not None}
        for block in blocks
    ]


def _dumps(fields: dict[str, Any]) -> str:
    return json.dumps(fields, ensure_ascii=False, separators=(",", ":"))
