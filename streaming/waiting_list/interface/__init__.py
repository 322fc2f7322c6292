"""The interface of the waiting list: constants, errors, value types and four roles.

All of it can be imported from here. It knows neither Django nor Redis, nor how a list keeps
anything.
"""

from __future__ import annotations

from streaming.waiting_list.interface.accepting import Accepting
from streaming.waiting_list.interface.constants import (
    CLOSED_MESSAGE_CHARS,
    DONE_LOG_SECONDS,
    MAX_ATTEMPTS,
    RECENT_KEPT,
    SAMPLES_KEPT,
    WAITS_KEPT,
)
from streaming.waiting_list.interface.entries import (
    AdmissionLimits,
    Edge,
    Entry,
    Place,
    Remembered,
    Slot,
    State,
    Withdrawal,
)
from streaming.waiting_list.interface.errors import (
    REFUSALS,
    AddressLimit,
    ListLost,
    OwnerLimit,
    QueueClosed,
    QueueFull,
    Unavailable,
    WaitingListError,
    WrongNumber,
)
from streaming.waiting_list.interface.groups import WORKERS_GROUP, group_name
from streaming.waiting_list.interface.leases import AppendCall, Claim, Lease, Renewal, Reserved
from streaming.waiting_list.interface.leasing import Leasing
from streaming.waiting_list.interface.measures import Counters, Load, RunningLoad
from streaming.waiting_list.interface.operating import Operating
from streaming.waiting_list.interface.views import EntryRow, Snapshot, Sweep, Watch, Watched
from streaming.waiting_list.interface.waiting_list import WaitingList
from streaming.waiting_list.interface.watching import Watching
from streaming.waiting_list.interface.workers import Orders, WorkerBeat, WorkerRow, WorkerState

__all__ = [
    "CLOSED_MESSAGE_CHARS",
    "DONE_LOG_SECONDS",
    "MAX_ATTEMPTS",
    "RECENT_KEPT",
    "REFUSALS",
    "SAMPLES_KEPT",
    "WAITS_KEPT",
    "WORKERS_GROUP",
    "Accepting",
    "AddressLimit",
    "AdmissionLimits",
    "AppendCall",
    "Claim",
    "Counters",
    "Edge",
    "Entry",
    "EntryRow",
    "Lease",
    "Leasing",
    "ListLost",
    "Load",
    "Operating",
    "Orders",
    "OwnerLimit",
    "Place",
    "QueueClosed",
    "QueueFull",
    "Remembered",
    "Renewal",
    "Reserved",
    "RunningLoad",
    "Slot",
    "Snapshot",
    "State",
    "Sweep",
    "Unavailable",
    "WaitingList",
    "WaitingListError",
    "Watch",
    "Watched",
    "Watching",
    "Withdrawal",
    "WorkerBeat",
    "WorkerRow",
    "WorkerState",
    "WrongNumber",
    "group_name",
]
