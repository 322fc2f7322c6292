"""What happens to a reader who reads too slowly: it is waited for, or its connection is cut."""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from collections.abc import Callable
from typing import Any

from streaming.deployment.outbox import unsent

logger = logging.getLogger(__name__)

_REPLAY_PATIENCE_SECONDS = 5.0
"""Seconds that a replay waits for a reader who reads nothing at all."""

_DOWNLOAD_PATIENCE_SECONDS = 60.0
"""The same for the body of an HTTP response, which cannot be resumed."""

_LOOK_SECONDS = 0.02


class SlowReaders:
    """Bounds what may lie unread on each connection: `max_unsent` bytes.

    `is_open` says whether a connection is known and has not been disconnected.
    """

    def __init__(self, max_unsent: int, is_open: Callable[[Any], bool]) -> None:
        self._max_unsent = max_unsent
        self._ample = max_unsent // 4  # below it there is room for more
        self._is_open = is_open

    def cut_if_slow(self, protocol: Any) -> None:
        """Cut a connection on which too much lies unread.

        Nothing is lost by it: the client comes back and resumes. There is no close frame, since it
        would stand at the end of the same pile.
        """
        if self._is_open(protocol) and unsent(protocol.transport) > self._max_unsent:
            self.cut(protocol)

    def cut(self, protocol: Any) -> None:
        """Abort a connection at once, with what is unsent on it."""
        logger.warning("A slow client is cut off: %s", protocol)
        protocol.transport.abortConnection()

    async def let_replay(self, protocol: Any) -> None:
        """Wait, as part of a replay, until its reader has room for more, or is cut."""
        await self._let_read(protocol, _REPLAY_PATIENCE_SECONDS)

    async def let_download(self, protocol: Any) -> None:
        """Wait, as part of an HTTP response, until its reader has room for more, or is cut."""
        await self._let_read(protocol, _DOWNLOAD_PATIENCE_SECONDS)

    async def _let_read(self, protocol: Any, patience: float) -> None:
        """Wait while the reader reads; one who has read nothing for `patience` seconds is cut."""
        least, deadline = sys.maxsize, 0.0
        while self._is_open(protocol) and (left := unsent(protocol.transport)) > self._ample:
            now = time.monotonic()
            if left < least:
                least, deadline = left, now + patience
            elif now > deadline:
                self.cut(protocol)
                return
            await asyncio.sleep(_LOOK_SECONDS)
