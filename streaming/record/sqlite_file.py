"""The file of an SQLite database: private, made once, and still the one that was opened.

SQLite makes a file that is not there, for everybody to read, and it goes on in a file that was
deleted: what is written then is lost with the process.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

from streaming.system import private_files

_SIBLINGS = ("", "-wal", "-shm", "-journal", ".migrating")

_opened: set[Path] = set()
_making = threading.Lock()


class FileId(NamedTuple):
    """Which file it is, whatever its name."""

    device: int
    inode: int


def path_of(name: Any) -> Path | None:
    """Return the file behind the NAME of an SQLite database; None if that is in memory."""
    text = str(name)
    if text.startswith("file:"):
        parts = urlsplit(text)
        if "mode=memory" in parts.query:
            return None
        text = unquote(parts.path)
    return None if text in ("", ":memory:") else Path(text)


def file_id(path: Path) -> FileId | None:
    """Return which file lies under a name; None if there is none."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return FileId(found.st_dev, found.st_ino)


def tighten(path: Path) -> None:
    """Make the file private, and those beside it. SQLite gives new ones the rights of the file."""
    for end in _SIBLINGS:
        private_files.tighten_file(Path(f"{path}{end}"))


def note_opened(path: Path) -> None:
    """Remember that this process has had a file open: if it vanishes, it is gone."""
    _opened.add(path)


def require(path: Path) -> None:
    """Raise sqlite3.OperationalError if a file that was open in this process is gone."""
    if path in _opened and file_id(path) is None:
        raise sqlite3.OperationalError(f"The database file {path} is gone.")


class Connection(sqlite3.Connection):
    """A connection to a file that is made private, and never made anew by the process that has
    seen it vanish. For Django: `OPTIONS = {"factory": Connection}`."""

    def __init__(self, database: Any, *args: Any, **kwargs: Any) -> None:
        path = path_of(database)
        if path is None:
            super().__init__(database, *args, **kwargs)
            return
        # One at a time: closing a file anew lets go of all locks that this process has on it.
        with _making:
            require(path)
            if not path.exists():
                try:
                    private_files.make_file(path)
                except OSError as error:
                    reason = f"unable to open database file {path}: {error.strerror}"
                    raise sqlite3.OperationalError(reason) from None
            here = f"{path.absolute().as_uri()}?mode=rw"
            super().__init__(here, *args, **{**kwargs, "uri": True})
            note_opened(path)
