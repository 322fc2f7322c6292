"""A request's messages in the record: a conversation of their own, each after the one before."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

from django.db import connection, transaction
from django.utils import timezone

from streaming.api.auth import Client
from streaming.engine.base import ChatMessage
from streaming.models import Conversation, Message, Response
from streaming.record.database import in_database
from streaming.record.queries import title_of


@in_database
def create(
    messages: Sequence[ChatMessage], params: dict[str, Any], client: Client, response_id: UUID
) -> Response:
    """Write the chain and the response (`accepting`) to its last message.

    If that one is the assistant's, the answer goes on with it.
    """
    with transaction.atomic():
        asked = (turn.content for turn in reversed(messages) if turn.role == "user")
        conversation = Conversation.objects.create(
            owner=client.owner,
            user=client.user,
            title=title_of(next(asked, messages[-1].content)),
            source=Conversation.Source.API,
        )
        last = _insert(conversation, messages)
        return Response.objects.create(
            id=response_id,
            conversation=conversation,
            prompt_id=last,
            owner=client.owner,
            address=client.address,
            params=params,
        )


def _insert(conversation: Conversation, messages: Sequence[ChatMessage]) -> UUID:
    """Write the chain; the id of its last message.

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
            "parent": ids[number - 1] if number else None,
            "role": turn.role,
            "content": turn.content,
            "reasoning": turn.reasoning,
            "fields": dict(turn.fields) or None,
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


@in_database
def discard(response: Response) -> None:
    """Forget a request that the waiting list did not accept."""
    Conversation.objects.filter(pk=response.conversation_id).delete()
