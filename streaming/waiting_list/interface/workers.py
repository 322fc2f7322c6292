"""Workers as the list knows them: heartbeats, and the orders that operators give."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class WorkerState(StrEnum):
    """The state of a worker."""

    LOADING = "loading"
    READY = "ready"
    HUNG = "hung"  # a step of its engine does not return; counted like one that loads
    DRAINING = "draining"


@dataclass(frozen=True, slots=True)
class Orders:
    """What an operator wants of one worker. `capacity` None: as many as it was started with.

    `drain`: claim no more, finish what runs, however long that takes, and stay.
    """

    capacity: int | None = None
    drain: bool = False


@dataclass(frozen=True, slots=True)
class WorkerBeat:
    """A worker's heartbeat. After `ttl` seconds without another one it counts as dead.

    `prefixes` is the number of prompts whose keys and values its engine keeps: the next turn of
    such a conversation is read faster there than elsewhere.
    """

    worker_id: str
    capacity: int
    state: WorkerState
    ttl: float
    details: dict[str, Any] = field(default_factory=dict)
    prefixes: int = 0


@dataclass(frozen=True, slots=True)
class WorkerRow:
    """A live worker in a snapshot. `age` is seconds since its heartbeat.

    `capacity` and `state` are the effective ones: the heartbeat's, lowered by `orders`. `paused`
    is the worker's own switch; `Snapshot.paused` is the one for all.
    """

    worker_id: str
    capacity: int
    state: WorkerState
    running: int
    age: float
    details: dict[str, Any]
    paused: bool = False
    orders: Orders = Orders()
