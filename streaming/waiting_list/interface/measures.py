"""Measurements and counters of the list, for forecasts and operators."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RunningLoad:
    """A running response: `tokens` generated in all, `resumed` of them before this claim.

    `seconds` is the time since the claim.
    """

    response_id: str
    worker_id: str
    tokens: int
    max_tokens: int
    seconds: float
    resumed: int = 0


@dataclass(frozen=True, slots=True)
class Load:
    """What a forecast needs, read at one moment.

    `waiting` has the id and token limit of each response in the order of future claims, those that
    returned first. `capacities` has, by worker, the effective capacities of those that claim, or
    will once they are loaded. `recent` has tokens, seconds from claim to finish, and token limit of
    the last responses that were finished in one attempt, the newest last; for a response that was
    cut at a limit, that limit is its length. `before_newcomer`: so many of `waiting` would stand
    before a prompt of somebody who has nothing waiting and asked now.
    """

    running: list[RunningLoad]
    waiting: list[tuple[str, int]]
    capacities: dict[str, int]
    recent: list[tuple[int, float, int]]
    before_newcomer: int = 0


@dataclass(frozen=True, slots=True)
class Counters:
    """Counters and present numbers, read at one moment.

    `at` is Unix time by the list's clock. `waiting` counts all that are open and do not run.
    `capacity` is the sum over the `workers` that are alive and not draining. `accepted`, `rejected`
    (by each of REFUSALS) and `tokens` only increase, unless the list loses its memory. `waits` has
    the last first claims, the newest last: seconds since the claim, and seconds from acceptance to
    the claim.
    """

    at: float
    running: int
    waiting: int
    workers: int
    capacity: int
    accepted: int
    rejected: dict[str, int]
    tokens: int
    waits: list[tuple[float, float]]
