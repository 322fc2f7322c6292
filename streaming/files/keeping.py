"""Keeping a file: what is in it is found out, its bytes are stored, and a row says whose it is."""

from __future__ import annotations

import asyncio
import hashlib
import logging

from streaming import conf
from streaming.files import extraction, tokens
from streaming.files.errors import FileRefused
from streaming.files.names import clean_name
from streaming.models import StoredFile
from streaming.record import allowance, file_collection, files, stored_bytes
from streaming.record.database import in_database
from streaming.record.tasks import Requester

logger = logging.getLogger(__name__)

MEGABYTE = 2**20

_DAY = 24 * 60 * 60
_OWNERS_A_DAY = 4
"""So many owners' files may come from one address in a day: whoever has none is a new one."""


def are_taken() -> bool:
    """Return whether files may be attached here."""
    return conf.get().max_file_mb > 0 and stored_bytes.is_possible()


async def keep(requester: Requester, name: object, data: bytes, *, purpose: str = "") -> StoredFile:
    """Store a file and return its row; the same file a second time is the row that it has.

    `purpose`: of a file that stays until its owner deletes it, a new row each time. Raises
    FileRefused.
    """
    _require(data)
    called = clean_name(name)
    sha256 = await asyncio.to_thread(_digest, data)
    if not purpose:
        same: StoredFile | None = await in_database(files.known)(requester.owner, sha256, called)
        if same is not None:
            return same
    await in_database(_require_room)(requester, sha256, len(data))
    content = await extraction.content_of(data, called, conf.get().max_file_chars)
    file = StoredFile(
        owner=requester.owner,
        user=requester.user,
        sha256=sha256,
        size=len(data),
        name=called,
        content_type=content.content_type,
        kind=content.kind,
        text=content.text,
        tokens=await asyncio.to_thread(tokens.estimate, content.text),
        purpose=purpose,
    )
    await _store(file, data)
    return file


def _require(data: bytes) -> None:
    if not are_taken():
        raise FileRefused("files_off")
    most = conf.get().max_file_mb
    if len(data) > most * MEGABYTE:
        raise FileRefused("file_too_large", most=most)


def _require_room(requester: Requester, sha256: str, size: int) -> None:
    """Raise FileRefused if the owner may store no more, or the address has brought too many."""
    most = conf.get().max_owner_files_mb
    try:
        files.require_room(requester.owner, sha256, size, most * MEGABYTE)
    except files.NoRoom:
        raise FileRefused("storage_full", most=most) from None
    bound = min(_OWNERS_A_DAY * most, 32_000)
    units = -(-size // MEGABYTE)
    if requester.address and not allowance.take(
        "files", requester.address, units=units, most=bound, seconds=_DAY
    ):
        raise FileRefused("upload_limit")


async def _store(file: StoredFile, data: bytes) -> None:
    most = conf.get().max_owner_files_mb
    try:
        place = file.place = await asyncio.shield(asyncio.to_thread(stored_bytes.write, data))
    except Exception as error:  # of whatever storage
        logger.exception("A file could not be stored.")
        raise FileRefused("storage_away") from error
    is_kept = False
    try:
        await in_database(files.insert)(file, most_bytes=most * MEGABYTE)
        is_kept = True
    except files.NoRoom:
        raise FileRefused("storage_full", most=most) from None
    finally:
        if not is_kept or file.place != place:
            await asyncio.to_thread(stored_bytes.erase, place)
    await in_database(file_collection.collect)()


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
