"""Answers of another server passed on to many readers: how often each reader sees an update, and
how much of the worker's CPU a token takes. Two kinds in turns: updates as they are before another
server, and bundled as for an engine on the same cores."""

from __future__ import annotations

from dataclasses import dataclass, field

import psutil

from benchmarks.numbers import median, percentile
from benchmarks.options import Options, say
from benchmarks.prompts import prompt_of
from benchmarks.report import Section, Table
from benchmarks.systems.base import Stream
from benchmarks.systems.forwarded import Forwarded, PacedServer

STREAMS = 64
TOKENS_A_SECOND = 50.0
KINDS = {"passed on": False, "bundled": True}


@dataclass
class Found:
    """All repetitions of one kind: seconds between updates, and seconds of the worker's CPU for
    each token."""

    gaps: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)


def measure(options: Options) -> Section:
    """Measure both kinds in turns; return the section."""
    tokens = 200 if options.quick else 500
    section = Section(
        "forwarding", f"{STREAMS} answers of another server at {TOKENS_A_SECOND:g} tokens/s each"
    )
    found = {kind: Found() for kind in KINDS}
    with PacedServer(TOKENS_A_SECOND) as server:
        for repetition in range(options.repeat):
            for kind, bundled in KINDS.items():
                say(f"{kind}, repetition {repetition + 1}")
                with Forwarded(options, STREAMS, server.url, bundled=bundled) as front:
                    add_round(found[kind], front, tokens, repetition)
    section.tables.append(table_of(found, section))
    section.notes.append(
        "A worker in a process of its own, Valkey between it and one web process; readers on "
        "WebSockets. The first and the last second of each answer do not count."
    )
    return section


def add_round(
    found: Found, front: Forwarded, tokens: int, repetition: int, count: int = STREAMS
) -> None:
    """Ask `count` prompts once, and add the gaps and the worker's CPU time."""
    prompts = [prompt_of(20, 1000 * repetition + number) for number in range(count)]
    front.answer(prompts[:2], 20)
    process = psutil.Process(front.worker_pid)
    before = process.cpu_times()
    streams = front.answer(prompts, tokens)
    used = process.cpu_times()
    found.cpu.append((used.user + used.system - before.user - before.system) / (count * tokens))
    found.gaps += steady_gaps(streams)


def steady_gaps(streams: list[Stream], edge: float = 1.0) -> list[float]:
    """Return the seconds between updates of all answers, without each one's first and last
    second."""
    gaps = []
    for stream in streams:
        if stream.moments:
            first, last = stream.moments[0] + edge, stream.moments[-1] - edge
            pairs = zip(stream.moments, stream.moments[1:], strict=False)
            gaps += [later - earlier for earlier, later in pairs if first <= earlier < last]
    return gaps


def table_of(found: dict[str, Found], section: Section) -> Table:
    """Return the table, and add the figures to the section."""
    table = Table(
        ["", "between updates, median, ms", "p95, ms", "p99, ms", "worker's CPU a token, ms"]
    )
    for kind, each in found.items():
        gaps = [median(each.gaps), percentile(each.gaps, 95), percentile(each.gaps, 99)]
        milliseconds = [1000 * gap for gap in gaps]
        cpu = 1000 * median(each.cpu)
        table.add(kind, *milliseconds, cpu)
        name = kind.replace(" ", "_")
        section.figures[f"{name}_gap_p95"] = milliseconds[1]
        section.figures[f"{name}_gap_p99"] = milliseconds[2]
        section.figures[f"{name}_gap_median"] = milliseconds[0]
        section.figures[f"{name}_cpu"] = cpu
    return table
