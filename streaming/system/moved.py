"""The former names of modules that a project's settings, URLs or ASGI application may name.

Django is not needed here: the client and the engines are used without it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence

APP = "streaming"

MOVED = {
    "conversations": "pages.conversations",
    "hosts": "deployment.hosts",
    "keys": "identity.keys",
    "layers": "waiting_list.channel_layers",
    "logs": "monitoring.logs",
    "metrics": "monitoring.metrics",
    "middleware": "pages.middleware",
    "origin": "sockets.origin",
    "owners": "identity.owners",
    "preferences": "pages.preferences",
    "probes": "deployment.probes",
    "routing": "sockets.routing",
    "server": "deployment.server",
    "site": "record.site",
    "sqlite_file": "record.sqlite_file",
    "starting": "deployment.starting",
    "static_files": "deployment.static_files",
    "urls": "pages.urls",
    "views": "pages.views",
    "visitors": "identity.visitors",
}
"""New names by former ones, both below `streaming`. All others: docs/upgrading.md."""


def new_path(path: str) -> str | None:
    """Return the present name of a dotted path, or None if it has not moved."""
    app, _, rest = path.partition(".")
    module, dot, attribute = rest.partition(".")
    if app != APP or module not in MOVED:
        return None
    return f"{APP}.{MOVED[module]}{dot}{attribute}"


def moved_paths(value: object) -> Iterator[tuple[str, str]]:
    """Yield each dotted path that has moved, with its present name, in the value of a setting."""
    if isinstance(value, str):
        if new := new_path(value):
            yield value, new
    elif isinstance(value, dict):
        yield from moved_paths(list(value.values()))
    elif isinstance(value, list | tuple | set | frozenset):
        for inner in value:
            yield from moved_paths(inner)


class _FormerNames:
    """The last finder of imports: an import of a former name fails with the present one."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: object = None
    ) -> None:
        """Raise ModuleNotFoundError for a former name; None for all others."""
        if new := new_path(fullname):
            raise ModuleNotFoundError(f"{fullname} is {new} now (docs/upgrading.md)", name=fullname)


def tell_new_names() -> None:
    """Let imports of former names fail with the present ones, once for a process."""
    if not any(isinstance(finder, _FormerNames) for finder in sys.meta_path):
        sys.meta_path.append(_FormerNames())
