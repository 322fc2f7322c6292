"""How a worker ends what it runs: in the record, then in the list, and the place is free."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from channels.layers import BaseChannelLayer

from streaming.lifecycle import ending
from streaming.models import Status
from streaming.record.endings import Attempt, Ending
from streaming.system.outages import log_fault
from streaming.waiting_list.interface import WrongNumber
from streaming.worker.running import Running
from streaming.worker.running_set import RunningSet

logger = logging.getLogger(__name__)

_RETRY_SECONDS = 1.0
"""Seconds until an end is written again that could not be."""


class EndWriter:
    """Writes the ends of one worker's running set, each in a task of its own."""

    def __init__(self, layer: BaseChannelLayer, running_set: RunningSet) -> None:
        self._layer = layer
        self._running_set = running_set
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def tasks(self) -> Sequence[asyncio.Task[None]]:
        """Return the tasks that write ends."""
        return tuple(self._tasks)

    def begin(self, running: Running) -> None:
        """Write the end of what is published."""
        running.begin_ending()
        writing = asyncio.create_task(self._write(running))
        self._tasks.add(writing)
        writing.add_done_callback(self._tasks.discard)

    async def settle(self, seconds: float) -> None:
        """Wait for the ends that are being written, for `seconds` at most."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=seconds)

    async def _write(self, running: Running) -> None:
        """Write the end, again and again while the database is away, and as long as it runs."""
        while self._running_set.holds(running):
            try:
                if not await self._end(running, running.outcome()):
                    await self.end_by_record(running)
            except WrongNumber:
                self._running_set.lose(running)  # the next one to claim it ends it by the record
            except Exception as error:
                message = "The end of %s was not written; trying again."
                log_fault(logger, error, message, running.response_id)
                await asyncio.sleep(_RETRY_SECONDS)

    async def _end(self, running: Running, how: Ending) -> bool:
        """End it and free the place. Return False if it had ended, or is another attempt's."""
        ended = await ending.end(
            self._layer,
            [running.response_id],
            how,
            of=(Status.IN_PROGRESS,),
            attempt=Attempt.of(running.row),
            row=running.row,
            hold=running.hold,
        )
        if ended:
            self._running_set.drop(running)
        return bool(ended)

    async def fail(self, running: Running, message: str, code: str = "internal_error") -> None:
        """End, whoever's it is in the record, what cannot be answered; readers see `message`."""
        how = Ending.failed(code, message)
        ids = [running.response_id]
        if await ending.end(self._layer, ids, how, hold=running.hold):
            self._running_set.drop(running)
        else:
            await self.end_by_record(running)

    async def end_by_record(self, running: Running) -> None:
        """Say the end that the record has, and free the place.

        What is open there is another attempt's, and nobody's to end here: it goes back to the list,
        and whoever claims it next goes on.
        """
        if await ending.settle(self._layer, running.response_id, running.hold):
            self._running_set.drop(running)
        else:
            logger.warning("%s is open in the record, and given back.", running.response_id)
            await self._layer.waiting_list.release(running.lease)
            self._running_set.forget(running)  # no bell: not at once again
