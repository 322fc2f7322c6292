"""What was said in a conversation, for operators who may read it: every response with its prompt,
in the order in which they were asked, on whatever branch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.utils.safestring import SafeString

from streaming import markup
from streaming.admin.durations import (
    queue_seconds,
    tokens_per_second,
    total_seconds,
    ttft_seconds,
    words,
)
from streaming.models import Conversation, Response
from streaming.record.conversations import newest_first

PER_PART = 20
"""Responses that one part of a transcript shows."""


@dataclass(frozen=True, slots=True)
class Said:
    """One response. `prompt` is None where it answers the prompt of the response before it again.

    `follows`: the response that it follows, where that is not the one shown before it.
    """

    row: Response
    number: int
    prompt: str | None
    blocks: list[SafeString]
    follows: Response | None
    timings: list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Part:
    """Some of a conversation's responses, and which of the `parts` they are."""

    said: list[Said]
    number: int
    parts: int


def part(conversation: Conversation, number: int) -> Part:
    """Return a part of the transcript, the first is 1; the nearest one for a number of none.

    Answers are rendered as on the chat page, in bounded time; what is not by then is shown as it
    was written.
    """
    rows = newest_first(conversation).reverse()
    parts = max(1, -(-rows.count() // PER_PART))
    number = min(max(number, 1), parts)
    start = (number - 1) * PER_PART
    related = ("prompt", "previous", "continues")
    shown = list(rows.select_related(*related)[max(0, start - 1) : start + PER_PART])
    before = shown.pop(0) if start else None
    rendered = markup.render_all([row.text for row in shown])
    said = [
        _said(row, earlier, start + place, blocks)
        for place, (row, earlier, blocks) in enumerate(
            zip(shown, [before, *shown], rendered, strict=False), 1
        )
    ]
    return Part(said, number, parts)


def _said(row: Response, earlier: Response | None, number: int, blocks: list[SafeString]) -> Said:
    is_again = earlier is not None and earlier.prompt_id == row.prompt_id
    follows = row.previous
    if is_again or (earlier is not None and earlier.pk == row.previous_id):
        follows = None
    return Said(row, number, None if is_again else row.prompt.content, blocks, follows, _of(row))


def _of(row: Response) -> list[tuple[str, str]]:
    """The timings that are known of a response, by the names of the history's columns."""
    rate = tokens_per_second(row)
    known: Sequence[tuple[str, Any]] = (
        ("queue time", queue_seconds(row)),
        ("first token", ttft_seconds(row)),
        ("total", total_seconds(row)),
    )
    found = [(name, words(seconds)) for name, seconds in known if seconds is not None]
    found.append(("tokens", f"{row.prompt_tokens} + {row.completion_tokens}"))
    return found if rate is None else [*found, ("tokens/s", f"{rate:.1f}")]
