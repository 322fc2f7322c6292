"""The database's connections: kept by the thread of the sockets and the worker, where settings say
so (`CONN_MAX_AGE`), closed by all others; and whether what they lead to is still there.
"""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from channels.db import database_sync_to_async
from django.db import DEFAULT_DB_ALIAS, OperationalError, connection, connections

from streaming.record import sqlite_file
from streaming.record.sqlite_file import FileId

R = TypeVar("R")


def close_connections(**kwargs: Any) -> None:
    """Close this thread's connections, at the end of a request: so does the thread."""
    for each in connections.all(initialized_only=True):
        if not each.in_atomic_block:  # a test's own, which goes on
            each.close()


def disconnecting(work: Callable[[], R]) -> Callable[[], R]:
    """Return the work for a thread that keeps no connection afterwards."""

    def closing() -> R:
        try:
            return work()
        finally:
            connections.close_all()

    return closing


# --- the file of an SQLite database ---


def note_file(connection: Any, **kwargs: Any) -> None:
    """Remember which file a new connection leads to. A receiver of `connection_created`."""
    if connection.alias == DEFAULT_DB_ALIAS and (path := _path()):
        sqlite_file.note_opened(path)
        connection.file_id = sqlite_file.file_id(path)


def is_in_memory() -> bool:
    """Return whether nobody but this process can know the database."""
    return connection.vendor == "sqlite" and _path() is None


def file_id() -> FileId | None:
    """Return which file the database is; None if there is none, or no SQLite."""
    path = _path()
    return sqlite_file.file_id(path) if path else None


def require_file() -> None:
    """See that this thread's connection leads to the file that lies under the database's name: one
    that leads elsewhere is closed. Raises OperationalError if the file is gone; then the connection
    stays, since it is the last way to what was in it."""
    path = _path()
    if path is None:
        return
    try:
        sqlite_file.require(path)
    except sqlite3.OperationalError as error:
        raise OperationalError(str(error)) from None
    is_open = connection.connection is not None and not connection.in_atomic_block
    if is_open and getattr(connection, "file_id", None) != sqlite_file.file_id(path):
        connection.close()


def _path() -> Path | None:
    if connection.vendor != "sqlite":
        return None
    return sqlite_file.path_of(connection.settings_dict["NAME"])


class in_database(database_sync_to_async):
    """Channels' `database_sync_to_async`, but nothing is read from or written into a file that is
    gone: it raises OperationalError."""

    def thread_handler(self, loop: Any, *args: Any, **kwargs: Any) -> Any:
        """Run the call in the database's thread. Raises OperationalError if the SQLite file is
        gone."""
        require_file()
        return super().thread_handler(loop, *args, **kwargs)


async def pieces_in_database(pieces: Iterator[str]) -> AsyncIterator[str]:
    """Yield texts for an event loop, each made in the database's thread."""
    following = in_database(next)
    while (piece := await following(pieces, None)) is not None:
        yield piece
