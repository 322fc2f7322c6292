"""A database as the release before items left it: `write` fills it, `read` shows it as the wire
does.

Run as a process of its own, in the environment of the deployment that is upgraded.
"""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import django

BEFORE = "0019_unsearched"
"""The last migration of the release before."""

AT = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)
CALL = {
    "index": 0,
    "id": "call_1",
    "type": "function",
    "function": {"name": "f", "arguments": "{}"},
}
CASES: dict[str, dict[str, Any]] = {
    "text": {"text": "Yes."},
    "thought": {"text": "Yes.", "reasoning": "Hm", "reasoning_ms": 1500, "reasoning_tokens": 1},
    "calls": {"passed": {"tool_calls": [CALL]}, "finish_reason": "tool_calls"},
    "refusal": {"passed": {"refusal": "No."}},
    "cut": {"text": "Ye", "status": "incomplete", "finish_reason": "length"},
    "cancelled": {"status": "cancelled", "finish_reason": "cancelled"},
    "failed": {
        "status": "failed",
        "finish_reason": "error",
        "error_code": "engine_error",
        "error_message": "It broke.",
    },
    "waiting": {"status": "queued", "finish_reason": "", "finished_at": None, "slot": ""},
}
"""Responses of before, by what is in them; all others are completed."""


def key(number: int) -> UUID:
    return UUID(int=number)


def write() -> None:
    """Fill a database that is migrated up to `BEFORE`."""
    from django.db import connection
    from django.db.migrations.executor import MigrationExecutor

    apps = MigrationExecutor(connection).loader.project_state([("streaming", BEFORE)]).apps
    user = apps.get_model("auth", "User").objects.create(username="ada")
    conversations = apps.get_model("streaming", "Conversation").objects
    messages = apps.get_model("streaming", "Message").objects
    responses = apps.get_model("streaming", "Response").objects
    for number, fields in enumerate(CASES.values(), 1):
        owner = f"user:{user.pk}"
        conversation = conversations.create(id=key(number), owner=owner, user=user, title="Old")
        prompt = messages.create(
            id=key(100 + number), conversation=conversation, role="user", content="Is it so?"
        )
        answer = None
        if "text" in fields:
            answer = messages.create(
                id=key(200 + number),
                conversation=conversation,
                parent=prompt,
                role="assistant",
                content=fields["text"],
                reasoning=fields.get("reasoning", ""),
            )
        ended = {
            "status": "completed",
            "finish_reason": "stop",
            "finished_at": AT + timedelta(seconds=2),
        }
        responses.create(
            id=key(300 + number),
            conversation=conversation,
            prompt=prompt,
            message=answer,
            owner=owner,
            params={"max_tokens": 9, "seed": 1, "stop": [], "temperature": 0.5},
            prompt_tokens=3,
            completion_tokens=2,
            **{**ended, **fields},
        )


def read() -> None:
    """Print the resources of all responses, and what an engine would be told of each."""
    from streaming.lifecycle.resource import resource
    from streaming.models import Response
    from streaming.record.histories import history_of

    shown = {}
    for case, row in zip(CASES, Response.objects.order_by("pk"), strict=True):
        turns, _ = history_of(row, 1000)
        turns = [*turns] if row.message is None else history_of_answer(row)
        shown[case] = {
            "resource": resource(row).model_dump(mode="json"),
            "turns": [[turn.role, turn.content, turn.reasoning] for turn in turns],
        }
    print(json.dumps(shown))


def history_of_answer(row: Any) -> list[Any]:
    """Return the turns up to a response's answer."""
    from streaming.record.chain import chain_to

    return chain_to(row.message, 1000)[0]


if __name__ == "__main__":
    django.setup()
    {"write": write, "read": read}[sys.argv[1]]()
