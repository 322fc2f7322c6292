"""The site's database, as its URL says, with the options that our way of using it needs."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

from django.core.exceptions import ImproperlyConfigured

from chatsite.environment import env
from streaming.record import sqlite_file


def database(url: str, default_file: Path) -> dict[str, Any]:
    """Return an entry of DATABASES: of `url`, or, if that is empty, of an SQLite file.

    Raises ImproperlyConfigured for what is no database's URL.
    """
    found: dict[str, Any] = {"ENGINE": "django.db.backends.sqlite3", "NAME": default_file}
    if url:
        try:
            with warnings.catch_warnings(action="ignore"):  # they show the password
                found = env.db_url_config(url)
        except ValueError:
            found = {}
    if "." not in found.get("ENGINE", ""):
        raise ImproperlyConfigured(  # without its value, which may have a password in it
            "DATABASE_URL is not allowed: it is postgres://USER:PASSWORD@HOST:PORT/NAME "
            "or sqlite:///PATH."
        )
    if found["ENGINE"] == "django.db.backends.sqlite3":
        _add_sqlite_options(found)
    if found["ENGINE"] == "django.db.backends.postgresql":
        _add_postgresql_options(found)
    return found


def _add_sqlite_options(found: dict[str, Any]) -> None:
    """Have writers wait for each other, and the file be private."""
    found["OPTIONS"] = {
        # Writers queue instead of failing half-way: take the lock at BEGIN, wait for it.
        "transaction_mode": "IMMEDIATE",
        "timeout": 20,
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
        "factory": sqlite_file.Connection,
    }
    if path := sqlite_file.path_of(found["NAME"]):
        sqlite_file.tighten(path)
    # The thread of the sockets and the worker keeps its connection: when the last one is closed,
    # SQLite moves all of its log into the file. Not for long: a file that was put in its place
    # under a running server must be seen.
    found.setdefault("CONN_MAX_AGE", 10)
    # A file, since test connections of several threads cannot share a memory database.
    found["TEST"] = {"NAME": f"{found['NAME']}.test"}


def _add_postgresql_options(found: dict[str, Any]) -> None:
    """Have connections pooled, and tried before they are used.

    Every request of an ASGI server has a thread of its own, and a connection kept by a thread would
    be lost with it. The pool waits longer for each dead connection that it finds; soon idle ones
    are few after a restart.
    """
    found.setdefault("CONN_HEALTH_CHECKS", True)
    found.setdefault("OPTIONS", {}).setdefault(
        "pool", {"min_size": 1, "max_size": 16, "max_idle": 60, "timeout": 10}
    )
