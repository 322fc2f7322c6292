"""A crowd that arrives on one web process with its engine in it: 5,000 sockets, 400 a second, each
with a prompt. Measured are what becomes of each, how long it takes, and whether the process still
answers others meanwhile.

The server has its default settings: most prompts find the waiting list full, and are told so.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections import Counter
from urllib.parse import urlsplit

import psutil

from benchmarks.arriving_client import RESET, SILENT, ArrivingClient, arrive, leave
from benchmarks.numbers import median, percentile
from benchmarks.options import Options, say
from benchmarks.prompts import prompt_of
from benchmarks.report import Section, Table
from benchmarks.systems.served import Served
from streaming.system.file_limit import raise_file_limit

RATE = 400.0
"""Arrivals a second."""

EACH = 20
"""Sockets of one address; the clients have loopback addresses of their own where there are some."""

ANSWER_TOKENS = 32
PATIENCE_SECONDS = 60.0
HEALTH_LIMIT_SECONDS = 1800

DEFAULTS = {
    "CHATSTREAM_MAX_WAITING": "",
    "CHATSTREAM_MAX_PER_ADDRESS": "",
    "CHATSTREAM_MAX_SOCKETS": "",
    "CHATSTREAM_MAX_CONNECTIONS_PER_ADDRESS": "",
}
"""Empty for the default, where a benchmark's server otherwise has no bound. With one address for
all clients these bounds alone would be measured."""


def measure(options: Options) -> Section:
    """Measure one crowd; return the section."""
    count = 500 if options.quick else 5000
    title = f"{count:,} sockets that arrive at {RATE:.0f} a second, with a prompt each"
    section = Section("arrivals", title)
    raise_file_limit()
    own = DEFAULTS if sys.platform == "linux" else {}
    with Served(options, 4, **own) as server:
        server.answer([prompt_of(30, 40_000)], 8)
        gather(server, count, EACH if own else 0, section)
    return section


def gather(server: Served, count: int, each: int, section: Section) -> None:
    """Let `count` clients arrive, `each` of them from an address (0: all from one), and add tables
    and figures to the section."""
    process = psutil.Process(server.pid)
    parts = urlsplit(server.url)
    health = subprocess.Popen(
        [
            *(sys.executable, "-m", "benchmarks.health"),
            *(f"http://{parts.hostname}:{parts.port}", str(HEALTH_LIMIT_SECONDS)),
        ],
        stdout=subprocess.PIPE,
    )
    try:
        before, cpu = process.memory_info().rss, process.cpu_times()
        say(f"{count} arrive")
        began = time.perf_counter()
        clients = asyncio.run(crowd(server.url, count, each, health))
        took = max(client.told for client in clients) - began
        grown, used = process.memory_info().rss - before, process.cpu_times()
        say(f"all knew what became of them after {took:.0f} s")
    finally:
        health.terminate()
        answers = json.loads(health.communicate()[0])
    outcomes = Counter(client.outcome for client in clients)
    lost = outcomes[RESET] + outcomes[SILENT]
    table = Table(["", "value"])
    for outcome, number in outcomes.most_common():
        table.add(outcome, number)
    table.add("reset, or told nothing", lost)
    table.add("until all knew, s", took)
    table.add("/healthz asked", len(answers["took"]) + answers["unanswered"])
    table.add("not answered", answers["unanswered"])
    table.add("processor, % of a core", 100 * (used.user + used.system - cpu.user - cpu.system)
              / took)  # fmt: skip
    table.add("memory, MiB more", grown / 2**20)
    section.tables = [table, waits(clients, answers["took"])]
    section.figures = {
        "lost": float(lost),
        "accepted": float(outcomes["accepted"]),
        "health_p99": percentile(answers["took"], 99),
        "count": float(count),
    }


async def crowd(
    url: str, count: int, each: int, health: subprocess.Popen[bytes]
) -> list[ArrivingClient]:
    """Let them arrive, and leave when nobody looks at the server's health any more."""
    prompt = prompt_of(30, 41_000)
    clients = await arrive(
        url, count, RATE, prompt, ANSWER_TOKENS, each=each, patience=PATIENCE_SECONDS
    )
    health.terminate()
    await leave(clients)
    return clients


def waits(clients: list[ArrivingClient], health: list[float]) -> Table:
    """Return the table of how long clients waited; `health` has milliseconds."""
    table = Table(["", "p50, ms", "p99, ms", "longest, ms"])
    greeted = [1000 * (each.greeted - each.began) for each in clients if each.greeted]
    told = [1000 * (each.told - each.began) for each in clients]
    for name, found in (
        ("from arrival to greeting", greeted),
        ("from arrival to the word on the prompt", told),
        ("/healthz, each time on a connection of its own", health),
    ):
        table.add(name, median(found), percentile(found, 99), max(found, default=None))
    return table
