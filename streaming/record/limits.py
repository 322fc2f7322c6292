"""The limits that operators have changed at run time, kept in the database."""

from __future__ import annotations

from django.utils import timezone

from streaming.models import Limit
from streaming.record.database import in_database

NAMES = ("max_running", "max_waiting", "max_per_owner", "max_per_address")
"""What can be changed, by the names of the settings that hold without a change."""


@in_database
def read_all() -> dict[str, Limit]:
    """Return the limits that were changed, by name."""
    return Limit.objects.in_bulk(NAMES)


@in_database
def change(name: str, value: int, operator: str) -> None:
    """Keep a limit, with the name of the account that changed it."""
    row = {"value": value, "changed_by": operator[:150], "changed_at": timezone.now()}
    Limit.objects.update_or_create(name=name, defaults=row)


@in_database
def reset(name: str) -> bool:
    """Let the setting hold again; return False if it did."""
    return bool(Limit.objects.filter(name=name).delete()[0])
