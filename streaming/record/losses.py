"""Counting what went wrong with a response: a list that forgot it, an engine that hung over it."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from django.db import connection, transaction
from django.db.models import F

from streaming.models import OPEN, Response
from streaming.record.database import in_database
from streaming.record.portions import portions


@in_database
def revive(response_ids: Sequence[UUID]) -> list[Response]:
    """Count that the waiting list has forgotten these; return the rows of those that are open."""
    revived: list[Response] = []
    for ids in portions(response_ids):
        some = Response.objects.filter(pk__in=ids, status__in=OPEN)
        with transaction.atomic():
            # A process that was stopped may hold some: they come with a later pass.
            skips = connection.features.has_select_for_update_skip_locked
            rows = list(some.select_for_update(skip_locked=skips).order_by("created_at", "ordinal"))
            pks = [row.pk for row in rows]
            Response.objects.filter(pk__in=pks).update(restarts=F("restarts") + 1)
            for row in rows:
                row.restarts += 1
            revived += rows
    return revived


@in_database
def count_restart(response_id: UUID | str) -> None:
    """Count that the waiting list has forgotten a response, if it is open."""
    rows = Response.objects.filter(pk=response_id, status__in=OPEN)
    rows.update(restarts=F("restarts") + 1)


@in_database
def count_hang(response_id: UUID | str) -> int:
    """Count that an engine hung while it wrote the answer; return how many have, in all
    processes."""
    rows = Response.objects.filter(pk=response_id)
    rows.update(hangs=F("hangs") + 1)
    return rows.values_list("hangs", flat=True).first() or 0
