"""Where a search has found its words in a text: a few words around the first place, marked."""

from __future__ import annotations

import re
from collections.abc import Sequence

from django.utils.html import format_html, format_html_join

BEFORE, AFTER = 30, 70
"""Characters of the text around the place."""


def marked(text: str, words: Sequence[str]) -> str:
    """`text` as HTML, with each place that has one of `words`, in whatever case, in `<mark>`."""
    if not words:
        return format_html("{}", text)
    pattern = _pattern(words)
    parts = pattern.split(text)  # what is between the places, and the places, in turn
    return format_html_join(
        "",
        "{}<mark>{}</mark>",
        zip(parts[:-1:2], parts[1::2], strict=True),
    ) + format_html("{}", parts[-1])


def excerpt(texts: Sequence[str], words: Sequence[str]) -> str:
    """The beginning of the first place in the first of `texts` that has one of `words`, marked;
    empty without one. White space is a blank."""
    if not words:
        return ""
    pattern = _pattern(words)
    for text in texts:
        if found := pattern.search(text):
            start, end = max(0, found.start() - BEFORE), found.end() + AFTER
            cut = " ".join(text[start:end].split())
            lead, tail = "…" if start else "", "…" if end < len(text) else ""
            return marked(f"{lead}{cut}{tail}", words)
    return ""


def _pattern(words: Sequence[str]) -> re.Pattern[str]:
    longest_first = sorted(words, key=len, reverse=True)
    return re.compile(f"({'|'.join(map(re.escape, longest_first))})", re.IGNORECASE)
