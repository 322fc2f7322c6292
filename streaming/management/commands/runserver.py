"""Django's development server with the embedded worker: each reloaded child starts one."""

from __future__ import annotations

from daphne.management.commands.runserver import Command as DaphneCommand

from streaming.server import ChatServer


class Command(DaphneCommand):
    server_cls = ChatServer
