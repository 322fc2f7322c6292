"""Django's development server with the embedded worker: each reloaded child starts one."""

from __future__ import annotations

from typing import Any

from daphne.management.commands.runserver import Command as DaphneCommand

from streaming.deployment.server import ChatServer
from streaming.deployment.static_files import collect_if_old


class Command(DaphneCommand):
    """Daphne's development server, as ours."""

    server_cls = ChatServer

    def inner_run(self, *args: Any, **options: Any) -> None:
        """Collect the static files if they are old, then serve."""
        collect_if_old()
        super().inner_run(*args, **options)
