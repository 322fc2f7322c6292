"""The turns that lead to a message, read from the newest one back as far as an engine may care.

A conversation grows over thousands of turns, and has branches: what fits no model is not read.
"""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

from django.db import connection

from streaming.engine.base import ChatMessage
from streaming.models import Message
from streaming.record.attachments import with_engine_parts

_MOST_TURNS = 100_000

_ENGINE_FIELDS = ("tool_calls", "tool_call_id", "name")
"""The fields of a turn that an engine is told; others are for whoever reads the turn again."""

_NEWEST = """
WITH RECURSIVE chain(id, parent, depth, chars, thought) AS (
    SELECT id, parent_id, 0, length(content), length(reasoning) FROM {table} WHERE id = %s
    UNION ALL
    SELECT turn.id, turn.parent_id, chain.depth + 1, chain.chars + length(turn.content),
        chain.thought + length(turn.reasoning)
    FROM chain JOIN {table} turn ON turn.id = chain.parent
    WHERE chain.chars <= %s AND chain.depth < %s AND turn.conversation_id = %s
)
SELECT turn.parent_id, turn.role, turn.content, turn.fields, turn.parts,
    CASE WHEN chain.chars + chain.thought <= %s OR chain.depth = 0 THEN turn.reasoning ELSE '' END
FROM chain JOIN {table} turn ON turn.id = chain.id ORDER BY chain.depth DESC
"""

_OLDER = """
WITH RECURSIVE chain(parent, depth) AS (
    SELECT parent_id, 1 FROM {table} WHERE id = %s AND conversation_id = %s
    UNION ALL
    SELECT turn.parent_id, chain.depth + 1
    FROM chain JOIN {table} turn ON turn.id = chain.parent
    WHERE chain.depth < %s AND turn.conversation_id = %s
)
SELECT count(*) FROM chain
"""

_KEYS = """
WITH RECURSIVE chain(id, parent, depth) AS (
    SELECT id, parent_id, 0 FROM {table} WHERE id = %s
    UNION ALL
    SELECT turn.id, turn.parent_id, chain.depth + 1
    FROM chain JOIN {table} turn ON turn.id = chain.parent
    WHERE chain.depth < %s AND turn.conversation_id = %s
)
SELECT id FROM chain ORDER BY depth
"""


def keys_to(newest: Message) -> list[UUID]:
    """Return the keys of the turns up to `newest`, the newest first."""
    key, conversation = _prepared(newest)
    table = connection.ops.quote_name(Message._meta.db_table)
    with connection.cursor() as cursor:
        cursor.execute(_KEYS.format(table=table), [key, _MOST_TURNS, conversation])
        return [UUID(str(row[0])) for row in cursor.fetchall()]


def chain_to(newest: Message, most_chars: int) -> tuple[list[ChatMessage], int]:
    """Return the turns up to `newest`, oldest first, and how many older ones were left out.

    Whole turns of `most_chars` characters in all, and the one in which they were exceeded; what
    is left begins with a prompt. What older turns thought comes with them as far as all of it has
    no more characters together; that no turn is left out for.
    """
    if newest.parent_id is None:
        own = (newest.role, newest.content, newest.fields, newest.parts, newest.reasoning)
        return [turn_of(*own)], 0
    key, conversation = _prepared(newest)
    table = connection.ops.quote_name(Message._meta.db_table)
    with connection.cursor() as cursor:
        bounds = [key, most_chars, _MOST_TURNS, conversation, most_chars]
        cursor.execute(_NEWEST.format(table=table), bounds)
        rows = cursor.fetchall()
        older = rows[0][0] if rows else None
        left_out = 0
        if older is not None:
            cursor.execute(
                _OLDER.format(table=table), [older, conversation, _MOST_TURNS, conversation]
            )
            left_out = cursor.fetchone()[0]
    turns = [
        turn_of(role, content, _loaded(fields), _loaded(parts), reasoning)
        for _, role, content, fields, parts, reasoning in rows
    ]
    if left_out:
        begins = next((at for at, turn in enumerate(turns) if turn.role == "user"), len(turns) - 1)
        turns, left_out = turns[begins:], left_out + begins
    return turns, left_out


def _prepared(message: Message) -> tuple[Any, Any]:
    """Return the keys of a turn and of its conversation as the database has them."""
    own, conversation = Message._meta.get_field("id"), Message._meta.get_field("conversation")
    return (
        own.get_db_prep_value(message.pk, connection),
        conversation.get_db_prep_value(message.conversation_id, connection),
    )


def turn_of(role: str, content: str, fields: Any, parts: Any, reasoning: str) -> ChatMessage:
    """Return a turn as an engine takes it."""
    fields = fields or {}
    told = {name: value for name, value in fields.items() if name in _ENGINE_FIELDS}
    said = content or fields.get("refusal", "")  # why there is no answer, in an answer's place
    turn = ChatMessage(role, said, told, reasoning)  # type: ignore[arg-type]
    return with_engine_parts(turn, parts)


def _loaded(value: Any) -> Any:
    """Return JSON as the database's driver gives it: some parse it."""
    return json.loads(value) if isinstance(value, str) else value
