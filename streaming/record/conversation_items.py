"""Conversations that programs build of items: made, read, added to, and items taken out again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any
from uuid import UUID

from django.db import transaction

from streaming.engine.base import ChatMessage
from streaming.models import OPEN, Conversation, Message, Response
from streaming.record import file_collection
from streaming.record.chain import keys_to
from streaming.record.context import Turn
from streaming.record.conversations import insert_chain, title_of, touch
from streaming.record.database import in_database
from streaming.record.errors import NotFound, StillOpen, Subject, TooManyTurns
from streaming.record.following import end_of
from streaming.record.tasks import Requester

MOST_TURNS = 10_000
"""Turns of a conversation beyond which none are added to it by themselves."""

_COMPACTION = "compaction"


@in_database
def find(conversation_id: UUID | None, owner: str) -> Conversation:
    """Return an owner's conversation. Raises NotFound."""
    return _owned(conversation_id, owner)


@in_database
def create(
    requester: Requester, messages: Sequence[ChatMessage], metadata: Mapping[str, str] | None
) -> Conversation:
    """Write a conversation that begins with these turns, if any."""
    asked = next((turn.content for turn in messages if turn.role == "user"), "")
    with transaction.atomic():
        conversation = Conversation.objects.create(
            owner=requester.owner,
            user=requester.user,
            title=title_of(asked),
            source=Conversation.Source.API,
            metadata=dict(metadata or {}),
        )
        if messages:
            conversation.tail_id = insert_chain(conversation, messages)
            conversation.save(update_fields=["tail"])
        return conversation


@in_database
def set_metadata(
    conversation_id: UUID | None, owner: str, metadata: Mapping[str, str]
) -> Conversation:
    """Replace what a program says about a conversation. Raises NotFound."""
    conversation = _owned(conversation_id, owner)
    conversation.metadata = dict(metadata)
    conversation.save(update_fields=["metadata", "updated_at"])
    return conversation


@in_database
def append(
    conversation_id: UUID | None, owner: str, messages: Sequence[ChatMessage]
) -> list[Message]:
    """Add turns, at least one, to the end of a conversation; return them.

    Raises NotFound, StillOpen while a response of it is open, and TooManyTurns.
    """
    with transaction.atomic():
        conversation = _locked(conversation_id, owner)
        if conversation.messages.count() + len(messages) > MOST_TURNS:
            raise TooManyTurns(Subject.CONVERSATION)
        end = end_of(conversation).newest
        last = insert_chain(conversation, messages, after=end.pk if end else None)
        Conversation.objects.filter(pk=conversation.pk).update(tail=last)
        keys = keys_to(Message.objects.get(pk=last))[: len(messages)]
        found = Message.objects.in_bulk(keys)
        return [found[key] for key in reversed(keys)]


@in_database
def path(conversation_id: UUID | None, owner: str) -> list[UUID]:
    """Return the keys of a conversation's turns, the newest first. Raises NotFound."""
    end = end_of(_owned(conversation_id, owner)).newest
    return keys_to(end) if end else []


@in_database
def turn_of_response(response_id: UUID, owner: str) -> UUID | None:
    """Return the key of the turn that an owner's response's answer is; None without one."""
    rows = Response.objects.filter(pk=response_id, owner=owner)
    key: UUID | None = rows.values_list("message_id", flat=True).first()
    return key


@in_database
def remove(
    conversation_id: UUID | None,
    owner: str,
    key: UUID,
    left_of: Callable[[Turn], Mapping[str, Any] | None],
) -> Conversation:
    """Take an item out of a turn of a conversation, and return the conversation. `left_of` returns
    the turn's columns without the item: empty if nothing is left, None if it has no such item.

    A turn of which nothing is left goes out of the path; those that follow it follow what was
    before it. Raises NotFound, and StillOpen while a response is open.
    """
    with transaction.atomic():
        conversation = _locked(conversation_id, owner)
        end = end_of(conversation).newest
        keys = keys_to(end) if end else []
        message = Message.objects.filter(pk=key).first()
        if message is None or key not in keys:
            raise NotFound(Subject.ITEM)
        left = left_of(Turn(message, Response.objects.filter(message=message).first()))
        if left is None:
            raise NotFound(Subject.ITEM)
        if left:
            Message.objects.filter(pk=key).update(**left)
            return conversation
        newer = keys[: keys.index(key)]
        gone = [*_compacted_with(message, newer), message]  # the last one first
        for turn in gone:
            turn.children.update(parent=message.parent_id)
        if keys[0] in [turn.pk for turn in gone]:
            conversation.tail_id = message.parent_id
            Conversation.objects.filter(pk=conversation.pk).update(tail=message.parent_id)
        for turn in gone:
            if not turn.responses.exists():  # a prompt stays its response's
                file_collection.with_messages(owner, Message.objects.filter(pk=turn.pk))
                turn.delete()
        return conversation


def _compacted_with(message: Message, newer: Sequence[UUID]) -> list[Message]:
    """Return the turns for which the item of `message` stands, too, the last one first; `newer` are
    the keys of those behind it, the newest first."""
    if not (message.fields or {}).get(_COMPACTION):
        return []
    found: list[Message] = []
    for key in reversed(newer):
        turn = Message.objects.get(pk=key)
        if (turn.fields or {}).get(_COMPACTION) != "":
            break
        found.insert(0, turn)
    return found


def _owned(conversation_id: UUID | None, owner: str) -> Conversation:
    """Return an owner's conversation. Raises NotFound, also for one of the server's own."""
    if conversation_id is None:
        raise NotFound(Subject.CONVERSATION)
    own = Conversation.objects.exclude(source=Conversation.Source.NAME)
    found = own.filter(pk=conversation_id, owner=owner).first()
    if found is None:
        raise NotFound(Subject.CONVERSATION)
    return found


def _locked(conversation_id: UUID | None, owner: str) -> Conversation:
    """Return an owner's conversation, to which nobody else adds until the transaction ends. Raises
    NotFound, and StillOpen while a response of it is open: where it goes on is not known then."""
    conversation = _owned(conversation_id, owner)
    touch(conversation)
    conversation.refresh_from_db(fields=["tail"])
    if conversation.responses.filter(status__in=OPEN).exists():
        raise StillOpen(Subject.CONVERSATION)
    return conversation
