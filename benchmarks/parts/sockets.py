"""A thousand sockets on one web process, whose embedded engine is fully loaded: the memory of an
idle one, whether each gets its answer, and how long the server takes to react meanwhile."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import psutil

from benchmarks.numbers import median, percentile
from benchmarks.options import Options, say
from benchmarks.probe import Lags, probing
from benchmarks.prompts import prompt_of
from benchmarks.report import Section, Table
from benchmarks.systems.served import Served
from benchmarks.waiting_client import Tally, WaitingClient, connect_all
from streaming.system.file_limit import raise_file_limit

RUNNING = 16
ANSWER_TOKENS = 8
LIMIT_SECONDS = 420
"""The most seconds for all answers together."""


def measure(options: Options) -> Section:
    """Measure idle and busy sockets; return the section."""
    count = 200 if options.quick else 1000
    section = Section("sockets", f"{count:,} sockets on one web process with its engine in it")
    raise_file_limit()
    with Served(options, RUNNING, CHATSTREAM_QUEUE_TIMEOUT="3600") as server:
        server.answer([prompt_of(30, 30_000)], 8)
        asyncio.run(fill(server, count, 3 if options.quick else 8, section))
    return section


async def fill(server: Served, count: int, seconds: float, section: Section) -> None:
    """Connect `count` clients, let them ask, and add tables and figures to the section. Each probe
    of the quiet server takes `seconds`."""
    process = psutil.Process(server.pid)
    tally = Tally()
    say("nobody there")
    quiet = await probing(server.url, seconds)
    before = process.memory_info().rss
    say(f"{count} connect")
    began = time.perf_counter()
    clients = await connect_all(server.url, count, tally)
    connected = time.perf_counter() - began
    await asyncio.sleep(1)
    idle = process.memory_info().rss
    idle_lags = await probing(server.url, seconds)
    say(f"{count} ask")
    cpu, starved = process.cpu_times(), without_core(server.pid)
    began = time.perf_counter()
    asking = asyncio.create_task(ask_all(clients))
    busy: list[Lags] = []
    waiting = idle
    while (passed := time.perf_counter() - began) < LIMIT_SECONDS:
        if asking.done() and all(c.answered or c.transport.is_closing() for c in clients):
            break
        lags = await probing(server.url, 5)
        if not all(client.answered for client in clients):
            busy.append(lags)  # the last one may have met an idle server
        waiting = max(waiting, process.memory_info().rss)
        say(f"{tally.done} of {count} answered")
    asking.cancel()
    used = process.cpu_times()
    table = Table(["", "value"])
    table.add("to connect them all, s", connected)
    table.add("memory of an idle socket, KiB", (idle - before) / count / 1024)
    table.add("memory at most of one that waits or reads, KiB", (waiting - before) / count / 1024)
    table.add("answered", sum(bool(client.answered) for client in clients))
    table.add("told a position", sum(client.told > 0 for client in clients))
    table.add("neither told nor answered", sum(not c.told and not c.answered for c in clients))
    table.add("connections lost", tally.lost)
    table.add("until all were answered, s", passed)
    table.add("messages a second", tally.messages / passed)
    table.add("processor, % of a core", 100 * (used.user + used.system - cpu.user - cpu.system)
              / passed)  # fmt: skip
    table.add("its event loop waited for a core, % of the time",
              100 * (without_core(server.pid) - starved) / passed)  # fmt: skip
    section.tables = [table, lag_table(quiet, idle_lags, busy)]
    pings, events = ([lag for lags in busy for lag in lags[way]] for way in ("pings", "events"))
    section.figures = {
        "idle_kib": (idle - before) / count / 1024,
        "answered_percent": 100 * tally.done / count,
        "lag_p99": max(percentile(pings, 99), percentile(events, 99)),
        "count": float(count),
    }
    if tally.failed:
        section.notes.append(f"Failed: {', '.join(sorted(set(tally.failed)))}.")
    for client in clients:
        client.transport.abort()


async def ask_all(clients: list[WaitingClient]) -> None:
    """Ask with all clients, twenty at a time with pauses: no faster than a server on a few cores
    can write the prompts down."""
    for number, client in enumerate(clients):
        client.ask(prompt_of(30, 31_000 + number), ANSWER_TOKENS)
        if number % 20 == 19:
            await asyncio.sleep(0.1)


def lag_table(quiet: Lags, idle: Lags, busy: list[Lags]) -> Table:
    """Return the table of how long the server took to react, in milliseconds."""
    table = Table(["", "p50, ms", "p99, ms", "longest, ms"])
    table.title = "From a client's frame to the server's answer"
    whole = {way: [lag for lags in busy for lag in lags[way]] for way in ("pings", "events")}
    for name, lags in (("nobody there", quiet), ("all idle", idle), ("engine flat out", whole)):
        for way, label in (("pings", "ping"), ("events", "event to error")):
            found = lags[way]
            longest = max(found, default=None)
            table.add(f"{label}, {name}", median(found), percentile(found, 99), longest)
    return table


def without_core(pid: int) -> float:
    """Seconds that a process's first thread was ready to run and had no core; 0 if unknown."""
    try:
        return int(Path(f"/proc/{pid}/schedstat").read_text().split()[1]) / 1e9
    except OSError:
        return 0.0
