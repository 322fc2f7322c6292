"""Writing to sockets, once a round of the event loop, and what their readers leave unread."""

from __future__ import annotations

import asyncio
from typing import Any


def unsent(transport: Any) -> int:
    """Return the bytes that a Twisted transport holds because its peer does not read. It keeps them
    in two buffers and offers no public count."""
    return int(len(transport.dataBuffer) - transport.offset + transport._tempDataLen)


class Outbox:
    """Writes to sockets what they were sent in one round of the event loop, all in the next.

    Twisted has the loop tell when it may write, and tell no more, for each message: two system
    calls beside the one that writes. It still does so for what could not be written.
    """

    def __init__(self) -> None:
        self._due: set[Any] = set()

    def take(self, transport: Any) -> None:
        """Write to `transport` here from now on, in Twisted's place."""
        transport.startWriting = lambda: self._add(transport)

    def _add(self, transport: Any) -> None:
        if not self._due:
            asyncio.get_running_loop().call_soon(self._write)
        self._due.add(transport)

    def _write(self) -> None:
        due, self._due = self._due, set()
        for transport in due:
            # A connection that has to end is left to Twisted, too: it meets the reason again.
            if transport.connected and (transport.doWrite() or unsent(transport)):
                type(transport).startWriting(transport)
