"""What viewers, operators and the reconciler are shown of the list."""

from __future__ import annotations

from dataclasses import dataclass, field

from streaming.waiting_list.interface.entries import Slot, State
from streaming.waiting_list.interface.workers import WorkerRow


@dataclass(frozen=True, slots=True)
class Watched:
    """What a viewer needs of one response; `last_sequence` is the number of its last event."""

    state: State
    position: int | None
    last_sequence: int


@dataclass(frozen=True, slots=True)
class Watch:
    """The answer of `watch`. `size` as in Place; `workers` counts those alive and not draining."""

    size: int
    workers: int
    responses: dict[str, Watched]


@dataclass(frozen=True, slots=True)
class EntryRow:
    """An open response in a snapshot. `slot` is None while it is held.

    `since` is seconds in its present state, `asked` seconds since it was accepted.
    """

    response_id: str
    owner: str
    conversation_id: str
    state: State
    position: int | None
    worker_id: str
    attempt: int
    since: float
    tokens: int
    max_tokens: int
    asked: float = 0.0
    slot: Slot | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Workers, the running set, then the waiting list in order, held entries last.

    `paused`: no worker claims anything. `closed`: the operator's message while no new prompt is
    accepted, None while the queue is open.
    """

    workers: list[WorkerRow]
    running: list[EntryRow]
    waiting: list[EntryRow]
    paused: bool = False
    closed: str | None = None


@dataclass(frozen=True, slots=True)
class Sweep:
    """Ids of responses that a sweep returned, and of those that the caller is to end.

    `returned` went back to their slots from expired leases. `exhausted` have used up their
    attempts. `abandoned` have had no viewer for too long, or were cancelled while running and
    came back from their worker without an end. `overdue` were never claimed and have waited too
    long. All but the first are named by every sweep until the caller has ended them through the
    record; those that came back are never claimed again.
    """

    returned: list[str]
    exhausted: list[str]
    abandoned: list[str]
    overdue: list[str] = field(default_factory=list)
