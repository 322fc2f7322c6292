"""Writing a conversation that comes from elsewhere: whole, in one transaction, and once."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import NAMESPACE_OID, UUID, uuid4, uuid5

from django.contrib.auth.models import User
from django.db import IntegrityError, connection, models, transaction
from django.utils import timezone

from streaming import conf
from streaming.models import Conversation, Message, Response, Status
from streaming.record.drafts import Draft

MOST_CONVERSATIONS = 20_000
"""Imported conversations of one owner."""

_MOMENTS = ("started_at", "first_token_at", "finished_at")


class TooManyConversations(Exception):
    """The owner has MOST_CONVERSATIONS that were imported."""


def mark_of(source: str, key: str) -> str:
    """Return by what an imported conversation is known again: `Conversation.imported_from`."""
    return hashlib.sha256(f"{source}\0{key}".encode("utf-8", "replace")).hexdigest()


def is_known(owner: str, draft: Draft) -> bool:
    """Return whether the owner has the conversation already: imported before, or exported from
    here and still there."""
    own = Conversation.objects.filter(owner=owner)
    if own.filter(imported_from=mark_of(draft.source, draft.key)).exists():
        return True
    try:
        return draft.source == "chatstream" and own.filter(pk=UUID(draft.key)).exists()
    except ValueError:
        return False


def insert(owner: str, user: User | None, draft: Draft) -> UUID | None:
    """Write a conversation and return its id; None if the owner has it already.

    Raises TooManyConversations.
    """
    if is_known(owner, draft):
        return None
    imported = Conversation.objects.filter(owner=owner).exclude(imported_from="")
    if imported.count() >= MOST_CONVERSATIONS:
        raise TooManyConversations
    mark = mark_of(draft.source, draft.key)
    # The same for two that import the same at the same moment: one of them comes second.
    key = uuid5(NAMESPACE_OID, f"{owner}\0{mark}")
    try:
        with transaction.atomic():
            _insert_rows(Conversation, [_conversation(key, owner, user, mark, draft)])
            ids = [uuid4() for _ in draft.messages]
            _insert_rows(Message, _messages(key, ids, draft))
            _insert_rows(Response, _responses(key, owner, ids, draft))
    except IntegrityError:
        if is_known(owner, draft):
            return None
        raise
    return key


def _conversation(
    key: UUID, owner: str, user: User | None, mark: str, draft: Draft
) -> dict[str, Any]:
    now = timezone.now()
    used = min(_moment(draft.updated_at) or _moment(draft.created_at) or now, now)
    days = conf.get().retention_days
    if days and used < now - timedelta(days=days):
        used = now  # or it would be deleted tonight: to import it is to use it
    return {
        "id": key,
        "owner": owner,
        "user": user and user.pk,
        "title": draft.title,
        "imported_from": mark,
        "created_at": min(_moment(draft.created_at) or used, now),
        "updated_at": used,
        "instructions": draft.instructions if has_room_for_instructions(draft) else None,
        **draft.kept,
    }


def has_room_for_instructions(draft: Draft) -> bool:
    """Return whether a conversation may have the instructions that come with it."""
    return len(draft.instructions or "") <= conf.get().max_instructions_chars


def _messages(key: UUID, ids: Sequence[UUID], draft: Draft) -> list[dict[str, Any]]:
    now = timezone.now()
    return [
        {
            "id": ids[number],
            "conversation": key,
            "parent": None if row.parent is None else ids[row.parent],
            "role": row.role,
            "content": row.content,
            "reasoning": row.reasoning,
            "fields": row.fields,
            "parts": row.parts,
            "created_at": _moment(row.created_at) or now + timedelta(microseconds=number),
        }
        for number, row in enumerate(draft.messages)
    ]


def _responses(
    key: UUID, owner: str, messages: Sequence[UUID], draft: Draft
) -> list[dict[str, Any]]:
    now = timezone.now()
    ids = [uuid4() for _ in draft.responses]
    rows = []
    for number, row in enumerate(draft.responses):
        begun = _moment(row.created_at) or now
        answer = None if row.message is None else draft.messages[row.message]
        before = _answer_before(draft, row.continues)
        moments = {name: _moment(row.values.get(name, "")) for name in _MOMENTS}
        rows.append(
            {
                "finish_reason": "stop" if row.status == Status.COMPLETED else "",
                **row.values,
                **moments,
                "finished_at": moments["finished_at"] or begun,
                "id": ids[number],
                "conversation": key,
                "prompt": messages[row.prompt],
                "message": None if row.message is None else messages[row.message],
                "previous": None if row.previous is None else ids[row.previous],
                "continues": None if row.continues is None else ids[row.continues],
                "owner": owner,
                "imported": True,
                "status": row.status,
                "text": answer.content.removeprefix(before[0]) if answer else "",
                "reasoning": answer.reasoning.removeprefix(before[1]) if answer else "",
                "ordinal": number + 1,
                "created_at": begun,
            }
        )
    return rows


def _answer_before(draft: Draft, continues: int | None) -> tuple[str, str]:
    """Return text and thought of the answer that a response went on with."""
    place = None if continues is None else draft.responses[continues].message
    if place is None:
        return "", ""
    return draft.messages[place].content, draft.messages[place].reasoning


def _moment(text: str) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def _insert_rows(model: type[models.Model], rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert rows with the moments that they have, not those of now, by one statement."""
    fields = list(model._meta.concrete_fields)
    quote = connection.ops.quote_name
    columns = ", ".join(quote(field.column or "") for field in fields)
    places = ", ".join(["%s"] * len(fields))
    values = [
        tuple(
            field.get_db_prep_save(
                row[field.name] if field.name in row else field.get_default(), connection
            )
            for field in fields
        )
        for row in rows
    ]
    statement = f"INSERT INTO {quote(model._meta.db_table)} ({columns}) VALUES ({places})"
    with connection.cursor() as cursor:
        cursor.executemany(statement, values)
