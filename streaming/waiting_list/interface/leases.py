"""What a worker holds and gets: leases, claims, renewals, and the events it appends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from streaming.waiting_list.interface.entries import Entry


@dataclass(frozen=True, slots=True)
class Lease:
    """A worker's right to publish for a response. `token` fences off every earlier lease."""

    response_id: str
    worker_id: str
    token: int


@dataclass(frozen=True, slots=True)
class Claim:
    """A claimed response. `last_sequence` is the number of its last event, 0 without any.

    `attempt` counts its claims, this one included. `tokens` are the ids of the tokens that were
    generated before.
    """

    lease: Lease
    entry: Entry
    attempt: int
    last_sequence: int = 0
    tokens: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Reserved:
    """All that waits is reserved for other workers, which hold its prefixes and have a free place.

    `seconds` is when the first reservation ends: ask again then.
    """

    seconds: float


@dataclass(frozen=True, slots=True)
class Renewal:
    """What became of renewed leases, by response id.

    `lost` are no longer this worker's: stop them at once. `cancelled` are those of `held` that
    were asked to end.
    """

    held: frozenset[str]
    lost: frozenset[str]
    cancelled: frozenset[str]


@dataclass(slots=True)
class AppendCall:
    """One event to append, with the arguments of `append`. Not frozen: that is quicker to make."""

    lease: Lease
    event: str
    tokens: Sequence[int] = ()
    number: int | None = None
