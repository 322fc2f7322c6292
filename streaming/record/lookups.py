"""Reading responses, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import Q

from streaming.models import OPEN, Response, Status
from streaming.record.database import in_database


def find(response_id: UUID | str) -> Response | None:
    """Return a response with the answer that it continues, in the database's thread."""
    return Response.objects.select_related("continues__message").filter(pk=response_id).first()


get = in_database(find)
"""Return a response with the answer that it continues; None if the id is unknown."""


@in_database
def ended_row(response_id: UUID | str) -> Response | None:
    """Return an ended response; None while it is open, or if it is unknown."""
    return Response.objects.filter(pk=response_id).exclude(status__in=OPEN).first()


@in_database
def ended_ids(response_ids: Sequence[str]) -> list[str]:
    """Return those of the ids that the record holds as ended, or does not hold at all."""
    is_open = Response.objects.filter(pk__in=response_ids, status__in=OPEN)
    still = {str(pk) for pk in is_open.values_list("pk", flat=True)}
    return [response_id for response_id in response_ids if response_id not in still]


@in_database
def accounts_in_session(response_ids: Sequence[str]) -> dict[str, Any]:
    """Return the account's primary key of each of the open responses that was asked for in an
    account's session, by the response's id."""
    rows = Response.objects.filter(pk__in=response_ids, status__in=OPEN, in_session=True)
    found = rows.exclude(conversation__user=None).values_list("pk", "conversation__user_id")
    return {str(pk): account for pk, account in found}


@in_database
def in_background(response_ids: Sequence[str]) -> set[str]:
    """Return the ids of those that are open and go on without a reader."""
    rows = Response.objects.filter(pk__in=response_ids, status__in=OPEN, background=True)
    return {str(pk) for pk in rows.values_list("pk", flat=True)}


@in_database
def open_rows(
    accepting_before: datetime | None, limit: int, after: Response | None = None
) -> list[Response]:
    """Return at most `limit` open rows, oldest first, those behind `after`.

    Those still `accepting` are returned only if they were written before `accepting_before`, if
    that is given.
    """
    rows = Response.objects.filter(status__in=OPEN).order_by("created_at", "pk")
    if accepting_before is not None:
        rows = rows.exclude(status=Status.ACCEPTING, created_at__gte=accepting_before)
    if after is not None:
        later = Q(created_at__gt=after.created_at)
        rows = rows.filter(later | Q(created_at=after.created_at, pk__gt=after.pk))
    return list(rows[:limit])
