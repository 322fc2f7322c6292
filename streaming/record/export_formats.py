"""The formats in which a conversation can be written, by the ending of a file's name.

A registry: rooms above that can write one more, such as the pages' Markdown, put it here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from streaming.models import Conversation
from streaming.record.exports import as_json

FORMATS: dict[str, Callable[[Conversation], Iterator[str]]] = {"json": as_json}
"""Each yields the text in pieces."""
