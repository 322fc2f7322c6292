"""Where in a conversation a search has found its words: a few of the words around, and the way."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urlencode
from uuid import UUID

from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from streaming.record.search import Match

BEFORE, AFTER = 24, 120
"""Characters of the text around the first place."""


@dataclass(frozen=True, slots=True)
class Found:
    """A place in a conversation: the address that opens it, and its text, marked."""

    url: str
    snippet: SafeString


def place(conversation_id: UUID, match: Match, query: str, words: re.Pattern[str]) -> Found:
    """Return the place of a match. Its address leads through the response that it belongs to, and
    has the query, so that the page shows where the words are."""
    url = reverse("conversation", args=[conversation_id])
    if match.response_id:
        url += "?" + urlencode({"leaf": match.response_id, "find": query})
    return Found(url, snippet(match.text, words))


def snippet(text: str, words: re.Pattern[str]) -> SafeString:
    """Return the text around the first of some words as HTML, on one line, with each of the words
    in `<mark>`; the text's beginning if there is none."""
    first = words.search(text)
    begin, end = first.span() if first else (0, 0)
    start = max(0, begin - BEFORE)
    cut = " ".join(text[start : end + AFTER].split())
    lead, tail = "…" if start else "", "…" if end + AFTER < len(text) else ""
    return format_html("{}{}{}", lead, _marked(cut, words), tail)


def _marked(text: str, words: re.Pattern[str]) -> SafeString:
    parts: list[tuple[str, str]] = []
    last = 0
    for found in words.finditer(text):
        parts.append((text[last : found.start()], found[0]))
        last = found.end()
    marked = format_html_join("", "{}<mark>{}</mark>", parts)
    return format_html("{}{}", marked, text[last:])
