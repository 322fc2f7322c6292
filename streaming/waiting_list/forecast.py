"""When each waiting response gets a place: seconds, from what the waiting list measured.

Pure arithmetic on a `Load`; knows no layer, no database and no clock. Three steps:

1. *Answer lengths* as a survival curve, by the product-limit estimator (Kaplan and Meier 1958):
   finished answers are observed lengths; running ones, and those that their `max_tokens` cut off,
   are lengths known only to be longer. Without the running ones the short answers, which finish
   first, would pass for typical; and a tight limit of one says nothing about the next. Beyond
   the longest finished answer the curve goes on with a constant hazard
   (Brown, Hollander and Korwar 1974), so that an answer longer than all before it is expected to
   go on for a while, though not always to its limit. Given the tokens generated so far, the
   curve yields what remains (mean residual life), cut off at the response's `max_tokens`.
2. *Pace*, in seconds per token from claim on, which includes reading the prompt: a trimmed mean
   weighted by tokens, of the newest finished responses and the running ones.
3. *List scheduling* (Graham 1966): whoever is first in the list takes the place that is free
   first. It is played through a few times and averaged, each time with other lengths from the
   curve. With the expected lengths alone all places would seem to become free together, and the
   next in line would be told to wait for an average answer, not for the first of many to end.
   The shortest and the longest of these rounds make the range, widened by the standard error of the
   mean length, since the curve itself comes of few answers.
"""

from __future__ import annotations

import math
import zlib
from heapq import heapify, heapreplace
from statistics import stdev
from typing import TYPE_CHECKING, NamedTuple

from streaming.waiting_list.lengths import ROUNDS, Lengths

if TYPE_CHECKING:
    from streaming.waiting_list.interface import Load, RunningLoad

PACE_RECENT = 16
"""The number of newest finished responses that the pace is measured by, beside the running ones.
Few, because an hour with few running responses says little about a crowded one."""

TRIMMED = 0.25
"""The share of the weight that the trimmed mean of the pace leaves out at each end."""


RANGE_LEAST = 5
"""The least number of finished answers from which a range is told. Fewer say how long an answer may
take, but not how much longer another one."""


class Estimate(NamedTuple):
    """Seconds until a waiting response gets a place: the mean of the rounds, and a range.

    `low` and `high` are about the 10th and the 90th percentile: in simulated queues 72 % to 93 % of
    the waits end between them. Both are None where too few answers have ended to say how much they
    differ.
    """

    seconds: float
    low: float | None = None
    high: float | None = None


def forecast(load: Load) -> dict[str, float]:
    """Return the expected seconds until each waiting response gets a place, by its id: the
    `seconds` of its estimate."""
    return {response_id: each.seconds for response_id, each in estimates(load).items()}


def estimates(load: Load) -> dict[str, Estimate]:
    """Return when each waiting response gets a place, by its id.

    None of the three numbers decreases along the list. Empty where nothing is known: no live worker
    claims, no answer was finished yet (token limits say little about lengths), or no speed was
    measured. Running responses of workers that do not claim are left out, since they free no place.
    """
    pace = _pace(load)
    if pace is None or not load.recent or not any(cap > 0 for cap in load.capacities.values()):
        return {}
    finished = [tokens for tokens, _, limit in load.recent if not 0 < limit <= tokens]
    cut = [tokens for tokens, _, limit in load.recent if 0 < limit <= tokens]
    lengths = Lengths(finished, [running.tokens for running in load.running] + cut)
    free_at = _free_at(load, lengths, pace)
    # Per response, a deal: which of its lengths it has in each round.
    seconds_of: dict[int, list[float]] = {}
    jobs: list[tuple[list[float], tuple[int, ...]]] = []
    for response_id, max_tokens in load.waiting:
        if max_tokens not in seconds_of:
            seconds_of[max_tokens] = [pace * tokens for tokens in lengths.remaining(0, max_tokens)]
        jobs.append((seconds_of[max_tokens], _deal(response_id)))
    starts: list[list[float]] = []  # by round
    for round_index, heap in enumerate(free_at):
        heapify(heap)
        row = []
        for seconds, deal in jobs:
            start = heap[0]
            row.append(start)
            heapreplace(heap, start + seconds[deal[round_index]])
        starts.append(row)
    error = _error_of_mean(finished)
    found = {}
    for (response_id, _), waits in zip(load.waiting, zip(*starts, strict=True), strict=True):
        mean = sum(waits) / ROUNDS
        low = high = None
        if error is not None:
            # A mean of equal numbers may differ from them in its last bit.
            low, high = min(*waits, mean) * max(0.0, 1 - error), max(*waits, mean) * (1 + error)
        found[response_id] = Estimate(mean, low, high)
    return found


def _error_of_mean(finished: list[int]) -> float | None:
    """Return the standard error of the mean length as a share of that mean; None for too few."""
    if len(finished) < RANGE_LEAST or not sum(finished):
        return None
    mean = sum(finished) / len(finished)
    return stdev(finished, mean) / mean / math.sqrt(len(finished))


def _free_at(load: Load, lengths: Lengths, pace: float) -> list[list[float]]:
    """Return, for each round, the seconds until each place of the claiming workers is free."""
    running_on: dict[str, list[RunningLoad]] = {worker_id: [] for worker_id in load.capacities}
    for running in load.running:
        if running.worker_id in running_on:
            running_on[running.worker_id].append(running)
    rounds: list[list[float]] = [[] for _ in range(ROUNDS)]
    for worker_id, places in load.capacities.items():
        ends: list[list[float]] = [[] for _ in range(ROUNDS)]
        for running in running_on[worker_id]:
            parts = lengths.remaining(running.tokens, running.max_tokens)
            for round_index, part in enumerate(_deal(running.response_id)):
                ends[round_index].append(pace * parts[part])
        for round_index, ending in enumerate(ends):
            # A worker that runs more than its capacity, which was lowered, frees no place first.
            kept = sorted(ending)[max(0, len(ending) - places) :]
            rounds[round_index] += kept + [0.0] * (places - len(kept))
    return rounds


def _pace(load: Load) -> float | None:
    """Return the seconds per token; None if nothing was measured."""
    recent = [(tokens, seconds) for tokens, seconds, _ in load.recent if tokens > 0 and seconds > 0]
    measured = [(seconds / tokens, tokens) for tokens, seconds in recent[-PACE_RECENT:]]
    for running in load.running:
        tokens = running.tokens - running.resumed
        if tokens > 0 and running.seconds > 0:
            measured.append((running.seconds / tokens, tokens))
    if not measured:
        return None
    measured.sort()
    whole = sum(tokens for _, tokens in measured)
    low, high = TRIMMED * whole, (1 - TRIMMED) * whole
    reached, kept, pace_sum = 0.0, 0.0, 0.0
    for pace, tokens in measured:
        inside = max(0.0, min(reached + tokens, high) - max(reached, low))
        reached += tokens
        kept += inside
        pace_sum += pace * inside
    return pace_sum / kept


_DEALS = [
    tuple((start + stride * round_index) % ROUNDS for round_index in range(ROUNDS))
    for stride in range(1, ROUNDS)
    for start in range(ROUNDS)
]
"""Orders in which the parts of a distribution are assigned to the rounds: each part once, and two
responses with different strides have all combinations of parts (Latin hypercube sampling)."""


def _deal(response_id: str) -> tuple[int, ...]:
    """Return a response's deal, always the same one, so that its forecasts do not jitter."""
    return _DEALS[zlib.crc32(response_id.encode()) % len(_DEALS)]
