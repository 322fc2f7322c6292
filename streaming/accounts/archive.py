"""Everything of an account in one ZIP: what it is, its conversations, its keys and sessions. Never
a secret: no password, no key, no session's key.

One conversation is in memory at a time. It is not one moment's picture: what is written meanwhile
may be in it or not.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import AsyncIterator, Iterable, Iterator
from datetime import datetime
from typing import IO, Any, Protocol

from asgiref.sync import sync_to_async
from django.contrib.auth.models import User
from django.db.models import Q
from django.utils import timezone

from streaming.accounts.devices import device_name
from streaming.identity import sessions
from streaming.identity.owners import owner_of_user
from streaming.models import Conversation

FORMAT = "chatstream.account/1"
"""Of `account.json`."""

_CHUNK = 64 * 1024


class Exporter(Protocol):
    """Writes a conversation as files."""

    def files(self, conversation: Conversation) -> Iterable[tuple[str, Iterable[str]]]:
        """Return the files, each as the ending of its name and its text in parts."""


def write_archive(user: User, file: IO[bytes], exporter: Exporter) -> None:
    """Write the account's archive. Raises OSError if the disk is full."""
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        text = json.dumps(_account(user), ensure_ascii=False, indent=2, default=_text_of)
        archive.writestr("account.json", text)
        for name, conversation in _conversations(user):
            for ending, parts in exporter.files(conversation):
                with archive.open(f"{name}.{ending}", "w") as entry:
                    for part in parts:
                        entry.write(part.encode("utf-8", "replace"))


async def chunks(file: IO[bytes]) -> AsyncIterator[bytes]:
    """Read a file part by part, and close it."""
    try:
        while part := await sync_to_async(file.read, thread_sensitive=False)(_CHUNK):
            yield part
    finally:
        file.close()


def _conversations(user: User) -> Iterator[tuple[str, Conversation]]:
    """Return the account's conversations with their names in the archive, the oldest first."""
    own = Conversation.objects.filter(Q(user=user) | Q(owner=owner_of_user(user)))
    ids = list(own.order_by("created_at").values_list("pk", flat=True))
    for pk in ids:
        conversation = own.filter(pk=pk).first()
        if conversation is not None:  # not deleted meanwhile
            folder = "api" if conversation.source == Conversation.Source.API else "conversations"
            yield f"{folder}/{conversation.created_at:%Y-%m-%d}-{pk}", conversation


def _account(user: User) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "written_at": timezone.now(),
        "username": user.get_username(),
        "email": user.email,
        "created_at": user.date_joined,
        "last_sign_in_at": user.last_login,
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
    assert isinstance(value, datetime)
    return value.isoformat()
