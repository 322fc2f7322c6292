"""The waiting list's interface: what the extension `"waiting_list"` of our channel layers offers.

Every operation is atomic. The list holds ids and limits, never prompts: the record (the
database) holds those. Who may publish for a running response is decided by its lease; whatever
a response says is numbered, stored and published to its group in one operation, so that
nothing is published that cannot be replayed.

Constants, errors, types and roles stand in `interface/`, one module each; all of them can be
imported from here.
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
from streaming.waiting_list.interface.watching import Watching
from streaming.waiting_list.interface.workers import Orders, WorkerBeat, WorkerRow, WorkerState


class WaitingList(Accepting, Leasing, Watching, Operating):
    """All operations of the extension. Times are seconds by the list's own clock (Redis TIME).

    The order is fair between owners (start-time fair queueing): an entry's tag is one more than
    the larger of its owner's last waiting tag and the virtual time, and the smallest tag is next,
    the earlier arrival first among equals. The virtual time is the largest tag ever claimed. So
    every owner's first waiting entry stands in the present round or the next one, whoever comes
    after it stands behind it, and its position never grows. An entry that is withdrawn bequeaths
    its slot to its owner's next one, that one's to the one after it, and so on: nobody else is
    overtaken, and only the owner's last slot disappears.

    A moved entry has its slot from an operator, outside its owner's queue: it inherits nothing
    and bequeaths nothing, and its owner's later ones are placed as if it were not there. So a
    move changes no order but its own. It may empty a round; lest newcomers slip into the gap ahead
    of those who wait, the virtual time then passes over all rounds up to the next that somebody
    waits in.
    """


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
