"""Work that goes on when the task that waits for it is cancelled."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

from streaming.sockets.refusals import REFUSALS

logger = logging.getLogger(__name__)


async def shielded(work: Coroutine[Any, Any, None]) -> None:
    """Do what must not be left half done: it goes on even if its client vanishes meanwhile."""
    task = asyncio.ensure_future(work)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        task.add_done_callback(_log_fault)
        raise


def _log_fault(task: asyncio.Future[None]) -> None:
    """Log a fault of ours that the client, which has vanished, is not sent; a refusal is none."""
    error = None if task.cancelled() else task.exception()
    if error and not isinstance(error, REFUSALS):
        logger.error("A vanished client's event could not be handled.", exc_info=error)
