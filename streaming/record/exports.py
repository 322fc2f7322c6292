"""A whole conversation as JSON, `chatstream.conversation/1`: every message and every response, on
whatever branch. `docs/keeping.md` says what each field is.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

from django.db.models import Model, QuerySet
from django.utils import timezone

from streaming.models import Conversation, Message, Response, Status
from streaming.record.conversations import newest_first
from streaming.record.portions import portions

FORMAT = "chatstream.conversation/1"
"""The format and its version. A reader refuses a higher number."""


def as_json(conversation: Conversation) -> Iterator[str]:
    """Yield the text of a conversation's JSON, some hundred rows at a time.

    Nothing is held between two pieces: whoever reads slowly holds no cursor and no transaction.
    """
    head = {
        "format": FORMAT,
        "exported_at": _iso(timezone.now()),
        "conversation": {
            "id": str(conversation.pk),
            "title": conversation.title,
            "instructions": conversation.instructions,
            "pinned": conversation.pinned,
            "archived": conversation.archived,
            "folder": conversation.folder,
            "created_at": _iso(conversation.created_at),
            "updated_at": _iso(conversation.updated_at),
        },
    }
    yield json.dumps(head, ensure_ascii=False, indent=1)[:-2]
    yield ',\n "messages": ['
    yield from _listed(map(message_of, _rows(conversation.messages.order_by("created_at", "pk"))))
    yield '],\n "responses": ['
    responses = newest_first(conversation).reverse().defer("text", "reasoning")
    yield from _listed(map(response_of, _rows(responses)))
    yield "]\n}\n"


def message_of(row: Message) -> dict[str, Any]:
    """Return a message as the format has it."""
    return _kept(
        {
            "id": str(row.pk),
            "parent": _id(row.parent_id),
            "role": row.role,
            "content": row.content,
            "reasoning": row.reasoning,
            "fields": row.fields,
            "parts": row.parts,
            "created_at": _iso(row.created_at),
        }
    )


def response_of(row: Response) -> dict[str, Any]:
    """Return a response as the format has it; the text is its message's."""
    status = Status.QUEUED if row.status == Status.ACCEPTING else Status(row.status)
    return _kept(
        {
            "id": str(row.pk),
            "prompt": str(row.prompt_id),
            "message": _id(row.message_id),
            "previous": _id(row.previous_id),
            "continues": _id(row.continues_id),
            "status": status.value,
            "finish_reason": row.finish_reason,
            "error_code": row.error_code,
            "error_message": row.error_message,
            "params": row.params,
            "passed": row.passed,
            "items": row.items,
            "prompt_tokens": row.prompt_tokens,
            "completion_tokens": row.completion_tokens,
            "reasoning_tokens": row.reasoning_tokens,
            "reasoning_ms": row.reasoning_ms,
            "trimmed_messages": row.trimmed_messages,
            "rating": row.rating,
            "created_at": _iso(row.created_at),
            "started_at": _iso(row.started_at),
            "first_token_at": _iso(row.first_token_at),
            "finished_at": _iso(row.finished_at),
        }
    )


def _kept(fields: dict[str, Any]) -> dict[str, Any]:
    """Return the fields that say something. A content does, and a time of 0."""
    return {
        name: value
        for name, value in fields.items()
        if name in ("content", "reasoning_ms") or value not in (None, "", 0, {})
        if value is not None
    }


def _rows(rows: QuerySet[Any]) -> Iterator[Any]:
    ids = list(rows.values_list("pk", flat=True))
    for some in portions(ids):
        found: dict[Any, Model] = rows.in_bulk(list(some))
        yield from (found[pk] for pk in some if pk in found)


def _listed(values: Iterable[dict[str, Any]]) -> Iterator[str]:
    separator = "\n  "
    for value in values:
        yield separator + json.dumps(value, ensure_ascii=False)
        separator = ",\n  "


def _id(value: Any) -> str | None:
    return None if value is None else str(value)


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else moment.astimezone(UTC).isoformat()
