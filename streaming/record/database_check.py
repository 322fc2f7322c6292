"""Whether the database can take a prompt now: it is there, has our tables, and can be written."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sqlite3
import time
from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary

from django.db import DatabaseError, OperationalError, ProgrammingError, connection

from streaming.models import Response
from streaming.record.database import disconnecting, require_file

logger = logging.getLogger(__name__)

_KEPT_SECONDS = 1.0
"""Seconds for which an answer of the database is good, however many ask; one asks at a time."""

_BUSY_MS = 3000

_WORDS = {
    sqlite3.SQLITE_BUSY: "is locked",
    sqlite3.SQLITE_LOCKED: "is locked",
    sqlite3.SQLITE_READONLY: "is read-only",
    sqlite3.SQLITE_FULL: "has no space left on its disk",
    sqlite3.SQLITE_IOERR: "cannot be written: disk I/O error",
    sqlite3.SQLITE_CORRUPT: "is damaged",
    sqlite3.SQLITE_NOTADB: "is damaged",
    sqlite3.SQLITE_CANTOPEN: "cannot be opened",
    sqlite3.SQLITE_PERM: "cannot be opened",
}


class DatabaseCheck:
    """The check of one event loop."""

    _of_loop: WeakKeyDictionary[asyncio.AbstractEventLoop, DatabaseCheck] = WeakKeyDictionary()

    def __init__(self) -> None:
        self._asking: asyncio.Task[str] | None = None
        self._asked_at = 0.0

    @classmethod
    def here(cls) -> DatabaseCheck:
        """Return the running loop's."""
        return cls._of_loop.setdefault(asyncio.get_running_loop(), cls())

    async def fault(self) -> str:
        """Return what `fault` returns, or returned up to a second ago."""
        now = time.monotonic()
        is_old = now - self._asked_at > _KEPT_SECONDS
        if self._asking is None or (self._asking.done() and is_old):
            self._asked_at = now
            self._asking = asyncio.create_task(asyncio.to_thread(disconnecting(fault)))
        return await asyncio.shield(self._asking)


def fault() -> str:
    """Return what keeps the database from taking a prompt, in a few words; empty if nothing does.
    It writes: who only reads is content with a full disk.
    """
    try:
        require_file()
        with connection.cursor() as cursor:
            _ASK.get(connection.vendor, _read)(cursor)
    except (DatabaseError, sqlite3.Error) as error:
        logger.warning("The database cannot take a prompt: %s", error)
        return _in_words(error)
    except Exception:
        logger.warning("The database does not answer.", exc_info=True)
        return "does not answer"
    return ""


def _read(cursor: Any) -> None:
    found = f"SELECT 1 FROM {connection.ops.quote_name(Response._meta.db_table)} WHERE 1 = 0"
    cursor.execute(found)


def _write_sqlite(cursor: Any) -> None:
    """Write one page as it is: a number in the file's header without a meaning to SQLite."""
    cursor.execute(f"PRAGMA busy_timeout = {_BUSY_MS}")
    _read(cursor)
    cursor.execute("BEGIN IMMEDIATE")
    try:
        number = int(cursor.execute("PRAGMA user_version").fetchone()[0])
        cursor.execute(f"PRAGMA user_version = {number}")
        cursor.execute("COMMIT")
    except BaseException:
        with contextlib.suppress(DatabaseError):
            cursor.execute("ROLLBACK")
        raise


def _ask_postgresql(cursor: Any) -> None:
    _read(cursor)
    cursor.execute("SHOW transaction_read_only")
    if cursor.fetchone()[0] == "on":
        raise ReadOnly("It is read-only, as a standby is.")


_ASK: dict[str, Callable[[Any], None]] = {"sqlite": _write_sqlite, "postgresql": _ask_postgresql}


class ReadOnly(OperationalError):
    """A database that takes no writes."""


def _in_words(error: BaseException) -> str:
    """Name the fault without the words of the database, which may tell too much to anybody."""
    if isinstance(error, ReadOnly):
        return "is read-only"
    if "is gone" in str(error):
        return "its file is gone"
    if "no such table" in str(error) or isinstance(error, ProgrammingError):
        return "is not migrated"
    cause = error if isinstance(error, sqlite3.Error) else error.__cause__
    code = getattr(cause, "sqlite_errorcode", None)
    return "does not answer" if code is None else _WORDS.get(code & 0xFF, "does not answer")
