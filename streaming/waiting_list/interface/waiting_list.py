"""The interface of a waiting list: its four roles, and the order that it keeps."""

from __future__ import annotations

from streaming.waiting_list.interface.accepting import Accepting
from streaming.waiting_list.interface.leasing import Leasing
from streaming.waiting_list.interface.operating import Operating
from streaming.waiting_list.interface.watching import Watching


class WaitingList(Accepting, Leasing, Watching, Operating):
    """All operations of the extension `"waiting_list"` of our channel layers.

    Every operation is atomic. The list holds ids and limits, never prompts: those are in the record
    (the database). A response's lease decides who may publish for it. Each event is numbered,
    stored and published to its response's group in one operation, so that nothing is published
    that cannot be replayed. Times are seconds of the list's own clock.

    The order is fair between owners (start-time fair queueing; Goyal, Vin and Cheng 1996). An
    entry's tag is one more than the larger of the tag of its owner's last waiting entry and the
    virtual time, which is the largest tag that was ever claimed. The smallest tag is next, and of
    equal tags the earlier arrival. So every owner's first waiting entry stands in the present round
    or the next one, whoever arrives later stands behind it, and its position never grows. When an
    entry is withdrawn, its owner's next one inherits its slot, the one after that inherits that
    one's, and so on: nobody else is overtaken, and only the owner's last slot disappears.

    A moved entry has its slot from an operator, outside its owner's queue: it inherits no slot and
    leaves none, and its owner's later entries are placed as if it were not there. So a move changes
    no order but its own. A move may empty a round. Lest newcomers then get slots ahead of those who
    wait, the virtual time passes over all empty rounds, up to the next one in which somebody waits.
    """
