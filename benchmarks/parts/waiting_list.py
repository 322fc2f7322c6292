"""What the waiting list's operations cost as it grows, in memory and in a real Valkey."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from functools import partial
from types import SimpleNamespace
from typing import Any

from redis.exceptions import RedisError

from benchmarks.numbers import median, percentile, ratio
from benchmarks.options import Options, say
from benchmarks.report import Chart, Section, Table
from streaming.waiting_list.channel_layers import MemoryChannelLayer, RedisChannelLayer
from streaming.waiting_list.forecast import forecast
from streaming.waiting_list.interface import (
    AdmissionLimits,
    Claim,
    Entry,
    WaitingList,
    WorkerBeat,
    WorkerState,
)
from tests.support.valkey import Valkey

SIZES = (10, 100, 1_000, 10_000, 100_000)
ROOM = AdmissionLimits(max_waiting=10_000_000)
OPERATIONS = ("enqueue", "claim", "position", "withdraw", "snapshot")
DONE = '{"type":"response.completed"}'
_LEASE = 600.0
_TOGETHER = 64

Times = dict[str, list[float]]
"""Milliseconds of each call, by operation."""


class Line:
    """A waiting list that is filled up to a size and then used. Each owner has four entries."""

    def __init__(self, kept: WaitingList) -> None:
        self._list = kept
        self._chance = random.Random(3)
        self._made = 0
        self.waiting: list[str] = []
        self._at: dict[str, int] = {}  # where each stands in `waiting`

    async def open(self) -> None:
        """Announce a worker that may claim everything."""
        await self._list.heartbeat(WorkerBeat("w", 1_000_000, WorkerState.READY, _LEASE, {}))

    def entry(self) -> Entry:
        """Make a new entry."""
        self._made += 1
        return Entry(f"r{self._made}", f"user:{self._made // 4}", f"c{self._made}", "", 64)

    async def grow(self, size: int) -> None:
        """Enqueue entries until `size` wait."""
        while missing := size - len(self.waiting):
            entries = [self.entry() for _ in range(min(missing, _TOGETHER))]
            await asyncio.gather(*(self._list.enqueue(entry, ROOM) for entry in entries))
            for entry in entries:
                self.keep(entry.response_id)

    def keep(self, response_id: str) -> None:
        """Remember that a response waits."""
        self._at[response_id] = len(self.waiting)
        self.waiting.append(response_id)

    def forget(self, response_id: str) -> None:
        """Forget a response in constant time: a walk over all would empty the processor's
        caches."""
        at, last = self._at.pop(response_id), self.waiting.pop()
        if last != response_id:
            self.waiting[at], self._at[last] = last, at

    async def use(self, times: int, snapshots: int) -> Times:
        """Call each operation `times` times, one after the other; the size stays. Returns the
        times."""
        kept: Times = {name: [] for name in OPERATIONS}
        for _ in range(times):
            at = self._chance.randrange(len(self.waiting))
            await timed(kept["position"], partial(self._list.place, self.waiting[at]))
            entry = self.entry()
            await timed(kept["enqueue"], partial(self._list.enqueue, entry, ROOM))
            self.keep(entry.response_id)
            claim: Claim = await timed(kept["claim"], lambda: self._list.claim("w", _LEASE))
            await self._list.finish(claim.lease, DONE)
            self.forget(claim.entry.response_id)
            left = self.entry()
            await self._list.enqueue(left, ROOM)
            await timed(kept["withdraw"], partial(self._list.withdraw, left.response_id, DONE))
        for _ in range(snapshots):
            try:
                await timed(kept["snapshot"], self._list.snapshot)
            except (RedisError, TimeoutError):
                break
        return kept


async def timed(kept: list[float], call: Callable[[], Awaitable[Any]]) -> Any:
    """Await a call and add its milliseconds to `kept`. Returns its result."""
    began = time.perf_counter()
    answer = await call()
    kept.append(1000 * (time.perf_counter() - began))
    return answer


async def grow_and_use(layer: Any, sizes: tuple[int, ...], times: int) -> dict[int, Times]:
    """Use the layer's list at each size; return the times by size. The list is emptied in the
    end."""
    try:
        line = Line(layer.waiting_list)
        await line.open()
        found = {}
        for size in sizes:
            say(f"{size:,} waiting")
            await line.grow(size)
            await line.use(10, 1)
            found[size] = await line.use(times, 5)
        return found
    finally:
        await layer.flush()


def measure(options: Options) -> Section:
    """Measure both lists at each size; return the section."""
    sizes = SIZES
    times = 100 if options.quick else 300
    section = Section("waiting_list", "The waiting list")
    say("in memory")
    memory = asyncio.run(grow_and_use(MemoryChannelLayer(), sizes, times))
    say("in Valkey")
    server = Valkey().start()
    try:
        valkey = asyncio.run(grow_and_use(RedisChannelLayer(hosts=[server.url]), sizes, times))
    finally:
        server.stop()
    for name, title, found in (("memory", "In memory", memory), ("valkey", "In Valkey", valkey)):
        section.tables.append(table_of(title, name, found, section))
        lines = {
            operation: [(float(size), median(found[size][operation])) for size in sizes]
            for operation in OPERATIONS
        }
        section.charts.append(
            Chart(f"waiting-list-{name}", f"{title}: p50", "waiting", "ms", lines, True, True)
        )
    section.tables.append(forecasts())
    return section


def table_of(title: str, name: str, found: dict[int, Times], section: Section) -> Table:
    """Return the table of one list. The ratio is that of the medians: the largest size's to that of
    100."""
    least, most = 100, max(found)
    columns = ["", *(f"{size:,}" for size in found), f"{most:,} / {least}"]
    table = Table(columns, title=f"{title}: p50 / p95, ms, by the number that wait")
    for operation in OPERATIONS:
        cells = [each[operation] for each in found.values()]
        shown = [
            f"{median(cell):.3f} / {percentile(cell, 95):.3f}" if cell else "–" for cell in cells
        ]
        grown = ratio(median(found[most][operation]), median(found[least][operation]))
        table.add(operation, *shown, grown)
        section.figures[f"{name}_{operation}_ratio"] = grown
        section.figures[f"{name}_{operation}_p95"] = percentile(found[most][operation], 95)
    return table


def forecasts() -> Table:
    """Return the table of what one forecast for a long queue costs."""
    chance = random.Random(0)
    running = [
        SimpleNamespace(
            response_id=f"r{n}", worker_id="w", tokens=40 * n, max_tokens=1024, seconds=n, resumed=0
        )
        for n in range(8)
    ]
    recent = [(chance.randint(1, 400), 5.0, 1024) for _ in range(128)]
    table = Table(["limits of tokens", "p50, ms", "longest, ms"])
    table.title = "An ETA's forecast: 1,000 wait for 8 places"
    for name, limits in (("all the same", [1024] * 1000), ("all different", range(100, 1100))):
        load: Any = SimpleNamespace(
            running=running,
            waiting=[(f"w{n}", limit) for n, limit in enumerate(limits)],
            capacities={"w": 8},
            recent=recent,
        )
        took = []
        for _ in range(50):
            began = time.perf_counter()
            forecast(load)
            took.append(1000 * (time.perf_counter() - began))
        table.add(name, median(took), max(took))
    return table
