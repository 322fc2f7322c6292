"""A stranger's text in a log, or in an error's message: one line, visible, and short.

A message, a header, a path or an error's text may hold line breaks that forge lines, escape
sequences that move a terminal's cursor, signs that turn the direction of writing, or a whole row of
the database.
"""

from __future__ import annotations

import json
import re
import traceback
import unicodedata
from collections.abc import Iterator
from types import TracebackType

MOST_CHARS = 10_000
"""Maximum characters of a message."""
MOST_ERROR_CHARS = 2_000
"""Maximum characters of an exception's text in a traceback."""
MOST_SHOWN_CHARS = 500
"""Maximum characters of an error's message that people are shown."""
MOST_ERRORS = 20
"""Maximum exceptions of a traceback: those that led to it, or that are in its group."""

_ROW = re.compile(r"\nDETAIL:.*", re.DOTALL)
"""The part of PostgreSQL's message about a refused row that says what was in it."""

_CAUSE = "The above exception was the direct cause of the following exception:"
_CONTEXT = "During handling of the above exception, another exception occurred:"

ExcInfo = tuple[type[BaseException], BaseException, TracebackType | None]


def bounded(text: str, chars: int = MOST_CHARS) -> str:
    """Return `text` without a row of the database; if it is too long, its beginning and how much
    was left out."""
    text = _ROW.sub("", text)
    if len(text) <= chars:
        return text
    return f"{text[:chars]}… ({len(text) - chars} more characters)"


def one_line(text: str) -> str:
    """Return `text` with all but visible characters and blanks as Python writes them: `\\n`."""
    if text.isprintable():
        return text
    return "".join(c if _is_visible(c) else c.encode("unicode_escape").decode() for c in text)


def sentence(text: str) -> str:
    """Return an error's message as people are shown it: in one line, and not long."""
    return one_line(bounded(" ".join(text.split()), MOST_SHOWN_CHARS))


def json_line(value: object) -> str:
    """Return JSON in one line, whatever reads it: U+2028 and the like are escaped, too."""
    dumped = json.dumps(value, ensure_ascii=False, default=str)
    if dumped.isprintable():
        return dumped
    return "".join(c if _is_visible(c) else json.dumps(c)[1:-1] for c in dumped)


def each_line(text: str) -> str:
    """Return several lines, each indented so that none passes for a record of its own."""
    return "\n".join(f"  {one_line(line)}" for line in text.split("\n"))


def traceback_of(exc_info: ExcInfo) -> str:
    """Return a traceback as Python prints it, but each exception's text in one line and bounded."""
    return "\n".join(_chain(exc_info[1], exc_info[2]))


def _is_visible(character: str) -> bool:
    return character.isprintable() or unicodedata.category(character) == "Zs"


def _chain(error: BaseException, trace: TracebackType | None) -> Iterator[str]:
    """Yield the lines of the exceptions that led to this one, the first one first, and its own."""
    chain: list[tuple[BaseException, str]] = []
    following: BaseException | None = error
    while following is not None and len(chain) < MOST_ERRORS:
        at, following, link = following, following.__cause__, _CAUSE
        if following is None and not at.__suppress_context__:
            following, link = at.__context__, _CONTEXT
        if any(following is seen for seen, _ in chain):
            following = None
        chain.append((at, link))
    for number in range(len(chain) - 1, -1, -1):
        at = chain[number][0]
        yield from _one(at, at.__traceback__ if number else trace)
        if number:
            yield from ("", chain[number - 1][1], "")


def _one(error: BaseException, trace: TracebackType | None) -> Iterator[str]:
    if trace is not None:
        yield "Traceback (most recent call last):"
        for entry in traceback.StackSummary.extract(traceback.walk_tb(trace)).format():
            yield from map(one_line, entry.rstrip("\n").split("\n"))
    kind = type(error)
    name = kind.__qualname__
    if kind.__module__ not in ("builtins", "__main__"):
        name = f"{kind.__module__}.{name}"
    text = _text(error)
    yield one_line(f"{name}: {text}" if text else name)
    for note in list(getattr(error, "__notes__", None) or ())[:MOST_ERRORS]:
        yield one_line(bounded(str(note), MOST_ERROR_CHARS))
    if isinstance(error, BaseExceptionGroup):
        for number, inner in enumerate(error.exceptions[:MOST_ERRORS], 1):
            yield f"  +---------------- {number} ----------------"
            yield from (f"  | {line}" for line in _chain(inner, inner.__traceback__))


def _text(error: BaseException) -> str:
    try:
        return bounded(str(error), MOST_ERROR_CHARS)
    except Exception:
        return "<its text cannot be shown>"
