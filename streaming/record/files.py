"""Attached files: rows that say what they are, whose, and where their bytes lie.

Bytes are stored once for each owner and digest. A row is locked while another one is made for the
same bytes, which are deleted when no row has their place any more: neither is lost to the other.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from streaming.models import StoredFile
from streaming.record import stored_bytes


class NoRoom(Exception):
    """The owner's files have as many bytes as they may have."""


def own(owner: str) -> QuerySet[StoredFile]:
    """Return an owner's files."""
    return StoredFile.objects.filter(owner=owner)


def use(owner: str, keys: Iterable[UUID]) -> dict[UUID, StoredFile]:
    """Return those of an owner's files that have these keys, by key. A message is to name them."""
    rows = own(owner).filter(pk__in=list(keys))
    rows.update(used_at=timezone.now())
    return {file.pk: file for file in rows}


def known(owner: str, sha256: str, name: str) -> StoredFile | None:
    """Return an owner's file with this content and name, None if there is none. A message is to
    name it."""
    same = own(owner).filter(sha256=sha256, name=name)
    found = same.order_by("created_at").last()
    if found is None or not own(owner).filter(pk=found.pk).update(used_at=timezone.now()):
        return None
    return found


def require_room(owner: str, sha256: str, size: int, most_bytes: int) -> None:
    """Raise NoRoom if an owner's files would have more than `most_bytes` with `size` bytes more,
    and these are not there already."""
    sizes = dict(own(owner).order_by().values_list("sha256", "size"))  # of each content once
    if sum((sizes | {sha256: size}).values()) > most_bytes:
        raise NoRoom


def insert(file: StoredFile, *, most_bytes: int) -> None:
    """Write the row of a new file, whose bytes lie at its `place`; if the owner has the same bytes
    elsewhere, it gets that place. Raises NoRoom as `require_room`."""
    with transaction.atomic():
        same = own(file.owner).filter(sha256=file.sha256).select_for_update().first()
        require_room(file.owner, file.sha256, file.size, most_bytes)
        if same is not None:
            file.place = same.place
        file.save(force_insert=True)


def by_key(keys: Iterable[UUID]) -> dict[UUID, StoredFile]:
    """Return files, whoever's they are, by key, without their texts."""
    return {file.pk: file for file in StoredFile.objects.filter(pk__in=list(keys)).defer("text")}


def merge(visitor: str, owner: str, user: Any) -> None:
    """Give a visitor's files to an account. Bytes that both had are stored once from then on."""
    with transaction.atomic():
        keys = list(own(visitor).select_for_update().values_list("pk", flat=True))
        if not keys:
            return
        own(visitor).filter(pk__in=keys).update(owner=owner, user=user)
        for file in StoredFile.objects.filter(pk__in=keys):
            other = own(owner).filter(sha256=file.sha256).exclude(place=file.place).first()
            if other is not None:
                StoredFile.objects.filter(pk=file.pk).update(place=other.place)
                erase_unnamed(file.place)


def erase_unnamed(place: str) -> None:
    """Delete bytes when the transaction is committed, unless a row has their place then."""

    def erase() -> None:
        if not StoredFile.objects.filter(place=place).exists():
            stored_bytes.erase(place)

    transaction.on_commit(erase)
