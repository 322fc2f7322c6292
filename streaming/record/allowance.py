"""How much somebody may still have of something within a time, in units: counts in the record."""

from __future__ import annotations

import hashlib
from datetime import timedelta

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from streaming.models import Attempts


def take(what: str, who: str, units: int, *, most: int, seconds: int) -> bool:
    """Take units of an allowance of `most`, which is whole again `seconds` after the first was
    taken; return whether there were so many. Two at once do not take the same ones."""
    now = timezone.now()
    key = hashlib.sha256(f"{what}\0{who}".encode("utf-8", "replace")).hexdigest()
    until = now + timedelta(seconds=seconds)
    own = Attempts.objects.filter(key=key)
    with transaction.atomic():
        Attempts.objects.bulk_create([Attempts(key=key, until=until)], ignore_conflicts=True)
        own.filter(until__lte=now).update(count=0, until=until)
        room = own.filter(count__lte=most - units)
        return bool(room.update(count=F("count") + units))
