"""Views of the list, for viewers, operators and the reconciler."""

from __future__ import annotations

from dataclasses import dataclass, field

from streaming.waiting_list.interface.entries import Slot, State
from streaming.waiting_list.interface.workers import WorkerRow


@dataclass(frozen=True, slots=True)
class Watched:
    """One response as `watch` shows it; `last_sequence` is the number of its last event."""

    state: State
    position: int | None
    last_sequence: int


@dataclass(frozen=True, slots=True)
class Watch:
    """What `watch` returns: the queue's `size` as in Place, and the watched responses by id.

    `workers` is the number of those that are alive and not draining.
    """

    size: int
    workers: int
    responses: dict[str, Watched]


@dataclass(frozen=True, slots=True)
class EntryRow:
    """An open response in a snapshot. `slot` is None while it is held.

    `since` is the seconds in its present state, `asked` the seconds since it was accepted.
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
    """Ids of responses that a sweep has given back, and of those that the caller is to end.

    `returned` are back at their slots from expired leases. `exhausted` are out of attempts.
    `abandoned` have had no viewer for too long, or were cancelled while they ran and came back from
    their worker without an end; the latter are in `cancelled`, too. `overdue` were never claimed
    and have waited too long. Every sweep returns all but the first until the caller has ended them
    (or kept those without a viewer); those that came back are never claimed again.
    """

    returned: list[str]
    exhausted: list[str]
    abandoned: list[str]
    overdue: list[str] = field(default_factory=list)
    cancelled: list[str] = field(default_factory=list)

    @property
    def unwatched(self) -> list[str]:
        """Those of the abandoned that only lack a viewer."""
        cancelled = set(self.cancelled)
        return [name for name in self.abandoned if name not in cancelled]
