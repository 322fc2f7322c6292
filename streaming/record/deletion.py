"""Deleting from the record: what was refused a place, and what its owner or an operator deletes."""

from __future__ import annotations

from typing import Any

from django.db import IntegrityError, OperationalError, models, transaction
from django.db.models import Q, QuerySet

from streaming.models import OPEN, Conversation, Message, Response
from streaming.record import file_collection
from streaming.record.database import in_database

_ATTEMPTS = 3

_GO_WITH: dict[type[models.Model], str] = {
    Conversation: "conversation__in",
    Message: "prompt__in",
    Response: "pk__in",
}
"""Which responses are deleted when rows of a table are."""


@in_database
def discard(
    response: Response,
    *,
    with_conversation: bool = False,
    with_instructions: bool = False,
    messages: int | None = None,
) -> None:
    """Delete a response that the waiting list did not accept, its prompt unless that has other
    answers, and its conversation if nothing is left of it (one that a program has made may be
    empty).

    `with_conversation`: all of the conversation was written with the response, and goes with it.
    `with_instructions`: it gave the conversation instructions, which has its former ones again
    (those of `response.conversation`, as `creation.create` returns it). `messages`: so many were
    written with it, the last of which is the prompt."""
    with transaction.atomic():
        conversation, prompt = response.conversation, response.prompt
        if with_conversation:
            conversation.delete()
            return
        response.delete()
        if messages is not None:
            _delete_last(conversation, prompt, messages)
        elif not prompt.responses.exists():
            same = Message.objects.filter(pk=prompt.pk)
            file_collection.with_messages(conversation.owner, same)
            prompt.delete()
        if conversation.metadata is None and not conversation.messages.exists():
            conversation.delete()
        elif with_instructions:
            former = conversation.instructions
            Conversation.objects.filter(pk=conversation.pk).update(instructions=former)


def _delete_last(conversation: Conversation, message: Message, count: int) -> None:
    """Delete a message and those before it, `count` in all, which nothing else refers to yet."""
    turn: Message | None = message
    for _ in range(count):
        if turn is None:
            return
        file_collection.with_messages(conversation.owner, Message.objects.filter(pk=turn.pk))
        turn.delete()
        turn = turn.parent


def delete(rows: QuerySet[Any]) -> tuple[int, list[str]]:
    """Delete conversations, messages or responses; return how many rows there were, and the ids of
    the responses that were still open.

    Raises IntegrityError or OperationalError if others wrote to the same rows again and again.
    """
    still_open = open_responses(rows)
    for attempt in range(_ATTEMPTS):
        try:
            with transaction.atomic():
                # Locked, so that nothing that refers to them is written meanwhile; in the order
                # of those who end a response: its row, then what its answer refers to.
                ids(still_open.select_for_update(no_key=True))
                locked = ids(rows.select_for_update())
                late = ids(still_open)
                if rows.model is Message:  # a conversation's files are its own affair
                    for owner in set(rows.values_list("conversation__owner", flat=True)):
                        of_owner = rows.filter(conversation__owner=owner)
                        file_collection.with_messages(owner, of_owner)
                rows.delete()
            return len(locked), late
        except (IntegrityError, OperationalError):
            # Somebody wrote at the same moment, and was there first.
            if attempt == _ATTEMPTS - 1:
                raise
    raise AssertionError


def open_responses(rows: QuerySet[Any]) -> QuerySet[Response]:
    """Return the open responses that are deleted with these conversations, messages or
    responses; with conversations those by which a model makes their titles."""
    goes = Q(**{_GO_WITH[rows.model]: rows})
    if rows.model is Conversation:
        goes |= Q(conversation__in=Conversation.objects.filter(names__in=rows))
    return Response.objects.filter(goes, status__in=OPEN)


def ids(rows: QuerySet[Any]) -> list[str]:
    """Return the keys of rows as texts."""
    return [str(pk) for pk in rows.values_list("pk", flat=True)]
