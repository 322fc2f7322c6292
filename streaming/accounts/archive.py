"""Everything of an account in one ZIP: what it is, its conversations, its keys and sessions. Never
a secret: no password, no key, no session's key.

Some hundred messages are in memory at a time. It is not one moment's picture: what is written
meanwhile may be in it or not.
"""

from __future__ import annotations

import json
import logging
import zipfile
from collections.abc import AsyncIterator, Iterator
from datetime import datetime
from typing import IO, Any

from asgiref.sync import sync_to_async
from django.contrib.auth.models import User
from django.db.models import Q, QuerySet
from django.utils import timezone
from django.utils.text import slugify

from streaming.accounts.devices import device_name
from streaming.identity import sessions
from streaming.identity.owners import owner_of_user
from streaming.models import AccountInstructions, Conversation, Share, StoredFile
from streaming.record import files, stored_bytes
from streaming.record.export_formats import FORMATS

logger = logging.getLogger(__name__)

FORMAT = "chatstream.account/1"
"""Of `account.json`."""

_CHUNK = 64 * 1024


def write_archive(user: User, file: IO[bytes]) -> None:
    """Write the account's archive. Raises OSError if the disk is full."""
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        text = json.dumps(_account(user), ensure_ascii=False, indent=2, default=_text_of)
        archive.writestr("account.json", text)
        for name, conversation in _conversations(user):
            for ending, pieces_of in FORMATS.items():
                with archive.open(f"{name}.{ending}", "w") as entry:
                    for piece in pieces_of(conversation):
                        entry.write(piece.encode("utf-8", "replace"))
        for stored in files.own(owner_of_user(user)).order_by("created_at").iterator():
            _write_file(archive, stored)


def _write_file(archive: zipfile.ZipFile, file: StoredFile) -> None:
    """Write a file's bytes. Of one that cannot be read now, the archive says so in its place."""
    name = f"files/{file.created_at:%Y-%m-%d}-{file.pk}-{file.name.replace('/', '_')}"
    try:
        data = stored_bytes.read(file.place)
    except Exception:  # of whatever storage
        logger.exception("A file is missing in an account's archive: %s", file.pk)
        name, data = f"{name}.missing.txt", b"The file could not be read."
    archive.writestr(name, data)


async def chunks(file: IO[bytes]) -> AsyncIterator[bytes]:
    """Read a file part by part, and close it."""
    try:
        while part := await sync_to_async(file.read, thread_sensitive=False)(_CHUNK):
            yield part
    finally:
        file.close()


def _conversations(user: User) -> Iterator[tuple[str, Conversation]]:
    """Return the account's conversations with their names in the archive, the oldest first."""
    own = _own(user)
    ids = list(own.order_by("created_at").values_list("pk", flat=True))
    for pk in ids:
        conversation = own.filter(pk=pk).first()
        if conversation is not None:  # not deleted meanwhile
            folder = "api" if conversation.source == Conversation.Source.API else "conversations"
            title = slugify(conversation.title, allow_unicode=True)[:60]
            yield f"{folder}/{conversation.created_at:%Y-%m-%d}-{title}-{pk}", conversation


def _own(user: User) -> QuerySet[Conversation]:
    return Conversation.objects.filter(Q(user=user) | Q(owner=owner_of_user(user)))


def _account(user: User) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "written_at": timezone.now(),
        "username": user.get_username(),
        "email": user.email,
        "created_at": user.date_joined,
        "last_sign_in_at": user.last_login,
        "instructions": AccountInstructions.objects.filter(user=user)
        .values_list("text", flat=True)
        .first()
        or "",
        "shared_links": list(
            Share.objects.filter(conversation__in=_own(user)).values(
                "conversation", "title", "author", "created_at", "updated_at"
            )
        ),
        "files": list(
            files.own(owner_of_user(user))
            .order_by("created_at")
            .values("id", "name", "content_type", "size", "sha256", "created_at")
        ),
        "api_keys": list(
            user.api_keys.values("name", "start", "created_at", "last_used_at", "revoked_at")
        ),
        "sessions": [
            {
                "device": device_name(row.agent),
                "user_agent": row.agent,
                "created_at": row.created_at,
                "last_used_at": row.last_used_at,
            }
            for row in sessions.of_user(user)
        ],
    }


def _text_of(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)
