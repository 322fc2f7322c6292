"""Empties the database after a test that commits, by what the test has left in it.

Django's `flush` truncates every table and makes content types and permissions anew: a quarter of
the time of the tests on PostgreSQL. Most tests fill five tables, and none changes those two.
"""

from __future__ import annotations

from typing import Any

from django.db import connections, transaction
from django.test import TransactionTestCase

KEPT = ("django_content_type", "auth_permission")
"""Made once by `migrate`; if a test has changed how many there are, all is flushed."""

_flush = TransactionTestCase._fixture_teardown
_made: dict[str, list[int]] = {}
"""Rows of the kept tables by the name of the database, after the first flush."""


def install() -> None:
    """Replace the flush of Django's TransactionTestCase, and so of `transactional_db`."""
    TransactionTestCase._fixture_teardown = _empty  # type: ignore[method-assign]


def _empty(self: Any) -> None:
    databases = self._databases_names(include_mirrors=False)
    partly = self.available_apps is not None or self.serialized_rollback
    if partly or not all(_empty_one(connections[name]) for name in databases):
        _flush(self)
        _made.update({name: _counts(connections[name], KEPT) for name in databases})


def _empty_one(connection: Any) -> bool:
    """Delete all rows but those of the kept tables; False if these are not as they were made."""
    if _made.get(connection.alias) != _counts(connection, KEPT):
        return False
    tables = connection.introspection.django_table_names(only_existing=True, include_views=False)
    others = [table for table in tables if table not in KEPT]
    has_rows = (f"EXISTS(SELECT 1 FROM {connection.ops.quote_name(table)})" for table in others)
    with transaction.atomic(connection.alias), connection.cursor() as cursor:
        cursor.execute(f"SELECT {', '.join(has_rows)}")
        for table, has in zip(others, cursor.fetchone(), strict=True):
            if has:
                cursor.execute(f"DELETE FROM {connection.ops.quote_name(table)}")
    return True


def _counts(connection: Any, tables: tuple[str, ...]) -> list[int]:
    with connection.cursor() as cursor:
        counts = (f"(SELECT count(*) FROM {connection.ops.quote_name(table)})" for table in tables)
        cursor.execute(f"SELECT {', '.join(counts)}")
        return list(cursor.fetchone())
