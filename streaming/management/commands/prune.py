"""`manage.py prune`: delete old conversations and expired sessions."""

from __future__ import annotations

import argparse
import re
from collections import Counter
from datetime import datetime, timedelta
from typing import Any

from django.core.management import BaseCommand, CommandError
from django.db import DatabaseError
from django.utils import timezone

from streaming import conf
from streaming.record import retention

_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def age(text: str) -> timedelta:
    """Return the age that `90d`, `12h`, `30m` or `4w` says. Raises ArgumentTypeError."""
    found = re.fullmatch(r"(\d{1,5})([mhdw])", text.strip())
    if not found or int(found[1]) == 0:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no age: give a number with m, h, d or w, such as 90d."
        )
    return timedelta(**{_UNITS[found[2]]: int(found[1])})


class Command(BaseCommand):
    """Deletes what is too old."""

    help = (
        "Delete conversations that nobody used for so long, with their messages and responses, "
        "and expired sessions. A conversation with an open response stays."
    )

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument(
            "--older-than",
            type=age,
            metavar="AGE",
            help="such as 90d, 12h or 4w (default: CHATSTREAM_RETENTION_DAYS)",
        )
        parser.add_argument(
            "--api-older-than",
            type=age,
            metavar="AGE",
            help="a shorter age for the conversations of API requests",
        )
        parser.add_argument("--dry-run", action="store_true", help="say what would be deleted")

    def handle(self, *args: Any, **options: Any) -> None:
        """Delete, or count, what is older than the options or the settings say."""
        older_than = options["older_than"] or timedelta(days=conf.get().retention_days)
        api_older_than = options["api_older_than"]
        if not older_than and not api_older_than:
            raise CommandError(
                "Say how old is too old: --older-than 90d, or set CHATSTREAM_RETENTION_DAYS."
            )
        now = timezone.now()
        # Nothing is older than the beginning: without an age, only that of the API counts.
        before = now - older_than if older_than else now - timedelta(days=366 * 1000)
        api_before = now - api_older_than if api_older_than else None
        try:
            if options["dry_run"]:
                self.say("Would delete", retention.count(before, api_before))
            else:
                self.prune(before, api_before)
        except DatabaseError as error:
            raise CommandError(f"The database cannot be used: {error}") from None

    def prune(self, before: datetime, api_before: datetime | None) -> None:
        """Delete in small transactions, and say at the end how many rows of each table went."""
        deleted: retention.Counts = Counter()
        try:
            for batch in retention.prune(before, api_before):
                deleted += batch
        finally:
            self.say("Deleted", deleted)  # so far, if it was interrupted

    def say(self, verb: str, rows: retention.Counts) -> None:
        """Write how many rows of each table there were."""
        for table in retention.TABLES:
            self.stdout.write(f"{verb} {rows[table]} of {table}.")
