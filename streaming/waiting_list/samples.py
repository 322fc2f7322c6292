"""The last hour of the queue, for charts: a sample every 10 s.

One elected process takes them, a worker or a web process that shows them. They are kept in the
waiting list, so that every process shows the same ones.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from streaming.waiting_list.interface import SAMPLES_KEPT, Counters, WaitingList

SAMPLE_SECONDS = 10.0
"""Seconds between two samples."""


@dataclass(frozen=True, slots=True)
class Sample:
    """The queue at one moment, and what happened in the `seconds` since the sample before.

    `at` is Unix time. `tokens` are all that the list has counted; `accepted` and `rejected` (by
    reason) count the interval, and `queue_seconds` is the median of how long those had waited
    that were first claimed in it, `queue_p95` the 95th percentile, None if there were none.
    `seconds` is 0 in the first sample, and after the list has lost its memory: what happened
    before is not known then.
    """

    at: float
    seconds: float
    running: int
    waiting: int
    workers: int
    capacity: int
    tokens: int
    tokens_per_second: float
    queue_seconds: float | None
    accepted: int
    rejected: dict[str, int]
    accepted_in_all: int
    rejected_in_all: dict[str, int]
    queue_p95: float | None = None


def sample(counters: Counters, before: Sample | None) -> Sample:
    """Return a sample of the counters, compared with the sample before."""
    if before and (counters.at <= before.at or _is_reset(counters, before)):
        before = None
    seconds = counters.at - before.at if before else 0.0
    waits = [waited for age, waited in counters.waits if age < seconds]
    known = before.rejected_in_all if before else counters.rejected
    return Sample(
        at=counters.at,
        seconds=seconds,
        running=counters.running,
        waiting=counters.waiting,
        workers=counters.workers,
        capacity=counters.capacity,
        tokens=counters.tokens,
        tokens_per_second=(counters.tokens - before.tokens) / seconds if before else 0.0,
        queue_seconds=median(waits) if waits else None,
        accepted=counters.accepted - before.accepted_in_all if before else 0,
        rejected={code: count - known.get(code, 0) for code, count in counters.rejected.items()},
        accepted_in_all=counters.accepted,
        rejected_in_all=counters.rejected,
        queue_p95=percentile(waits, 95) if waits else None,
    )


def percentile(values: list[float], percent: int) -> float:
    """Return the smallest value that so many percent of them do not exceed (the nearest rank)."""
    return sorted(values)[-(-percent * len(values) // 100) - 1]


def _is_reset(counters: Counters, before: Sample) -> bool:
    """Return whether the list has lost its memory: only then does a counter fall."""
    return (
        counters.tokens < before.tokens
        or counters.accepted < before.accepted_in_all
        or any(counters.rejected.get(c, 0) < n for c, n in before.rejected_in_all.items())
    )


async def take_in_turn(waiting_list: WaitingList, holder: str) -> bool:
    """Take a sample if `holder` is elected and the last one is old enough; return whether it did.

    Call it every SAMPLE_SECONDS.
    """
    if not await waiting_list.elect("sample", holder, 1.5 * SAMPLE_SECONDS):
        return False
    before = await read(waiting_list, 1)
    counters = await waiting_list.counters()
    if before and 0 <= counters.at - before[-1].at < SAMPLE_SECONDS / 2:
        return False  # somebody else's duty until a moment ago
    new = sample(counters, before[-1] if before else None)
    await waiting_list.sample(json.dumps(asdict(new)))
    return True


async def read(waiting_list: WaitingList, last: int = SAMPLES_KEPT) -> list[Sample]:
    """Return the last samples, the oldest first, without those in another version's format."""
    return [s for text in await waiting_list.samples(last) if (s := _parse(text)) is not None]


def outline(sample: Sample) -> dict[str, Any]:
    """Return what charts need of a sample, as JSON values; `rejected` sums all reasons."""
    return {
        "at": round(sample.at, 2),
        "seconds": round(sample.seconds, 2),
        "running": sample.running,
        "waiting": sample.waiting,
        "capacity": sample.capacity,
        "tokens_per_second": round(sample.tokens_per_second, 2),
        "queue_seconds": None if sample.queue_seconds is None else round(sample.queue_seconds, 3),
        "rejected": sum(sample.rejected.values()),
    }


def _parse(text: str) -> Sample | None:
    try:
        return Sample(**json.loads(text))
    except (ValueError, TypeError):
        return None
