"""The waiting list of one process, for the embedded deployment.

No operation awaits anything, so each runs to its end before the event loop does anything else:
that makes it atomic. Call it on the event loop that the consumers run on.
"""

from __future__ import annotations

from streaming.waiting_list.interface import WaitingList
from streaming.waiting_list.memory.accepting import MemoryAccepting
from streaming.waiting_list.memory.leasing import MemoryLeasing
from streaming.waiting_list.memory.operating import MemoryOperating
from streaming.waiting_list.memory.watching import MemoryWatching


class MemoryWaitingList(
    MemoryAccepting, MemoryLeasing, MemoryWatching, MemoryOperating, WaitingList
):
    """The four roles over one `MemoryStore`, whose arguments it takes."""
