"""The database's connections: kept by the thread of the sockets and the worker, where settings say
so (`CONN_MAX_AGE`), closed by all others."""

from __future__ import annotations

from typing import Any

from django.db import connections


def close_connections(**kwargs: Any) -> None:
    """Close this thread's connections, at the end of a request: so does the thread."""
    for connection in connections.all(initialized_only=True):
        if not connection.in_atomic_block:  # a test's own, which goes on
            connection.close()
