"""`/metrics` of a worker process, which has no web server otherwise."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterable, Iterator
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server
from wsgiref.types import StartResponse, WSGIEnvironment

from streaming.deployment import probes
from streaming.monitoring import metrics


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True

    def server_bind(self) -> None:
        # Without the parent's look-up of the address's name, which may take seconds.
        super(WSGIServer, self).server_bind()
        self.server_name, self.server_port = self.server_address[:2]  # type: ignore[assignment]
        self.setup_environ()


class _Handler(WSGIRequestHandler):
    timeout = 10  # of a client that says nothing

    def log_message(self, format: str, *args: Any) -> None:
        """Scrapes are not news."""


@contextlib.contextmanager
def served(host: str, port: int) -> Iterator[int]:
    """Serve the metrics in a thread while the running event loop does its work; yields the port.

    Raises OSError if nobody can listen there.
    """
    loop = asyncio.get_running_loop()

    def application(environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        headers = {name: environ.get(f"HTTP_{name}", "") for name in _HEADERS}
        if environ["PATH_INFO"] != "/metrics":
            return _say(start, "404 Not Found")
        if not probes.may_read(environ["REMOTE_ADDR"], *list(headers.values())[:3]):
            return _say(start, "403 Forbidden")
        # The layer belongs to the worker's loop; it has its own time limit.
        asked = asyncio.run_coroutine_threadsafe(probes.snapshot(), loop)
        snapshot = asked.result(2 * probes.ANSWER_SECONDS)
        body, content_type = metrics.exposition(snapshot, headers["ACCEPT"])
        start("200 OK", [("Content-Type", content_type), ("Content-Length", str(len(body)))])
        return [body]

    server = make_server(host, port, application, server_class=_Server, handler_class=_Handler)
    thread = threading.Thread(target=server.serve_forever, name="metrics", daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


_HEADERS = ("X_FORWARDED_FOR", "AUTHORIZATION", "HOST", "ACCEPT")


def _say(start: StartResponse, status: str) -> list[bytes]:
    body = f"{status}\n".encode()
    start(status, [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
