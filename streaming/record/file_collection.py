"""Deleting files that nothing refers to: with the conversations that named them, and those that
were never sent a day after they were uploaded. What a program keeps stays until it deletes it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet
from django.db.models.signals import post_delete, pre_delete
from django.utils import timezone

from streaming.models import Conversation, Message, StoredFile
from streaming.record.attachments import file_ids
from streaming.record.files import erase_unnamed, own

UNSENT = timedelta(days=1)
"""How long a file is kept that no message names."""

_BATCH = 200
"""Files that `collect` looks at."""


def named(messages: QuerySet[Message], among: Collection[UUID] | None = None) -> set[UUID]:
    """Return the files that messages name, of `among` if that is given."""
    found = set[UUID]()
    rows = messages.filter(parts__isnull=False).order_by().values_list("parts", flat=True)
    for parts in rows.iterator(chunk_size=_BATCH):
        ids = file_ids(parts)
        found |= ids if among is None else ids.intersection(among)
        if among is not None and len(found) == len(among):
            break
    return found


def collect(rows: QuerySet[StoredFile] | None = None) -> int:
    """Delete files that no message names and that nobody used for UNSENT, of all or of `rows`; some
    of them if there are many. Return how many."""
    old = _old(StoredFile.objects.all() if rows is None else rows)
    by_owner: dict[str, set[UUID]] = {}
    for key, owner in old.order_by("used_at").values_list("pk", "owner")[:_BATCH]:
        by_owner.setdefault(owner, set()).add(key)
    count = 0
    for owner, keys in by_owner.items():
        kept = _named_by(owner, keys)
        # Those in use are looked at again only after as long, so that they are not in the way.
        own(owner).filter(pk__in=kept).update(used_at=timezone.now())
        # Asked once more: somebody may have sent one meanwhile.
        deleted, _ = old.filter(pk__in=keys - kept).delete()
        count += deleted
    return count


def collect_all() -> Iterator[int]:
    """Delete all such files, some of them at a time; yield how many."""
    while _old(StoredFile.objects.all()).exists():
        yield collect()


def _old(rows: QuerySet[StoredFile]) -> QuerySet[StoredFile]:
    return rows.filter(purpose="", used_at__lt=timezone.now() - UNSENT)


def delete_unnamed(owner: str, keys: Iterable[UUID]) -> None:
    """Delete those of an owner's files that no message names."""
    kept = set(own(owner).filter(pk__in=list(keys), purpose="").values_list("pk", flat=True))
    if kept:
        own(owner).filter(pk__in=kept - _named_by(owner, kept)).delete()


def with_messages(owner: str, messages: QuerySet[Message]) -> None:
    """Have the files that an owner's messages name deleted when the transaction is committed that
    deletes them, unless others name them."""
    if keys := named(messages):
        transaction.on_commit(lambda: delete_unnamed(owner, keys))


def _named_by(owner: str, keys: Collection[UUID]) -> set[UUID]:
    return named(Message.objects.filter(conversation__owner=owner), keys)


def _forget_bytes(*, instance: StoredFile, **kwargs: Any) -> None:
    erase_unnamed(instance.place)


def _collect_later(*, instance: Conversation, **kwargs: Any) -> None:
    with_messages(instance.owner, instance.messages.all())


def connect() -> None:
    """Have files go with what refers to them, and bytes with the last row that has them."""
    post_delete.connect(_forget_bytes, sender=StoredFile, dispatch_uid="streaming.forget_bytes")
    pre_delete.connect(_collect_later, sender=Conversation, dispatch_uid="streaming.collect_files")
