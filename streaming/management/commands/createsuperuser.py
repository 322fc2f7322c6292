"""`manage.py createsuperuser`: Django's own, which may come before the first `serve`."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.management.commands import createsuperuser
from django.core.management import CommandError
from django.db import DatabaseError, connections

from streaming.deployment.migrating import migrate


class Command(createsuperuser.Command):
    """Django's command, on a database that may not have been migrated yet."""

    def execute(self, *args: Any, **options: Any) -> str | None:
        """Make the tables if the database has none yet, then the account."""
        try:
            if not connections["default"].introspection.table_names():
                migrate()
        except DatabaseError as error:
            raise CommandError(f"The database cannot be used: {error}") from None
        output: str | None = super().execute(*args, **options)
        return output
