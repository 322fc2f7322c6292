"""Workers as the list knows them: their heartbeats, and operators' orders for them."""

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
    """An operator's orders for one worker.

    A `capacity` of None is the one that it was started with. `drain`: claim nothing more, finish
    what runs without a time limit, and stay.
    """

    capacity: int | None = None
    drain: bool = False


@dataclass(frozen=True, slots=True)
class WorkerBeat:
    """A worker's heartbeat. After `ttl` seconds without another one the worker counts as dead.

    `cached_prefix_capacity` is the number of prompts whose keys and values its engine keeps, so
    that it reads the next turn of such a conversation faster than other workers.
    """

    worker_id: str
    capacity: int
    state: WorkerState
    ttl: float
    details: dict[str, Any] = field(default_factory=dict)
    cached_prefix_capacity: int = 0


@dataclass(frozen=True, slots=True)
class WorkerRow:
    """A live worker in a snapshot. `age` is the seconds since its last heartbeat.

    `capacity` and `state` are the effective ones: the heartbeat's, restricted by `orders`. `paused`
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
