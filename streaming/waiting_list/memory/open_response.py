"""One open response in the waiting list in memory: its phase, and the transitions between phases.

`TRANSITIONS` is the table; every method that changes the phase checks it. Collections of responses
are kept by `open_responses`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from streaming.system.transitions import checked
from streaming.waiting_list.interface import MAX_ATTEMPTS, Claim, Entry, Lease, Slot, State
from streaming.waiting_list.memory.event_logs import EventLog

NO_SLOT = Slot(0, 0)
"""The slot of a held response."""


class ResponsePhase(Enum):
    """The phase of an open response. The first three can be claimed in time, PARKED never again."""

    HELD = State.HELD, "behind an open response of its conversation"
    ORDERED = State.WAITING, "in the fair order: it has a position"
    RETURNED = State.WAITING, "back from a lost or released lease: ahead of position 1"
    RUNNING = State.RUNNING, "under a lease"
    PARKED = State.WAITING, "out of attempts or cancelled while it ran: waits to be withdrawn"
    ENDED = State.DONE, "no longer open"

    __hash__ = object.__hash__  # Enum's own, of the name, is slow; every claim looks up two

    def __init__(self, state: State, meaning: str) -> None:
        self.state = state
        self.meaning = meaning


TRANSITIONS: dict[ResponsePhase, frozenset[ResponsePhase]] = {
    ResponsePhase.HELD: frozenset(
        {ResponsePhase.ORDERED, ResponsePhase.RETURNED, ResponsePhase.ENDED}
    ),
    ResponsePhase.ORDERED: frozenset({ResponsePhase.RUNNING, ResponsePhase.ENDED}),
    ResponsePhase.RETURNED: frozenset({ResponsePhase.RUNNING, ResponsePhase.ENDED}),
    ResponsePhase.RUNNING: frozenset(
        {ResponsePhase.RETURNED, ResponsePhase.PARKED, ResponsePhase.ENDED}
    ),
    ResponsePhase.PARKED: frozenset({ResponsePhase.ENDED}),
    ResponsePhase.ENDED: frozenset(),
}
"""The phases that may follow each. Every response begins HELD. Only in a list that is restored does
RETURNED follow HELD."""


@dataclass(slots=True, eq=False)
class OpenResponse:
    """An open response. It keeps its slot while it runs, to come back to it.

    `asked`, `since` (begin of the present state), `seen` (last viewer touch) and `expires` (end
    of the lease) are seconds of the list's clock. `token` is that of its last lease, 0 if it was
    never claimed. `number_at_claim` and `tokens_at_claim` are how many events and tokens it had
    at its last claim. `reserved_for` is the worker for which it was reserved since it waits, ''
    if for none or if an operator moved it then; `reserved_until` is when that ends, 0 if it was
    not reserved.
    """

    entry: Entry
    asked: float
    since: float
    seen: float
    phase: ResponsePhase = ResponsePhase.HELD
    slot: Slot = NO_SLOT
    worker_id: str = ""
    token: int = 0
    expires: float = 0.0
    attempt: int = 0
    cancelled: bool = False
    log: EventLog = field(default_factory=EventLog)
    tokens: list[int] = field(default_factory=list)
    number_at_claim: int = 0
    tokens_at_claim: int = 0
    reserved_for: str = ""
    reserved_until: float = 0.0

    @property
    def response_id(self) -> str:
        """The response's id."""
        return self.entry.response_id

    @property
    def state(self) -> State:
        """The response's state, as callers of the list see it."""
        return self.phase.state

    def enter(self, slot: Slot, now: float) -> None:
        """Let it wait in the order, at this slot."""
        self._become(ResponsePhase.ORDERED, now)
        self.slot = slot

    def enter_returned(self, slot: Slot, token: int, now: float) -> None:
        """Let it wait ahead of the order, as after a lease with this token.

        For a response that ran in a list that was lost.
        """
        self._become(ResponsePhase.RETURNED, now)
        self.slot, self.token = slot, token

    def start(self, worker_id: str, token: int, now: float, lease_seconds: float) -> Claim:
        """Lease it to a worker for `lease_seconds` from `now` on, and return the claim."""
        self._become(ResponsePhase.RUNNING, now)
        self.worker_id, self.token = worker_id, token
        self.expires, self.attempt = now + lease_seconds, self.attempt + 1
        self.number_at_claim, self.tokens_at_claim = self.log.last_sequence, len(self.tokens)
        return Claim(
            lease=Lease(self.entry.response_id, worker_id, token),
            entry=self.entry,
            attempt=self.attempt,
            last_sequence=self.log.last_sequence,
            tokens=tuple(self.tokens),
        )

    def is_leased(self, token: int, now: float) -> bool:
        """Return whether the lease with this token may publish for it.

        A lease ends with its time, whether or not a sweep has noticed.
        """
        return self.phase is ResponsePhase.RUNNING and self.token == token and self.expires > now

    def cancel(self) -> bool:
        """Set the cancel flag, by which its worker ends it; False if it does not run."""
        if self.phase is not ResponsePhase.RUNNING:
            return False
        self.cancelled = True
        return True

    def give_back(self, now: float, *, forgive: bool) -> None:
        """End its lease and let it wait again; with `forgive` the attempt does not count.

        It becomes RETURNED, or PARKED if it was cancelled or has used up its attempts.
        """
        attempt = self.attempt - forgive
        again = not self.cancelled and attempt < MAX_ATTEMPTS
        self._become(ResponsePhase.RETURNED if again else ResponsePhase.PARKED, now)
        self.worker_id, self.attempt = "", attempt

    def end(self, now: float) -> None:
        """End it: it is no longer open."""
        self._become(ResponsePhase.ENDED, now)
        self.worker_id = ""
        self.clear_reservation()

    def reserve(self, worker_id: str, until: float) -> None:
        """Reserve it for a worker until then, in seconds of the list's clock."""
        self.reserved_for, self.reserved_until = worker_id, until

    def cancel_reservation(self) -> None:
        """Let any worker claim it; it is not reserved again while it waits."""
        self.reserved_for = ""

    def clear_reservation(self) -> None:
        """Forget that it was reserved, so that it may be reserved again once it has come back."""
        self.reserved_for, self.reserved_until = "", 0.0

    def _become(self, phase: ResponsePhase, now: float) -> None:
        self.phase = checked(TRANSITIONS, self.entry.response_id, self.phase, phase)
        self.since = now
