"""Closes sockets whose account, session, key or visitor is no longer valid.

Every few seconds one set of queries checks all sockets of a process. A socket that it finds invalid
checks itself again, as it does before each event of its client, and closes if that fails, too.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol
from weakref import WeakKeyDictionary

from django.conf import settings
from django.contrib.auth.signals import user_logged_in, user_logged_out
from django.db import transaction
from django.db.models.signals import post_delete, post_save

from streaming.identity import keys, sessions
from streaming.identity.owners import key_in
from streaming.models import ApiKey, MergedVisitor
from streaming.record.database import in_database
from streaming.system.outages import log_fault

logger = logging.getLogger(__name__)

POLL_SECONDS = 3.0

_SETTLE_SECONDS = 0.25
"""Wait after a change: Django signals a logout before it deletes the session."""

_LEAST_POLL_SECONDS = 1.0
"""Least time between two polls, however often accounts change."""

_RECHECK_SECONDS = 10.0
"""How long a poll waits for the sockets that check themselves: a client may not read its error."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a socket was opened with, and the account or visitor that it stood for."""

    api_key: str | None = None  # its digest
    session: str | None = None  # its key
    visitor: str | None = None
    user: str | None = None  # primary key

    @classmethod
    def of(cls, scope: Mapping[str, Any], user: Any, visitor: str | None = None) -> Credentials:
        """Return a socket's credentials; `user` is None for a visitor."""
        pk = None if user is None else str(user.pk)
        if secret := key_in(scope.get("headers", ())):
            return cls(api_key=keys.digest(secret), user=pk)
        session = getattr(scope.get("session"), "session_key", None)
        return cls(session=session, visitor=visitor, user=pk)

    def __bool__(self) -> bool:
        """Return whether there is anything that could become invalid."""
        return bool(self.api_key or self.session or self.visitor)


def no_longer_valid(held: Collection[Credentials]) -> set[Credentials]:
    """Return the credentials that no longer stand for the same account or visitor. Makes a few
    queries, however many are held. Raises DatabaseError.
    """
    owners = _owners_of_keys({one.api_key for one in held} - {None})
    accounts = sessions.accounts_of({one.session for one in held} - {None})
    merged = MergedVisitor.objects.in_bulk({one.visitor for one in held} - {None})

    def holds(one: Credentials) -> bool:
        if one.api_key:
            return owners.get(one.api_key) == one.user
        account = accounts.get(one.session) if one.session else None
        return account == one.user and one.visitor not in merged

    return {one for one in held if not holds(one)}


def _owners_of_keys(digests: Iterable[Any]) -> dict[str, str]:
    valid = ApiKey.objects.filter(revoked_at=None, user__is_active=True)
    found = valid.only("digest", "user_id").in_bulk(list(digests), field_name="digest")
    return {digest: str(key.user_id) for digest, key in found.items()}


class Guarded(Protocol):
    """A socket that can check itself."""

    async def recheck(self) -> None:
        """Look up whose socket this is, and close it if that has changed."""


class Guard:
    """Polls for the sockets of an event loop, as long as there are any."""

    interval = POLL_SECONDS

    _of_loop: WeakKeyDictionary[asyncio.AbstractEventLoop, Guard] = WeakKeyDictionary()

    def __init__(self) -> None:
        self._held: dict[Guarded, Credentials] = {}
        self._task: asyncio.Task[None] | None = None
        self._alarm = asyncio.Event()
        self._fault: type[Exception] | None = None

    @classmethod
    def here(cls) -> Guard:
        """Return the running loop's guard."""
        loop = asyncio.get_running_loop()
        if (guard := cls._of_loop.get(loop)) is None:
            guard = cls._of_loop[loop] = cls()
        return guard

    @classmethod
    def poll_soon(cls, **kwargs: Any) -> None:
        """Let every guard of this process poll when the present transaction is committed. May be
        called in any thread."""
        transaction.on_commit(cls._alarm_all)

    @classmethod
    def _alarm_all(cls) -> None:
        for loop, guard in list(cls._of_loop.items()):
            with contextlib.suppress(RuntimeError):  # that loop has ended
                loop.call_soon_threadsafe(guard._alarm.set)

    def __len__(self) -> int:
        return len(self._held)

    def enter(self, socket: Guarded, credentials: Credentials) -> None:
        """Check a socket from now on, unless its credentials cannot become invalid."""
        if not credentials:
            return
        self._held[socket] = credentials
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._poll_loop())

    def leave(self, socket: Guarded) -> None:
        """Check a socket no more; without any, stop polling."""
        self._held.pop(socket, None)
        if not self._held and self._task:
            self._task.cancel()
            self._task = None

    async def _poll_loop(self) -> None:
        polled_at = float("-inf")
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._alarm.wait(), self.interval)
                apart = polled_at + _LEAST_POLL_SECONDS - time.monotonic()
                await asyncio.sleep(max(_SETTLE_SECONDS, apart))
            self._alarm.clear()
            polled_at = time.monotonic()
            try:
                await self._poll()
            except Exception as error:
                if type(error) is not self._fault:  # once, however long it lasts
                    log_fault(logger, error, "Whose the sockets are could not be read.")
                self._fault = type(error)
            else:
                self._fault = None

    async def _poll(self) -> None:
        held = set(self._held.values())
        invalid = await in_database(no_longer_valid)(held)
        found = [socket for socket, one in self._held.items() if one in invalid] if invalid else ()
        checks = (socket.recheck() for socket in found)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_RECHECK_SECONDS):
                for error in await asyncio.gather(*checks, return_exceptions=True):
                    if isinstance(error, Exception):
                        log_fault(logger, error, "A socket could not be asked whose it is.")


for _signal, _model in (
    (user_logged_in, None),
    (user_logged_out, None),
    (keys.revoked, None),
    (sessions.ended, None),
    *((signal, settings.AUTH_USER_MODEL) for signal in (post_save, post_delete)),
    *((signal, ApiKey) for signal in (post_save, post_delete)),
):
    _signal.connect(Guard.poll_soon, sender=_model, dispatch_uid="streaming.sockets.guard")
