"""The one row that says which process has the waiting list of this database.

`lifecycle.list_lock` decides who may take it; here it is read and written.
"""

from __future__ import annotations

import os
import platform

from django.db import transaction
from django.db.models import F

from streaming.models import ListLock
from streaming.record import database
from streaming.system import processes

_ROW = 1


def read() -> ListLock | None:
    """Return the row; None if nobody has ever taken it."""
    with transaction.atomic():  # waits, on SQLite, for whom the holder may wait for, too
        return ListLock.objects.filter(pk=_ROW).first()


def take(token: str, over: ListLock | None) -> bool:
    """Write this process as the holder, under `token`; return False if the row is not any more as
    it was seen (`over`)."""
    ours = {
        "holder": token,
        "machine": processes.machine(),
        "host": platform.node()[:255],
        "pid": os.getpid(),
        "born": processes.born(os.getpid()),
        "beats": 0,
    }
    if over is None:
        _, created = ListLock.objects.get_or_create(pk=_ROW, defaults=ours)
        return created
    seen = ListLock.objects.filter(pk=_ROW, holder=over.holder, beats=over.beats)
    return bool(seen.update(**ours))


def beat(token: str) -> bool:
    """Add one to the holder's number; return False if the holder is not `token` any more."""
    held = ListLock.objects.filter(pk=_ROW, holder=token)
    return bool(held.update(beats=F("beats") + 1))


def give_back(token: str) -> None:
    """Write that nobody has the list, if the holder is `token`. Raises DatabaseError."""
    database.require_file()
    ListLock.objects.filter(pk=_ROW, holder=token).update(holder="")


def is_dead(row: ListLock) -> bool:
    """Return whether the holder ran on this machine and is certainly dead."""
    return processes.is_dead(row.machine, row.pid, row.born)


def name_of(row: ListLock) -> str:
    """Return the holder's process and host, for people."""
    return f"process {row.pid} on {row.host}"
