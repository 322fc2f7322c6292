"""Poisson arrivals: prompts come at a rate, whatever the server's state (open loop)."""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import dataclass, field

from benchmarks.numbers import median, percentile
from benchmarks.options import Options, say
from benchmarks.prompts import turns
from benchmarks.report import Chart, Section, Table
from benchmarks.systems.base import Stream
from benchmarks.systems.served import Served, ask

RUNNING, WAITING = 16, 48
MAX_TOKENS = 128
GOOD_TTFT, GOOD_TPOT = 5.0, 0.2
"""Seconds. An answer with at most these counts for the goodput: nobody reads faster than five
tokens a second for long."""

LONG_WAIT = 5.0
"""Seconds. The ETAs of shorter waits are not judged."""

REFUSED = ("queue_full", "user_limit", "address_limit", "unavailable", "queue_closed")


@dataclass
class Outcome:
    """What became of the prompts that came at one rate (a second), within `seconds`. `load` is the
    share of the capacity."""

    load: float
    rate: float
    seconds: float = 0.0
    streams: list[Stream] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    @property
    def ended(self) -> list[Stream]:
        """Return the answers that came to an end of their own."""
        return [s for s in self.streams if s.status in ("completed", "incomplete")]

    @property
    def good(self) -> list[Stream]:
        """Return those of them that count for the goodput."""
        return [s for s in self.ended if s.ttft <= GOOD_TTFT and not s.tpot > GOOD_TPOT]

    @property
    def eta_errors(self) -> list[float]:
        """Return |ETA - wait| / wait of the answers that had an ETA and waited long."""
        found = []
        for stream in self.ended:
            wait = stream.queue_seconds
            if stream.eta is not None and wait >= LONG_WAIT:
                found.append(abs(stream.eta - wait) / wait)
        return found


def measure(options: Options) -> Section:
    """Measure the capacity, then arrivals at several shares of it; return the section."""
    prompts = [conversation[0] for conversation in turns(options.prompts)]
    random.Random(7).shuffle(prompts)
    loads = (0.5, 1.2) if options.quick else (0.5, 0.8, 1.0, 1.3)
    seconds = 12.0 if options.quick else 50.0
    limits = {"CHATSTREAM_MAX_WAITING": str(WAITING)}
    with Served(options, RUNNING, **limits) as server:
        say("how many answers it makes with all places taken")
        capacity = asyncio.run(answers_per_second(server, prompts, 1 if options.quick else 3))
        outcomes = []
        for load in loads:
            outcome = Outcome(load, load * capacity)
            say(f"{load:.0%} of {capacity:.2f} answers a second")
            asyncio.run(arrive(server, prompts, outcome, seconds, random.Random(int(100 * load))))
            outcomes.append(outcome)
    return report(outcomes, capacity, str(options.prompts.name if options.prompts else "ours"))


async def answers_per_second(server: Served, prompts: list[str], times: int) -> float:
    """Return the answers a second in a closed loop of RUNNING readers who ask `times` times
    each."""
    began = time.perf_counter()

    async def reader(number: int) -> list[Stream]:
        return [
            await visit(server, prompts[(times * number + turn) % len(prompts)], number)
            for turn in range(times)
        ]

    found = await asyncio.gather(*(reader(number) for number in range(RUNNING)))
    ended = [s for streams in found for s in streams if s.status in ("completed", "incomplete")]
    if not ended:
        raise RuntimeError(f"No prompt was answered: {found[0][0].status}.")
    return len(ended) / (time.perf_counter() - began)


async def visit(server: Served, prompt: str, seed: int) -> Stream:
    """Open a socket, ask one prompt, and return its answer."""
    socket = await server.open()
    try:
        return await ask(socket, prompt, {"max_tokens": MAX_TOKENS, "seed": seed})
    finally:
        await socket.close()


async def arrive(
    server: Served, prompts: list[str], outcome: Outcome, seconds: float, chance: random.Random
) -> None:
    """Send prompts for so many seconds, then wait for all answers."""
    began = due = time.perf_counter()
    tasks: list[asyncio.Task[Stream]] = []
    while (due := due + chance.expovariate(outcome.rate)) < began + seconds:
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        prompt = prompts[len(tasks) % len(prompts)]
        tasks.append(asyncio.create_task(visit(server, prompt, len(tasks))))
    for found in await asyncio.gather(*tasks, return_exceptions=True):
        if isinstance(found, Stream):
            outcome.streams.append(found)
        else:
            outcome.faults.append(f"{type(found).__name__}: {found}")
    outcome.seconds = time.perf_counter() - began


def report(outcomes: list[Outcome], capacity: float, source: str) -> Section:
    """Return the section of what was measured; `source` names the prompts."""
    section = Section("poisson", f"Poisson arrivals, {RUNNING} places, {WAITING} may wait")
    table = Table(
        ["load", "prompts/s", "sent", "answered", "refused", "failed", "answers/s", "goodput/s",
         "TTFT p50, s", "p95, s", "p99, s", "between texts p50, ms", "p99, ms", "E2E p50, s",
         "p99, s", "ETA error p50, %"],
        title=f"Prompts: {source}; at most {MAX_TOKENS} tokens each",
    )  # fmt: skip
    ttft_lines: dict[str, list[tuple[float, float]]] = {"p50": [], "p95": [], "p99": []}
    for outcome in outcomes:
        ended = outcome.ended
        ttfts = [stream.ttft for stream in ended if stream.moments]
        between = [1000 * gap for stream in ended for gap in stream.itl]
        whole = [stream.e2e for stream in ended]
        refused = sum(stream.status in REFUSED for stream in outcome.streams)
        failed = len(outcome.streams) - len(ended) - refused + len(outcome.faults)
        table.add(
            f"{outcome.load:.0%}", outcome.rate, len(outcome.streams) + len(outcome.faults),
            len(ended), refused, failed, len(ended) / outcome.seconds,
            len(outcome.good) / outcome.seconds, median(ttfts), percentile(ttfts, 95),
            percentile(ttfts, 99), percentile(between, 50), percentile(between, 99),
            median(whole), percentile(whole, 99), 100 * median(outcome.eta_errors),
        )  # fmt: skip
        for name, percent in (("p50", 50), ("p95", 95), ("p99", 99)):
            ttft_lines[name].append((100 * outcome.load, percentile(ttfts, percent)))
        section.figures[f"ttft_p99_{outcome.load:g}"] = percentile(ttfts, 99)
        section.figures[f"goodput_{outcome.load:g}"] = len(outcome.good) / outcome.seconds
        section.notes += sorted(set(outcome.faults))[:3]
    section.figures["capacity"] = capacity
    section.tables.append(table)
    section.notes.append(
        f"Capacity: {capacity:.2f} answers a second in a closed loop. Good: the first token within "
        f"{GOOD_TTFT:g} s, then one every {1000 * GOOD_TPOT:g} ms on average. ETA error: of those "
        f"that waited {LONG_WAIT:g} s and more."
    )
    section.charts.append(
        Chart("poisson", "Time to first token", "load, % of capacity", "s", ttft_lines)
    )
    return section
