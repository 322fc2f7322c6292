"""What the list has measured and counted, for forecasts and operators."""

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

    `waiting` has pairs of id and token limit in the order of the claims to come, the returned
    ones first. `capacities` are the effective capacities of the workers that claim, or will once
    loaded. `recent` has tokens, seconds from claim to finish, and token limit of the last
    responses that were finished in one attempt, the newest last; for one that was cut at a limit
    that limit is its length.
    """

    running: list[RunningLoad]
    waiting: list[tuple[str, int]]
    capacities: dict[str, int]
    recent: list[tuple[int, float, int]]


@dataclass(frozen=True, slots=True)
class Counters:
    """Counters and present numbers, read at one moment.

    `at` is Unix time by the list's clock. `waiting` counts all that are open and do not run.
    `capacity` is that of the `workers` that live and are not draining. `accepted`, `rejected` (by
    each of REFUSALS) and `tokens` only grow, as long as the list keeps its memory. `waits` are
    the last first claims, the newest last: seconds since the claim, and seconds from acceptance
    to the claim.
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
