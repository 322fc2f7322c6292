"""Where open responses stand in the waiting list, so that a list without its memory gets them back
in their order."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from uuid import UUID

from django.db.models import Case, CharField, F, Value, When
from django.db.models.expressions import Combinable

from streaming.models import OPEN, Response, Status
from streaming.record.database import in_database
from streaming.record.portions import portions

EMPTY: Mapping[UUID, str] = {}


@in_database
def mark_queued(response_ids: Iterable[UUID], slots: Mapping[UUID, str] = EMPTY) -> None:
    """Write that the waiting list has these responses, and the slot of each that has one.

    The ids are asked for in the database's thread, and only then.
    """
    ids = list(response_ids)
    accepting = Response.objects.filter(status=Status.ACCEPTING)
    for some in portions(ids):
        rows = accepting.filter(pk__in=some)
        if any(slots.get(pk) for pk in some):
            rows.update(status=Status.QUEUED, slot=_slot_by_id(slots, some))
        else:
            rows.update(status=Status.QUEUED)


@in_database
def keep_slots(slots: Mapping[UUID, str]) -> None:
    """Write where open responses stand in the waiting list now."""
    for some in portions(list(slots)):
        Response.objects.filter(pk__in=some, status__in=OPEN).update(slot=_slot_by_id(slots, some))


@in_database
def other_slots(slots: Mapping[UUID, str]) -> list[UUID]:
    """Return the open responses of which the record says another slot than `slots` does."""
    other: list[UUID] = []
    for some in portions(list(slots)):
        rows = Response.objects.filter(pk__in=some, status__in=OPEN).values_list("pk", "slot")
        other += [pk for pk, slot in rows.iterator() if slot != slots[pk]]
    return other


def _slot_by_id(slots: Mapping[UUID, str], ids: Sequence[UUID]) -> Combinable:
    if len(ids) == 1:
        return Value(slots[ids[0]])
    cases = (When(pk=pk, then=Value(slots[pk])) for pk in ids if slots.get(pk))
    return Case(*cases, default=F("slot"), output_field=CharField())
