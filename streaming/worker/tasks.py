"""A worker's tasks: duties that are repeated, pauses that end early, and tasks that are ended."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from streaming.system.outages import log_fault

logger = logging.getLogger(__name__)

POLL_SECONDS = 1.0
"""Seconds between two looks at what a message may have told already: a lost one is noticed after
this long."""

_CANCEL_ATTEMPTS = 5


async def wait(event: asyncio.Event, seconds: float) -> None:
    """Wait until `event` is set, for `seconds` at most."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()


async def repeat(
    seconds: float, duty: Callable[[], Awaitable[None]], sooner: asyncio.Event | None = None
) -> None:
    """Do `duty` every `seconds`, and at once when `sooner` is set. Never returns.

    Its errors, as when the layer or the database is away, are logged, and it is done again.
    """
    sooner = sooner or asyncio.Event()
    while True:
        try:
            await duty()
        except Exception as error:
            log_fault(logger, error, "%s failed; trying again.", duty.__name__)
        await wait(sooner, seconds)
        sooner.clear()


async def cancel_all(*tasks: asyncio.Task[Any]) -> None:
    """Cancel tasks until all have ended: what they wait for may swallow one cancellation."""
    for attempt in range(_CANCEL_ATTEMPTS):
        pending = [task for task in tasks if not task.done()]
        if pending and attempt:
            name = getattr(pending[0].get_coro(), "__qualname__", "?")
            logger.warning("%d tasks are not cancelled yet, such as %s.", len(pending), name)
        for task in pending:
            task.cancel()
        if pending:
            await asyncio.wait(pending, timeout=POLL_SECONDS)
    ended = [task for task in tasks if task.done()]
    await asyncio.gather(*ended, return_exceptions=True)  # their errors have been told
