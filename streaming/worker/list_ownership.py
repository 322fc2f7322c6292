"""Whether a worker's process has the waiting list that it serves."""

from __future__ import annotations

import asyncio
import logging

from channels.layers import BaseChannelLayer

from streaming.lifecycle.list_lock import LockHolder, LockLost, LockTaken
from streaming.record.database import disconnecting
from streaming.system.outages import AWAY, log_fault
from streaming.worker.tasks import POLL_SECONDS, wait

logger = logging.getLogger(__name__)


class ListOwnership:
    """One worker's use of the lock by which a list in memory owns its database.

    A list that several processes share has no lock (None): it is always this process's, too.
    """

    def __init__(self, worker_id: str, layer: BaseChannelLayer, lock: LockHolder | None) -> None:
        self._worker_id = worker_id
        self._layer = layer
        self._lock = lock

    @property
    def is_certain(self) -> bool:
        """Whether what the list says holds. In one that another process has taken over, who has
        left and what waits are of a time that is past."""
        return self._lock is None or self._lock.is_fresh

    async def acquire(self, ending: asyncio.Event) -> bool:
        """Wait for the lock, whose holder may be a process that ends.

        Return False if `ending` is set before.
        """
        if self._lock is None:
            return True
        is_told = False
        while not ending.is_set():
            try:
                await asyncio.to_thread(disconnecting(self._lock.acquire))
            except LockTaken as error:
                if not is_told and not ending.is_set():
                    logger.error("Worker %s does not start yet. %s", self._worker_id, error)
                    is_told = True
            except asyncio.CancelledError:
                self._lock.give_up()
                raise
            except AWAY as error:
                log_fault(logger, error, "The waiting list's lock cannot be had; trying again.")
            else:
                return True
            await wait(ending, POLL_SECONDS)
        return False

    def give_up(self) -> None:
        """End an `acquire` that waits."""
        if self._lock:
            self._lock.give_up()

    async def release(self) -> None:
        """Give the lock back, after `acquire` has returned True."""
        if self._lock is None:
            return
        if self._lock.lost:
            # Its viewers go by the record, where others write now.
            self._layer.waiting_list.forget()
        await asyncio.to_thread(disconnecting(self._lock.release))

    async def watch_loop(self) -> None:
        """Watch the lock. Raises LockLost when another process has taken the list over."""
        while True:
            await asyncio.sleep(POLL_SECONDS)
            if self._lock and self._lock.lost:
                raise LockLost(self._lock.lost)
