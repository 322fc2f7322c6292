"""How much somebody may still have of something within a time, in units: counts in the record.

Not in Django's cache: the default one belongs to one process, and a full one drops its oldest
entries, so that invented names would push a count out of it.
"""

from __future__ import annotations

import hashlib
from datetime import timedelta

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from streaming.models import Attempts

_KEPT = timedelta(minutes=1)
"""How long a count is kept after its time: longer than between two statements of `take`."""


def key_of(what: str, *who: str) -> str:
    """Return the key of a count. Names come from people: of any length, with any characters."""
    return hashlib.sha256("\0".join((what, *who)).encode("utf-8", "replace")).hexdigest()


def take(what: str, *who: str, units: int = 1, most: int, seconds: int) -> bool:
    """Take units of an allowance of `most`, which is whole again `seconds` after the first was
    taken; return whether there were so many. Two at once do not take the same ones."""
    now = timezone.now()
    key, until = key_of(what, *who), now + timedelta(seconds=seconds)
    Attempts.objects.filter(until__lte=now - _KEPT).delete()
    own = Attempts.objects.filter(key=key)
    with transaction.atomic():
        Attempts.objects.bulk_create([Attempts(key=key, until=until)], ignore_conflicts=True)
        own.filter(until__lte=now).update(count=0, until=until)
        room = own.filter(count__lte=most - units)
        return bool(room.update(count=F("count") + units))
