"""What operators tell all users, from one moment to another: the newest that has begun is shown."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db.models import Q, QuerySet
from django.utils import timezone

from streaming.models import Announcement
from streaming.record.database import in_database

MOST_CHARS = 500


@in_database
def current() -> Announcement | None:
    """Return the announcement of now, None without one."""
    now = timezone.now()
    return _not_over(now).filter(starts_at__lte=now).order_by("-starts_at", "-pk").first()


@in_database
def upcoming() -> list[Announcement]:
    """Return those that are not over, the next to begin first."""
    return list(_not_over(timezone.now()).order_by("starts_at", "pk")[:50])


@in_database
def add(
    text: str, level: str, starts_at: datetime | None, ends_at: datetime | None, operator: str
) -> Announcement:
    """Keep an announcement; without `starts_at` it begins now, without `ends_at` it stays."""
    row: dict[str, Any] = {"text": text, "level": level, "ends_at": ends_at}
    begins = starts_at or timezone.now()
    return Announcement.objects.create(**row, starts_at=begins, written_by=operator[:150])


@in_database
def end(pk: int) -> Announcement | None:
    """Take one down, or drop it if it has not begun; None if it is over already."""
    now = timezone.now()
    row = _not_over(now).filter(pk=pk).first()
    if row is None:
        return None
    row.ends_at = now
    row.starts_at = min(row.starts_at, now)
    row.save(update_fields=["ends_at", "starts_at"])
    return row


def _not_over(now: datetime) -> QuerySet[Announcement]:
    return Announcement.objects.filter(Q(ends_at=None) | Q(ends_at__gt=now))
