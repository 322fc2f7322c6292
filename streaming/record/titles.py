"""Titles that a model makes: which conversation is to have one, what is asked, what comes of it.

What is asked is a conversation of the server's own, with one response. It is deleted when that has
ended, or with the conversation that it names.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db import IntegrityError, transaction
from django.utils import timezone

from streaming.models import OPEN, Conversation, Message, Response, Status
from streaming.record.conversations import title_of
from streaming.record.database import in_database

OWNER = "server:titles"
"""Whose place it is in the waiting list: nobody's limits count it."""

RECENT = timedelta(minutes=15)
"""Age of a conversation's first prompt from which its title stays as it is."""

_LOOKED_AT = 50
_SOURCE_CHARS = 600
"""Characters of the prompt and of the answer that the model is shown."""

_MOST_TITLE_CHARS = 80
_LABEL = re.compile(
    r"^(?:title|\u984c\u540d|\u30bf\u30a4\u30c8\u30eb)\s*[:\uff1a]\s*", re.IGNORECASE
)
_AROUND = " \t\"'`*#_\u201c\u201d\u300c\u300d\u300e\u300f.\u3002"


@in_database
def next_untitled(besides: Collection[UUID]) -> Response | None:
    """Return the first response, ended and with an answer, of a conversation whose title is still
    the beginning of its prompt; None if there is none but `besides`."""
    rows = Response.objects.select_related("conversation", "prompt", "message").filter(
        created_at__gt=timezone.now() - RECENT,
        ordinal=1,
        imported=False,
        status__in=(Status.COMPLETED, Status.INCOMPLETE),
        message__isnull=False,
        conversation__source=Conversation.Source.CHAT,
        conversation__named_by=None,
    )
    for row in rows.exclude(conversation__in=list(besides)).order_by("created_at")[:_LOOKED_AT]:
        if row.conversation.title == title_of(row.prompt.content):
            return row
    return None


@in_database
def write(row: Response, params: Mapping[str, Any]) -> Response | None:
    """Write what a model is asked for the title of a response's conversation; return the response
    (`accepting`). None if that is asked already, or if the conversation is gone."""
    try:
        with transaction.atomic():
            asking = Conversation.objects.create(
                owner=OWNER,
                source=Conversation.Source.NAME,
                title=row.conversation.title,
                names=row.conversation,
            )
            prompt = Message.objects.create(
                conversation=asking,
                role=Message.Role.USER,
                content=_question(row.prompt.content, row.message.content if row.message else ""),
                searchable=False,
            )
            return Response.objects.create(
                conversation=asking, prompt=prompt, owner=OWNER, params=dict(params)
            )
    except IntegrityError:
        return None


@in_database
def take_up() -> int:
    """Give conversations the titles that models have made, where nobody has chosen another one
    meanwhile, and delete what was asked for them; return how many were."""
    ended = Conversation.objects.filter(names__isnull=False).exclude(responses__status__in=OPEN)
    count = 0
    for asking in ended.prefetch_related("responses"):
        for response in asking.responses.all():
            title = title_in(response.text) if response.status == Status.COMPLETED else ""
            if title:
                unchanged = Conversation.objects.filter(named_by=asking, title=asking.title)
                unchanged.update(title=title)
        asking.delete()
        count += 1
    return count


def title_in(text: str) -> str:
    """Return the title in a model's answer, "" if it has none: one line, not a whole sentence's
    length, without what models put around a title."""
    line = next((line for line in text.splitlines() if line.strip()), "")
    line = _LABEL.sub("", " ".join(line.replace("\0", "").split()).strip(_AROUND)).strip(_AROUND)
    return line if len(line) <= _MOST_TITLE_CHARS else ""


def _question(prompt: str, answer: str) -> str:
    return (
        f"{prompt[:_SOURCE_CHARS]}\n\n---\n\n{answer[:_SOURCE_CHARS]}\n\n---\n\n"
        "Write a title of two to six words for this conversation, in its language. "
        "Answer with the title alone."
    )
