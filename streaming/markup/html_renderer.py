"""Adds to one response's events the HTML that their text becomes.

It stands between the events of a response, in the order of their numbers, and a socket that
was opened for HTML. What it does not know goes through untouched and unread.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from streaming.markup.changes import Block
from streaming.markup.renderer import RENDERER
from streaming.markup.rendering import PATIENCE_SECONDS, Rendering, await_all
from streaming.markup.stream import MarkupStream
from streaming.markup.whole import EndedText

LAST = ("response.completed", "response.incomplete", "response.failed")
"""The last event's types. As `protocol.response_events` has them, which the processes that render
need not load."""

_READ = re.compile(
    "|".join(
        re.escape(f'"{name}"')
        for name in ("response.output_text.delta", "response.in_progress", *LAST)
    )
)
"""Events of other types are not parsed. Within a text the quotation marks are escaped: no text can
look like one of these."""

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
    present tail. Added to the last event: the `blocks` that close the text, and an empty `tail`.
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
        if _READ.search(event):
            fields = json.loads(event)
            kind = fields["type"]
            if kind == "response.output_text.delta":
                return self._take_delta(event, fields)
            if kind in LAST:
                return self._take_end(event, fields)
            if kind == "response.in_progress":
                self._begin()
        return RenderedEvent(lambda: event)

    def _begin(self) -> None:
        self._stream = MarkupStream(self._prefix)
        self._fed: list[str] = []
        self._fed_chars = 0
        self._torn = False  # a delta is missing: the text is made good at the end

    def _take_delta(self, event: str, fields: dict[str, Any]) -> RenderedEvent:
        delta = fields["delta"]
        offset = fields.get("chatstream", {}).get("offset", self._fed_chars)
        self._torn = self._torn or offset != self._fed_chars
        if self._torn:
            return RenderedEvent(lambda: _with(event, {"blocks": [], "tail": None}))
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
            return _with(event, added | count)

        # The first one tells anew what the page shows of a continued answer.
        return RenderedEvent(text, stream.awaited(), PATIENCE_SECONDS if first else DELTA_SECONDS)

    def _take_end(self, event: str, fields: dict[str, Any]) -> RenderedEvent:
        stream, whole = self._stream, _text_of(fields)
        told = not self._torn and self._fed and whole == "".join(self._fed)
        self._begin()
        if not told:
            return self._take_all(event, EndedText(self._prefix + whole, urgent=True))
        stream.close()

        def text() -> str:
            blocks = _blocks(stream.end().blocks)
            return _ended(event, blocks, stream.block_count)

        return RenderedEvent(text, stream.awaited(late=True), PATIENCE_SECONDS)

    def _take_all(self, event: str, whole: EndedText) -> RenderedEvent:
        def text() -> str:
            blocks = [{"index": index, "html": html} for index, html in enumerate(whole.blocks())]
            return _ended(event, blocks, len(blocks))

        awaited = [rendering for rendering in whole.renderings if not rendering.is_complete]
        return RenderedEvent(text, awaited, PATIENCE_SECONDS)


def _text_of(fields: dict[str, Any]) -> str:
    """Return the text of an answer, from all items of its last event."""
    return "".join(
        part["text"]
        for item in fields["response"]["output"]
        if item["type"] == "message"
        for part in item["content"]
        if part["type"] == "output_text"
    )


def _ended(event: str, blocks: list[dict[str, Any]], count: int) -> str:
    return _with(event, {"blocks": blocks, "tail": "", "block_count": count})


def _blocks(blocks: list[Block]) -> list[dict[str, Any]]:
    return [
        {name: value for name, value in asdict(block).items() if value is not None}
        for block in blocks
    ]


def _with(event: str, added: dict[str, Any]) -> str:
    """Return an event with further fields at its end; its own are not written anew."""
    fields = json.dumps(added, ensure_ascii=False, separators=(",", ":"))
    return f"{event.rstrip()[:-1]},{fields[1:]}"
