"""Responses as the list knows them: entries, states, slots and places."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple


@dataclass(frozen=True, slots=True)
class AdmissionLimits:
    """Bounds on open responses, which are those that wait or run; they decide about newcomers.

    `max_waiting` is added to the workers' capacities; below 0, so many places stay free. 0 for an
    owner or address means no bound.
    """

    max_waiting: int
    max_per_owner: int = 0
    max_per_address: int = 0


@dataclass(frozen=True, slots=True)
class Entry:
    """A response that asks to be accepted.

    An empty `address` is not bounded; an empty `conversation_id` is no conversation.
    `max_tokens` of 0 is no limit.
    """

    response_id: str
    owner: str
    conversation_id: str
    address: str = ""
    max_tokens: int = 0


class State(StrEnum):
    """The state of a response, as callers see it."""

    HELD = "held"  # an earlier response of the same conversation is open
    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    UNKNOWN = "unknown"


class Slot(NamedTuple):
    """The sort key of a response in the order: the smallest is next. No two share a ticket.

    `tag` is the start tag of fair queueing, `ticket` the number of the arrival. `moved` is true
    if an operator put the response there, outside its owner's queue.
    """

    tag: int
    ticket: int
    moved: bool = False

    @property
    def text(self) -> str:
        """The form that the record stores: `tag:ticket:moved`, with `moved` as 0 or 1."""
        return f"{self.tag}:{self.ticket}:{int(self.moved)}"

    @classmethod
    def parse(cls, text: str) -> Slot | None:
        """Return the slot of a stored `text`, None for an empty one. Raises ValueError."""
        if not text:
            return None
        tag, ticket, moved = map(int, text.split(":"))
        return cls(tag, ticket, bool(moved))


@dataclass(frozen=True, slots=True)
class Place:
    """State and position of a response.

    Position 1 is next. Only entries in the order have a position: those that are held, run, or
    returned from a lost worker have None. `size` is the number of positions. `created` is False if
    the id was known. Only `enqueue` sets `slot`, for an entry in the order.
    """

    state: State
    position: int | None
    size: int
    created: bool = True
    slot: Slot | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Remembered:
    """An open response as the record knows it, for a list that has lost it.

    `slot` is None if the record never got it. `ran` is true if a worker had claimed the response.
    Its events get numbers greater than `said`.
    """

    entry: Entry
    slot: Slot | None = None
    ran: bool = False
    said: int = 0


class Withdrawal(StrEnum):
    """What `withdraw` did."""

    WITHDRAWN = "withdrawn"  # it waited and is gone; `event` was its last
    RUNNING = "running"  # a worker holds it; the cancel flag is set
    GONE = "gone"  # unknown or already done


class Edge(StrEnum):
    """Where `move` puts a waiting response."""

    FRONT = "front"
    BACK = "back"
