"""Tells programs of version 1, which wait in silence for a greeting, that this is another one."""

from __future__ import annotations

import asyncio
import json

from streaming.protocol.base import PROTOCOL_VERSION
from streaming.sockets.socket_writer import SocketWriter

SECONDS = 5.0
"""How long a client may say nothing: those of version 1 give up after 10 s."""

_GREETING = json.dumps(
    {
        "type": "session.created",
        "protocol_version": PROTOCOL_VERSION,
        "model": None,
        "limits": {"max_input_chars": 0, "max_tokens": 0, "context_tokens": None},
    }
)
"""What a client of version 1 takes for a greeting, whose version it then refuses in its own words.
Others ignore it, as all events that they do not know."""


class VersionHint:
    """The hint for one client that has not said which version it speaks."""

    def __init__(self, writer: SocketWriter) -> None:
        self._writer = writer
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Send it later, unless `cancel` comes first."""
        self._task = asyncio.create_task(self._send())

    def cancel(self) -> None:
        """The client has said something, or is gone."""
        if self._task:
            self._task.cancel()
            self._task = None

    async def _send(self) -> None:
        await asyncio.sleep(SECONDS)
        await self._writer.send(_GREETING)
