"""Migrating the database while other processes of the same deployment start."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Iterator
from pathlib import Path

from django.core.management import call_command
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor
from filelock import FileLock

logger = logging.getLogger(__name__)

_ADVISORY_LOCK = 0x63687374
"""Number of PostgreSQL's lock for migrating: any, but always the same."""

_WAIT_SECONDS = 1.0


def migrate() -> None:
    """Apply the migrations; one process does, others that start at the same time wait for it."""
    with _alone():
        call_command("migrate", interactive=False, verbosity=0)


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_lock(%s)", [_ADVISORY_LOCK])
            try:
                yield
            finally:
                cursor.execute("SELECT pg_advisory_unlock(%s)", [_ADVISORY_LOCK])
        return
    with contextlib.ExitStack() as stack:
        database = Path(str(connection.settings_dict["NAME"]))
        if connection.vendor == "sqlite" and database.parent.is_dir():
            stack.enter_context(FileLock(f"{database}.migrating", mode=0o600))
        yield


def wait_until_migrated() -> None:
    """Return when the database has the tables that this code expects."""
    is_told = False
    while (reason := _not_migrated()) is not None:
        if not is_told:
            logger.warning("Waiting for the database: %s", reason)
            is_told = True
        time.sleep(_WAIT_SECONDS)
    connection.close()


def _not_migrated() -> str | None:
    try:
        executor = MigrationExecutor(connection)
        plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
    except DatabaseError as error:
        connection.close()
        return f"{error}"
    return f"{len(plan)} migrations are not applied yet." if plan else None
