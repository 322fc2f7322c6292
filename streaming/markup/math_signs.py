"""What a formula's signs are in a text: where they end, and whether they are no formula's."""

from __future__ import annotations

import bisect
import functools
import re

_CLOSERS = re.compile(r"\\(?:end\{[A-Za-z]+\*?\}|.)|\$+", re.DOTALL)
_WORDS = re.compile(r"(?:^|\s)[^\W\d_]{2,}(?:\s|$|[,.;:!?)])|\s[^\W\d_]{2,}")
_LATEX = re.compile(r"[\\^_={}]")
_CITATION = re.compile(r"[\w ,.’'–-]{1,200}")

BRACKETS = {r"\(": r"\)", r"\[": r"\]"}


def is_tight(src: str, pos: int, latex: str, end: int) -> bool:
    """Whether single dollars stand as around a formula, and not before prices and variables."""
    before, after = src[pos - 1 : pos], src[end : end + 1]
    return not (
        latex[0].isspace()
        or latex[-1].isspace()
        or latex[-1] in "[:/=(,;&|<>"
        or (before.isascii() and before.isalnum())
        or after.isdigit()
    )


def is_prose(latex: str) -> bool:
    """Return whether it is words with spaces between them and no command of LaTeX."""
    return _WORDS.search(latex) is not None and " " in latex and not _LATEX.search(latex)


def is_citation(words: str) -> bool:
    """Whether it is `[1]` or `[sic]` whose brackets were escaped."""
    return _CITATION.fullmatch(words) is not None and (
        words.isdigit() or re.search(r"[^\W\d_]{2,}", words) is not None
    )


def next_place(src: str, closer: str, start: int) -> int | None:
    """Where a closer stands next, not escaped."""
    places = _places(src).get(closer, ())
    index = bisect.bisect_left(places, start)
    return places[index] if index < len(places) else None


@functools.lru_cache(maxsize=8)
def _places(src: str) -> dict[str, list[int]]:
    """Where each closer stands in a text, found in one pass over it."""
    places: dict[str, list[int]] = {}
    for found in _CLOSERS.finditer(src):
        places.setdefault(found[0], []).append(found.start())
    return places
