"""Adds to one response's events the HTML that their text becomes.

It stands between the events of a response, in the order of their numbers, and a socket that
was opened for HTML. What it does not know goes through untouched.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from streaming.markup.stream import Block, MarkupStream, render


class MarkupDresser:
    """The markup of one response for one socket. `prefix` is the answer that it continues.

    Added to `response.output_text.delta`: `blocks`, a list of `{"index", "html"}`, and `tail`,
    the text after the last block, or null: append `delta` to the present tail. Added to
    `response.done`: the `blocks` that close the text, and an empty `tail`. `block_count` comes
    with the first delta of an attempt and with the end: blocks from this index on are void.
    """

    def __init__(self, prefix: str = "") -> None:
        self._prefix = prefix
        self._begin()

    def dress(self, event: str) -> str:
        """The JSON text of an event, as the socket should get it."""
        fields = json.loads(event)
        match fields["type"]:
            case "response.output_text.delta":
                return _dumps(fields | self._dress_delta(fields))
            case "response.done":
                return _dumps(fields | self._dress_done(fields["text"]))
            case "response.in_progress":
                self._begin()
        return event

    def _begin(self) -> None:
        self._stream = MarkupStream(self._prefix)
        self._fed: list[str] = []
        self._fed_chars = 0
        self._torn = False  # a delta is missing: the text is made good at the end

    def _dress_delta(self, fields: dict[str, Any]) -> dict[str, Any]:
        delta = fields["delta"]
        self._torn = self._torn or fields.get("offset", self._fed_chars) != self._fed_chars
        if self._torn:
            return {"blocks": [], "tail": None}
        first = not self._fed
        self._fed.append(delta)
        self._fed_chars += len(delta)
        change = self._stream.feed(delta)
        added = {"blocks": _blocks(change.blocks), "tail": change.tail}
        return added | ({"block_count": self._stream.block_count} if first else {})

    def _dress_done(self, text: str) -> dict[str, Any]:
        if not self._torn and self._fed and text == "".join(self._fed):
            blocks = self._stream.finish().blocks
            count = self._stream.block_count
        else:
            blocks = [Block(index, html) for index, html in enumerate(render(self._prefix + text))]
            count = len(blocks)
        self._begin()
        return {"blocks": _blocks(blocks), "tail": "", "block_count": count}


def _blocks(blocks: list[Block]) -> list[dict[str, Any]]:
    return [asdict(block) for block in blocks]


def _dumps(fields: dict[str, Any]) -> str:
    return json.dumps(fields, ensure_ascii=False, separators=(",", ":"))
