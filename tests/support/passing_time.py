"""Waits in which the passage of time itself is what is tested; all others wait for a condition."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Callable

_POLL_SECONDS = 0.05


async def outlast(seconds: float, what: str) -> None:
    """Let more time pass than something takes of which nothing can be seen: `what`."""
    assert what
    await asyncio.sleep(seconds)


def outlast_blocking(seconds: float, what: str) -> None:
    """As `outlast`, where no event loop runs."""
    assert what
    time.sleep(seconds)


async def stays(condition: Callable[[], object], seconds: float) -> None:
    """Assert that a condition holds all the time, for so many seconds. It may be a coroutine's."""
    until = time.monotonic() + seconds
    while True:
        held = condition()
        assert await held if inspect.isawaitable(held) else held
        if time.monotonic() >= until:
            return
        await asyncio.sleep(_POLL_SECONDS)
