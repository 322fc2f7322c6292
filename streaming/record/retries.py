"""Which failed responses are worth another try, and for whom."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any
from uuid import UUID, uuid5

from streaming.models import Conversation, Response, Status
from streaming.record.conversations import newest_first
from streaming.record.database import in_database
from streaming.record.tasks import Requester

_NAMESPACE = UUID("6e9d3c52-1f0b-4c55-9a86-6f5d1d7f3a10")

LASTING = frozenset(
    {
        "input_too_long",
        "context_length_exceeded",
        "context_full",
        "invalid_messages",
        "invalid_params",
        "template_overrun",
        "not_continuable",
        "tool_calls",
        "content_filter",
        "upstream_refused",
    }
)
"""Codes of errors that the same prompt would meet again."""


class NoRetry(Enum):
    """Why a response is not tried again."""

    GONE = "gone"
    NOT_FAILED = "not failed"
    ELSEWHERE = "imported: it failed elsewhere"
    BY_API = "asked by a program, which has been told"
    LASTING = "would fail again"
    OUTDATED = "the conversation has gone on"
    CLOSED = "the account is not active"


@dataclass(frozen=True, slots=True)
class Retry:
    """A new response for the prompt of a failed one: the same `response_id` whoever asks for it."""

    earlier_id: UUID
    response_id: UUID
    params: dict[str, Any]
    requester: Requester


@in_database
def find(response_id: UUID) -> Retry | NoRetry:
    """Return how a failed response is tried again, or why it is not."""
    related = ("conversation", "conversation__user")
    row = Response.objects.select_related(*related).filter(pk=response_id).first()
    if row is None:
        return NoRetry.GONE
    if reason := _objection(row):
        return reason
    user = row.conversation.user
    return Retry(
        earlier_id=row.pk,
        response_id=retry_id(row.pk),
        params=row.params,
        requester=Requester(row.owner, user, row.address, row.in_session),
    )


def retry_id(response_id: UUID) -> UUID:
    """Return the id of the response that tries another one again."""
    return uuid5(_NAMESPACE, str(response_id))


def _objection(row: Response) -> NoRetry | None:
    if row.status != Status.FAILED:
        return NoRetry.NOT_FAILED
    if row.imported:  # its parameters are whatever stood in somebody's file
        return NoRetry.ELSEWHERE
    if row.conversation.source != Conversation.Source.CHAT:
        return NoRetry.BY_API
    if row.error_code in LASTING:
        return NoRetry.LASTING
    if row.conversation.user is not None and not row.conversation.user.is_active:
        return NoRetry.CLOSED
    newest = newest_first(row.conversation).values_list("pk", flat=True).first()
    return None if newest == row.pk else NoRetry.OUTDATED
