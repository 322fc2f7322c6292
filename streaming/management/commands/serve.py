"""`manage.py serve`: everything for one machine: database, model, server, embedded worker."""

from __future__ import annotations

import argparse
import errno
import gc
import socket
from typing import Any

from channels.layers import get_channel_layer
from channels.routing import get_default_application
from daphne.endpoints import build_endpoint_description_strings
from django.core.exceptions import ImproperlyConfigured
from django.core.management import BaseCommand, CommandError
from django.db import DatabaseError

from streaming import conf
from streaming.deployment.migrating import migrate
from streaming.deployment.starting import check_redis, check_redis_later, has_redis
from streaming.deployment.static_files import collect_if_old
from streaming.engine.base import EngineError
from streaming.lifecycle.list_lock import LockHolder, LockTaken
from streaming.markup.renderer import RENDERER
from streaming.system import watchdog
from streaming.system.command_line import program
from streaming.waiting_list.redis.reasons import RedisRefused


class Command(BaseCommand):
    """Runs the server, with the worker in its process unless there is Redis."""

    help = "Set up what is missing, then serve the chat page with the model in this process."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
        parser.add_argument("--port", type=int, default=8000, help="port; 0 for any free one")
        parser.add_argument(
            "--worker",
            action=argparse.BooleanOptionalAction,
            default=None,
            help="run a worker in this process (default: yes, unless REDIS_URL is set)",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Prepare, then serve until stopped. Raises CommandError with the reason of a failure."""
        # A start makes a million objects that stay: walking over them again and again would be a
        # fifth of it. The server collects from when it is ready to listen.
        gc.disable()
        host, port = options["host"], options["port"]
        with_worker = not has_redis() if options["worker"] is None else options["worker"]
        if not with_worker and not has_redis():
            raise CommandError("Without a worker in this process, workers need REDIS_URL.")
        port = self.free_port(host, port)
        try:
            is_redis_there = self.prepare(with_worker)
        except (EngineError, LockTaken, RedisRefused) as error:
            raise CommandError(str(error)) from None
        except DatabaseError as error:
            raise CommandError(f"The database cannot be used: {error}") from None
        except OSError as error:
            raise CommandError(self.explain(error)) from None
        self.serve(host, port, with_worker, is_redis_there)

    def free_port(self, host: str, port: int) -> int:
        """Return the port to use. Raises CommandError if nobody could listen there."""
        if not 0 <= port <= 65535:
            raise CommandError(f"--port {port} is not allowed: a port is 0 to 65535.")
        try:
            family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
            with socket.socket(family, socket.SOCK_STREAM) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind((host, port))
                return int(probe.getsockname()[1])
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise CommandError(
                    f"Port {port} on {host} is taken; choose another one with --port."
                ) from None
            raise CommandError(f"Nobody can listen on {host}:{port}: {error}.") from None

    def prepare(self, with_worker: bool) -> bool:
        """Make ready all that serving needs. Return whether Redis is there, if one is needed.

        Raises EngineError, LockTaken, RedisRefused, DatabaseError and OSError.
        """
        migrate()
        if with_worker and (lock := LockHolder.of(get_channel_layer())):
            lock.acquire()  # before the model is loaded; until this process ends
        is_redis_there = check_redis()
        collect_if_old()
        self.application()  # before the model is loaded
        if with_worker:
            from streaming.worker.engine_choice import build_engine

            build_engine().prepare()
        return is_redis_there

    def application(self) -> Any:
        """Return what ASGI_APPLICATION names. Raises CommandError if it is not there."""
        try:
            return get_default_application()
        except ImproperlyConfigured as error:
            reason = f" ({error.__context__})" if error.__context__ else ""
            raise CommandError(f"{error}{reason}.") from None

    def serve(self, host: str, port: int, with_worker: bool, is_redis_there: bool) -> None:
        """Serve until stopped. Raises CommandError if the server ended early."""
        # Importing Daphne's server installs the reactor: only now, when it is really used.
        from twisted.internet import reactor

        from streaming.deployment.server import ChatServer

        RENDERER.warm()  # nothing refuses to start any more
        shown = "127.0.0.1" if host in ("0.0.0.0", "::") else f"[{host}]" if ":" in host else host
        url = f"http://{shown}:{port}/"
        self.say(f"Chat page   {url}")
        self.say(f"Admin       {url}admin/   (an admin user: {program()} createsuperuser)")
        self.say("Loading the model ..." if with_worker else "No worker in this process.")
        server = ChatServer(
            application=self.application(),
            endpoints=build_endpoint_description_strings(host=host, port=port),
            embedded_worker=with_worker,
            on_worker_ready=lambda worker: self.say(f"Ready: {url}  (Ctrl-C ends)"),
            hang_seconds=conf.get().hang_seconds,
            verbosity=0,
            server_name="chatstream",
        )
        if not is_redis_there:
            tell = reactor.callFromThread
            check_redis_later(lambda sentence: tell(server.fail, sentence))
        server.run()
        if server.hangs:
            watchdog.leave(f"The worker ended: {server.failure}")
        if server.failure:
            raise CommandError(server.failure)

    def say(self, text: str) -> None:
        """Write a line at once."""
        self.stdout.write(text)
        self.stdout.flush()

    def explain(self, error: OSError) -> str:
        """Return what a person is told of a file that cannot be used."""
        if error.errno == errno.ENOSPC:
            return f"The disk is full: {error.filename or 'a file'} could not be written."
        return f"{error}"
