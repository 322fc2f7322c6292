"""The bytes of attached files, in Django's storage `chatstream`: written, read, deleted."""

from __future__ import annotations

import contextlib
import logging
import uuid

from django.conf import settings
from django.core.files.base import ContentFile
from django.core.files.storage import Storage, storages

logger = logging.getLogger(__name__)

ALIAS = "chatstream"


def is_possible() -> bool:
    """Return whether there is a storage for files: a project may have none."""
    return ALIAS in settings.STORAGES


def storage() -> Storage:
    """Return where the bytes are."""
    return storages[ALIAS]


def write(data: bytes) -> str:
    """Store bytes and return their place. Raises OSError, or whatever else the storage does."""
    name = uuid.uuid4().hex
    place: str = storage().save(f"{name[:2]}/{name}", ContentFile(data))
    return place


def read(place: str) -> bytes:
    """Return the bytes at a place. Raises OSError, or whatever else the storage does."""
    with storage().open(place) as opened:
        data: bytes = opened.read()
        return data


def erase(place: str) -> None:
    """Delete the bytes at a place, if they are there. What the storage raises is logged."""
    with contextlib.suppress(FileNotFoundError):
        try:
            storage().delete(place)
        except Exception:  # of whatever storage: nothing names them any more, and others wait
            logger.exception("The bytes of a deleted file could not be deleted: %s", place)
