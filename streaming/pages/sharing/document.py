"""A path through a conversation as a document: who asked what, and what was answered.

The chat page's turns (`pages.turns`) have buttons, versions and states; these have words alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.utils.safestring import SafeString

from streaming import markup
from streaming.models import OPEN, Conversation, Response
from streaming.pages import turns
from streaming.pages.thread import Thread, Version
from streaming.record.histories import prefix_of, thought_before
from streaming.record.portions import portions

RENDERED_TOGETHER = 20
"""Answers whose rendering is waited for at once."""


@dataclass(frozen=True, slots=True)
class DocumentTurn:
    """A prompt and its answer. `model` is empty where the record does not say who answered;
    `is_open`: there is more to come."""

    response_id: UUID
    prompt: str
    answer: str
    reasoning: str
    asked_at: datetime
    answered_at: datetime | None
    model: str
    is_open: bool


@dataclass(frozen=True, slots=True)
class RenderedTurn:
    """The same for a page: the answer as blocks of HTML."""

    prompt: str
    blocks: list[SafeString]
    reasoning: str = ""
    asked_at: datetime | None = None
    model: str = ""


def path_through(conversation: Conversation, leaf: UUID | None) -> list[Version]:
    """Return the path through a response, or without one to the newest.

    KeyError for a response that is none of the conversation's.
    """
    return Thread(turns.tree_of(conversation)).path(leaf)


def turns_of(path: Sequence[Version]) -> Iterator[DocumentTurn]:
    """Yield the turns of a path, read some hundred at a time."""
    related = ("prompt", "message", "continues__message")
    rows = Response.objects.select_related(*related).defer("text", "reasoning", "passed")
    for some in portions(path):
        found = rows.in_bulk([version.id for version in some])
        for version in some:
            if row := found.get(version.id):
                yield _turn(row)


def rendered(drawn: Sequence[tuple[str, str, str, datetime | None, str]]) -> list[RenderedTurn]:
    """Return turns for a page, each given by prompt, answer, thought, moment and model.

    Blocks, some seconds at most for each `RENDERED_TOGETHER` of them; what is not rendered by then
    is shown as it was written.
    """
    shown: list[RenderedTurn] = []
    for begin in range(0, len(drawn), RENDERED_TOGETHER):
        some = drawn[begin : begin + RENDERED_TOGETHER]
        blocks = markup.render_all([answer for _, answer, *_ in some])
        shown += [
            RenderedTurn(prompt, html, reasoning, asked_at, model)
            for (prompt, _, reasoning, asked_at, model), html in zip(some, blocks, strict=True)
        ]
    return shown


def _turn(row: Response) -> DocumentTurn:
    return DocumentTurn(
        response_id=row.pk,
        prompt=row.prompt.content,
        answer=row.message.content if row.message else prefix_of(row),
        reasoning=row.message.reasoning if row.message else thought_before(row),
        asked_at=row.created_at,
        answered_at=row.finished_at,
        model=str(row.params.get("model") or ""),
        is_open=row.status in OPEN,
    )
