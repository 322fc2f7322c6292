"""Pauses before a response asks the server again: exponential backoff with jitter, up to a
limit."""

from __future__ import annotations

import asyncio
import random

from streaming.engine.upstream.faults import FaultKind, UpstreamFault

_LONGEST_PAUSE = 10.0  # seconds


class Backoff:
    """Pauses that begin with `pause_seconds` and double, for `seconds` in all while the server is
    away."""

    def __init__(self, seconds: float, pause_seconds: float) -> None:
        self._seconds = seconds
        self._pause_seconds = pause_seconds
        self.reset()

    def reset(self) -> None:
        """Begin again with the first pause: the server has said something of use."""
        self._pauses = 0
        self._since: float | None = None

    async def wait(self, fault: UpstreamFault) -> None:
        """Pause, for as long as the server asks if that is longer. Raises the fault of a server
        that is away if the next attempt would come too late."""
        pause = min(_LONGEST_PAUSE, self._pause_seconds * 2 ** min(self._pauses, 16))
        pause *= random.uniform(0.5, 1)  # not all of them at once
        if fault.retry_after is not None:
            pause = max(pause, fault.retry_after * random.uniform(1, 1.1))
        now = asyncio.get_running_loop().time()
        self._since = now if self._since is None else self._since
        if fault.kind is FaultKind.AWAY and now + pause - self._since > self._seconds:
            raise fault
        self._pauses += 1
        await asyncio.sleep(pause)
