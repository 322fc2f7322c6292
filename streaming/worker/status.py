"""What a worker is doing: one status, the facts that it follows from, and its transitions."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Set
from enum import Enum

from streaming.system.transitions import checked
from streaming.waiting_list.interface import WorkerState


class WorkerStatus(Enum):
    """What a worker is doing; `reported` is the state that the waiting list is told.

    Whether the queue is paused is the list's affair: a worker then asks and is given nothing.
    """

    STARTING = WorkerState.LOADING, "waits for list and layer, then loads its model"
    READY = WorkerState.READY, "claims while it has a free place"
    UNAVAILABLE = WorkerState.LOADING, "loaded; its engine cannot answer now, and prompts wait"
    HUNG = WorkerState.HUNG, "a thread of its engine makes no progress"
    DRAINING = WorkerState.DRAINING, "by an operator's order: claims nothing, and stays"
    STOPPING = WorkerState.DRAINING, "asked to end: claims nothing, what runs may finish"
    ENDING = WorkerState.DRAINING, "gives back what runs, and closes its engine"

    def __init__(self, reported: WorkerState, meaning: str) -> None:
        self.reported = reported
        self.meaning = meaning


SERVING = frozenset(
    {WorkerStatus.READY, WorkerStatus.UNAVAILABLE, WorkerStatus.HUNG, WorkerStatus.DRAINING}
)
"""The statuses of a worker whose model is loaded and that has not been asked to end."""

_LEAVING = frozenset({WorkerStatus.STOPPING, WorkerStatus.ENDING})

TRANSITIONS: Mapping[WorkerStatus, Set[WorkerStatus]] = {
    WorkerStatus.STARTING: SERVING - {WorkerStatus.HUNG} | _LEAVING,
    **{status: SERVING - {status} | _LEAVING for status in SERVING},
    WorkerStatus.STOPPING: frozenset({WorkerStatus.ENDING}),
    WorkerStatus.ENDING: frozenset(),
}
"""Statuses that may follow each. From STARTING and from each serving one a worker may also go to
ENDING at once: its model cannot be loaded, or its engine has died."""


class StatusTracker:
    """Holds a worker's status. Each method reports one fact; the status follows from all of them.

    Of several that hold at once, hanging counts before an order to drain, and that before an engine
    that cannot answer. Once a worker has been asked to end, none of them changes its status.
    """

    def __init__(self, worker_id: str) -> None:
        self.status = WorkerStatus.STARTING
        self.is_loaded = False
        """Whether the engine has its model, and can be asked about it."""
        self.hangs = False
        """Whether a thread of the engine makes no progress."""
        self.unavailable_reason = ""
        """Why the engine cannot answer now; empty if it can."""
        self.ending = asyncio.Event()
        """Set when the status becomes ENDING."""
        self._worker_id = worker_id
        self._is_to_drain = False

    def load(self, unavailable_reason: str = "") -> None:
        """Report that the model is loaded, and why it cannot answer yet, if so."""
        self.is_loaded = True
        self.unavailable_reason = unavailable_reason
        self._follow_facts()

    def set_hangs(self, hangs: bool) -> None:
        """Report whether the engine hangs."""
        self.hangs = hangs
        self._follow_facts()

    def set_unavailable(self, reason: str) -> bool:
        """Report why the engine cannot answer now, empty if it can.

        Return whether that changes whether it can.
        """
        was_unavailable, self.unavailable_reason = bool(self.unavailable_reason), reason
        self._follow_facts()
        return was_unavailable != bool(reason)

    def set_drain(self, is_to_drain: bool) -> None:
        """Report whether an operator wants the worker to claim nothing."""
        self._is_to_drain = is_to_drain
        self._follow_facts()

    def stop(self) -> None:
        """Report that the worker is asked to end. Does nothing if it has been before."""
        if self.status not in _LEAVING:
            self._become(WorkerStatus.STOPPING)

    def end(self) -> None:
        """Report that what runs is not waited for any more. Does nothing if it has been before."""
        if self.status is not WorkerStatus.ENDING:
            self._become(WorkerStatus.ENDING)
            self.ending.set()

    def _follow_facts(self) -> None:
        """Take the status that the facts make, if the model is loaded and nobody ended it."""
        if not self.is_loaded or self.status in _LEAVING:
            return
        if self.hangs:
            status = WorkerStatus.HUNG
        elif self._is_to_drain:
            status = WorkerStatus.DRAINING
        elif self.unavailable_reason:
            status = WorkerStatus.UNAVAILABLE
        else:
            status = WorkerStatus.READY
        if status is not self.status:
            self._become(status)

    def _become(self, status: WorkerStatus) -> None:
        self.status = checked(TRANSITIONS, f"Worker {self._worker_id}", self.status, status)
