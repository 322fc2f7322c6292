"""Conversations: their titles, the order of their responses, and a program's messages."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID, uuid4

from django.db import connection
from django.db.models import QuerySet, Subquery
from django.db.models.expressions import Combinable
from django.db.models.functions import Coalesce
from django.utils import timezone

from streaming.engine.base import ChatMessage
from streaming.models import Conversation, Message, Response
from streaming.record.errors import NotFound, Subject

_TITLE_CHARS = 80


def title_of(prompt: str) -> str:
    """Return a conversation's first title: the beginning of its prompt, on one line."""
    return " ".join(prompt.split())[:_TITLE_CHARS]


def touch(conversation: Conversation) -> None:
    """Write that a conversation was used now, and lock it, so that it is not pruned meanwhile.

    Raises NotFound if it is gone.
    """
    used = Conversation.objects.filter(pk=conversation.pk).update(updated_at=timezone.now())
    if not used:
        raise NotFound(Subject.CONVERSATION)


def next_ordinal(conversation: Conversation) -> Combinable:
    """Return the number of a conversation's next response, as an expression that is evaluated by
    the insert. The conversation must be locked (`touch`). No clock says which response is newer."""
    numbers = conversation.responses.order_by("-ordinal").values("ordinal")
    return Coalesce(Subquery(numbers[:1]), 0) + 1


def newest_first(conversation: Conversation) -> QuerySet[Response]:
    """Return a conversation's responses, the newest first. (The clock decides only between those
    that a process of an earlier version wrote beside the migration.)"""
    return conversation.responses.order_by("-ordinal", "-created_at", "-pk")


def insert_chain(
    conversation: Conversation, messages: Sequence[ChatMessage], after: UUID | None = None
) -> UUID:
    """Write a program's messages, the first one after the message `after`, each of the others after
    the one before; return the id of the last one.

    By one statement and without models: a thousand of these took the database's thread, for which
    everybody waits, 90 ms.
    """
    fields = {field.name: field for field in Message._meta.concrete_fields}
    quote = connection.ops.quote_name
    columns = ", ".join(quote(field.column or "") for field in fields.values())
    places = ", ".join(["%s"] * len(fields))
    ids = [uuid4() for _ in messages]
    now = timezone.now()
    rows = []
    for number, turn in enumerate(messages):
        values = {
            "id": ids[number],
            "conversation": conversation.pk,
            "parent": ids[number - 1] if number else after,
            "role": turn.role,
            "content": turn.content,
            "reasoning": turn.reasoning,
            "fields": dict(turn.fields) or None,
            "parts": [dict(part) for part in turn.parts] or None,
            "removed": None,
            "searchable": False,
            "created_at": now + timedelta(microseconds=number),
        }
        prepare = (
            field.get_db_prep_save(values[name], connection) for name, field in fields.items()
        )
        rows.append(tuple(prepare))
    statement = f"INSERT INTO {quote(Message._meta.db_table)} ({columns}) VALUES ({places})"
    with connection.cursor() as cursor:
        cursor.executemany(statement, rows)
    return ids[-1]
