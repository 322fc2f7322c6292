"""A conversation's files, from the record: all of it in JSON, what was said last in Markdown."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from streaming.models import Conversation, Message

_MESSAGE = ("id", "parent", "role", "content", "reasoning", "fields", "created_at")
_RESPONSE = (
    *("id", "prompt", "message", "previous", "continues", "status", "finish_reason"),
    *("params", "prompt_tokens", "completion_tokens", "rating", "created_at", "finished_at"),
)


class RecordExporter:
    """Writes every message and response of a conversation, and its newest thread for reading."""

    def files(self, conversation: Conversation) -> Iterable[tuple[str, Iterable[str]]]:
        """Return the JSON and the Markdown file."""
        yield "json", _json(conversation)
        yield "md", _markdown(conversation)


def _json(conversation: Conversation) -> Iterator[str]:
    whole: dict[str, Any] = {
        "id": conversation.pk,
        "title": conversation.title,
        "created_at": conversation.created_at,
        "updated_at": conversation.updated_at,
        "messages": list(conversation.messages.values(*_MESSAGE)),
        "responses": list(conversation.responses.order_by("ordinal").values(*_RESPONSE)),
    }
    yield from json.JSONEncoder(ensure_ascii=False, indent=2, default=str).iterencode(whole)


def _markdown(conversation: Conversation) -> Iterator[str]:
    yield f"# {conversation.title or conversation.pk}\n"
    for message in _newest_thread(conversation):
        yield f"\n## {message.get_role_display()}\n\n{message.content}\n"


def _newest_thread(conversation: Conversation) -> list[Message]:
    """Return the newest message and those before it, the first one first."""
    rows = {row.pk: row for row in conversation.messages.all()}
    found: list[Message] = []
    row = list(rows.values())[-1] if rows else None
    while row is not None and row not in found:
        found.append(row)
        row = rows.get(row.parent_id) if row.parent_id else None
    return found[::-1]
