"""A path through a conversation as a document: who asked what, and what was answered.

The chat page's turns (`pages.turns`) have buttons, versions and states; these have words alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from streaming import markup
from streaming.models import OPEN, Conversation, Message, Response
from streaming.pages import turns
from streaming.pages.calls import Call, calls_of, refusal_of
from streaming.pages.thoughts import apart
from streaming.pages.thread import Thread, Version
from streaming.record.attachments import attachments, typed_text
from streaming.record.histories import prefix_of, thought_before
from streaming.record.portions import portions

RENDERED_TOGETHER = 20
"""Answers whose rendering is waited for at once."""


@dataclass(frozen=True, slots=True)
class DocumentTurn:
    """A prompt and its answer. `prompt` is empty where a program sent results of functions, which
    stand at their `calls`; those without one are `results`. `files`: names of what came with it.
    `model` is empty where the record does not say who answered; `is_open`: there is more to come.
    """

    response_id: UUID
    prompt: str
    files: list[str]
    results: list[Call]
    answer: str
    refusal: str
    calls: list[Call]
    reasoning: str
    asked_at: datetime
    answered_at: datetime | None
    model: str
    is_open: bool

    @property
    def said(self) -> str:
        """Return the answer, or why there is none, in the model's words."""
        return "\n\n".join(text for text in (self.answer, self.refusal) if text)


class DrawnTurn(NamedTuple):
    """What a page shows of a turn; the answer is Markdown."""

    prompt: str
    answer: str
    reasoning: str = ""
    asked_at: datetime | None = None
    model: str = ""
    files: Sequence[str] = ()
    calls: Sequence[Call] = ()

    @classmethod
    def of(cls, turn: DocumentTurn) -> DrawnTurn:
        """Return all of a turn."""
        calls = (*turn.results, *turn.calls)
        return cls(
            turn.prompt, turn.said, turn.reasoning, turn.asked_at, turn.model, turn.files, calls
        )


@dataclass(frozen=True, slots=True)
class RenderedTurn:
    """The same for a page: the answer as blocks of HTML."""

    drawn: DrawnTurn
    blocks: list[SafeString]


def path_through(conversation: Conversation, leaf: UUID | None) -> list[Version]:
    """Return the path through a response, or without one to the newest.

    KeyError for a response that is none of the conversation's.
    """
    return Thread(turns.tree_of(conversation)).path(leaf)


def turns_of(path: Sequence[Version]) -> Iterator[DocumentTurn]:
    """Yield the turns of a path, read some hundred at a time."""
    related = ("prompt", "message", "continues__message")
    rows = Response.objects.select_related(*related).defer("text", "reasoning")
    for some in portions(path):
        found = rows.in_bulk([version.id for version in some])
        shown = [found[version.id] for version in some if version.id in found]
        called = calls_of([[row] for row in shown])
        for row, each in zip(shown, called, strict=True):
            yield _turn(row, each.calls, each.results)


def rendered(drawn: Sequence[DrawnTurn]) -> list[RenderedTurn]:
    """Return turns for a page.

    Blocks, some seconds at most for each `RENDERED_TOGETHER` of them; what is not rendered by then
    is shown as it was written.
    """
    shown: list[RenderedTurn] = []
    for begin in range(0, len(drawn), RENDERED_TOGETHER):
        some = drawn[begin : begin + RENDERED_TOGETHER]
        blocks = markup.render_all([turn.answer for turn in some])
        shown += [RenderedTurn(turn, html) for turn, html in zip(some, blocks, strict=True)]
    return shown


def _turn(row: Response, calls: list[Call], results: list[Call]) -> DocumentTurn:
    asked = row.prompt
    is_result = asked.role == Message.Role.TOOL
    reasoning = row.message.reasoning if row.message else thought_before(row)
    return DocumentTurn(
        response_id=row.pk,
        prompt="" if is_result else typed_text(asked.content, asked.parts),
        files=[each.name or _("Image") for each in attachments(asked.parts)],
        results=results,
        answer=row.message.content if row.message else prefix_of(row),
        refusal=refusal_of([row]),
        calls=calls,
        reasoning=reasoning if row.continues_id else apart(reasoning, row.items),
        asked_at=row.created_at,
        answered_at=row.finished_at,
        model=str(row.params.get("model") or ""),
        is_open=row.status in OPEN,
    )
