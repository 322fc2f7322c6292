"""Watches what one worker runs: its leases, its time, and what is to end and does not."""

from __future__ import annotations

from streaming import conf
from streaming.waiting_list.interface import WaitingList
from streaming.worker.publishing import Publisher
from streaming.worker.running_set import RunningSet

_UNHEEDED_SECONDS = 2.0
"""Seconds after which an engine is not waited for that was asked to end a response. No step of a
machine that is fast enough to chat with takes so long."""


class RunningWatch:
    """Each method is a duty, to be done again and again."""

    def __init__(
        self,
        worker_id: str,
        waiting_list: WaitingList,
        running_set: RunningSet,
        publisher: Publisher,
        lease_seconds: float,
    ) -> None:
        self._worker_id = worker_id
        self._list = waiting_list
        self._running_set = running_set
        self._publisher = publisher
        self._lease_seconds = lease_seconds

    async def renew(self) -> None:
        """Renew the leases. Have ended what is cancelled; let go of what was lost."""
        asked = list(self._running_set)
        leases = [running.lease for running in asked]
        renewal = await self._list.renew(self._worker_id, leases, self._lease_seconds)
        for running in asked:
            if not self._running_set.holds(running):
                continue
            if running.response_id in renewal.cancelled:
                self._running_set.cancel(running)
            elif running.response_id in renewal.lost:
                self._running_set.lose(running)

    async def end_overlong(self) -> None:
        """Have ended what runs for longer than CHATSTREAM_GENERATION_TIMEOUT."""
        if limit := conf.get().generation_timeout:
            self._running_set.cancel_overlong(limit)

    async def end_unheeded(self) -> None:
        """End what the engine does not, though it was asked to."""
        self._publisher.end_unheeded(_UNHEEDED_SECONDS)
