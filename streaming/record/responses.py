"""Deleting one response, with the turns that nothing else stands on.

Whatever follows a response keeps all that it follows: a turn is deleted only if no other turn
follows it, and no other response asks or says it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from django.db import transaction

from streaming.models import OPEN, Conversation, Message, Response
from streaming.record import file_collection
from streaming.record.database import in_database


@in_database
def delete(response_id: UUID | str) -> bool:
    """Delete a response; return whether it was open still."""
    with transaction.atomic():
        related = ("conversation", "message", "prompt")
        rows = Response.objects.select_related(*related).filter(pk=response_id)
        response = rows.select_for_update(of=("self",)).first()
        if response is None:
            return False
        was_open, keeps_turns = response.status in OPEN, _keeps_turns(response)
        conversation, newest = response.conversation, response.message or response.prompt
        response.delete()
        if not keeps_turns:
            _delete_turns(conversation, newest)
        return was_open


@in_database
def unstored(since: datetime | None, before: datetime, most: int) -> Sequence[UUID]:
    """Return the ids of ended responses that are not to be stored and were asked for between two
    moments; None: whenever."""
    rows = Response.objects.filter(stored=False, created_at__lt=before).exclude(status__in=OPEN)
    if since is not None:
        rows = rows.filter(created_at__gte=since)
    return list(rows.order_by("created_at").values_list("pk", flat=True)[:most])


def _keeps_turns(response: Response) -> bool:
    """Whether its turns are those of a conversation that a program has named: they stay there."""
    return bool((response.request or {}).get("conversation"))


def _delete_turns(conversation: Conversation, newest: Message | None) -> None:
    is_programs = conversation.source == Conversation.Source.API and conversation.metadata is None
    if is_programs and conversation.tail_id is None and not conversation.responses.exists():
        conversation.delete()
        return
    turn = newest
    while turn is not None and not _is_needed(turn):
        before = turn.parent
        file_collection.with_messages(conversation.owner, Message.objects.filter(pk=turn.pk))
        turn.delete()
        turn = before


def _is_needed(turn: Message) -> bool:
    return (
        turn.children.exists()
        or turn.responses.exists()
        or Response.objects.filter(message=turn).exists()
        or Conversation.objects.filter(tail=turn).exists()
    )
