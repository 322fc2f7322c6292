"""`manage.py createapikey`: a key for an account, from the command line."""

from __future__ import annotations

import argparse
from typing import Any

from django.contrib.auth.models import User
from django.core.management import BaseCommand, CommandError
from django.db import DatabaseError

from streaming.identity import keys
from streaming.models import ApiKey
from streaming.system.command_line import program


class Command(BaseCommand):
    """Makes an API key."""

    help = "Make an API key for an account. Its secret is printed once and stored nowhere."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument("username", help="the account that requests with the key belong to")
        parser.add_argument("--name", default="API key", help="what the key is for")

    def handle(self, *args: Any, **options: Any) -> None:
        """Make the key and print its secret. Raises CommandError if the account cannot have one."""
        username, name = options["username"], options["name"].strip()
        longest = ApiKey._meta.get_field("name").max_length
        if not 0 < len(name) <= (longest or 0) or "\x00" in name:
            raise CommandError(f"--name {name[:100]!r} is not allowed: 1 to {longest} characters.")
        try:
            user = User.objects.filter(username=username).first()
        except DatabaseError as error:
            raise CommandError(f"The database cannot be used: {error}") from None
        if user is None:
            raise CommandError(
                f"There is no account {username!r}. Make one in the admin, or an admin's with: "
                f"{program()} createsuperuser"
            )
        if not user.is_active:
            raise CommandError(f"The account {username!r} is not active; a key would open nothing.")
        _, secret = keys.create(user, name)
        self.stderr.write("Keep it safe: it cannot be shown again.")
        self.stdout.write(secret)  # alone, so that a shell can take it into a variable
