"""What readers notice while somebody else's long prompt is being read."""

from __future__ import annotations

import asyncio
import itertools

from benchmarks.numbers import median, percentile, ratio
from benchmarks.options import Options, say
from benchmarks.prompts import prompt_of
from benchmarks.report import Section, Table
from benchmarks.systems.base import Stream
from benchmarks.systems.served import Served, ask

READERS = 8
LONG_WORDS = 3480
"""About 4,000 tokens of the default model."""

STEADY_TEXTS = 12
"""Texts that every reader has had before the long prompt is sent."""


def measure(options: Options) -> Section:
    """Measure the gaps between readers' texts before and while a long prompt is read; return the
    section."""
    section = Section("interference", "Others, while a prompt of 4,000 tokens is read")
    quiet: list[float] = []
    busy: list[float] = []
    firsts: list[float] = []
    lengths: list[int] = []
    seeds = itertools.count(10_000)
    settings = {"CHATSTREAM_CONTEXT_TOKENS": "6144", "CHATSTREAM_MAX_INPUT_CHARS": "100000"}
    with Served(options, READERS + 1, **settings) as server:
        server.answer([prompt_of(60, next(seeds))], 8)
        for repetition in range(options.repeat):
            say(f"repetition {repetition + 1}")
            readers, long = asyncio.run(one_round(server, seeds))
            if not long.moments or long.status not in ("completed", "incomplete"):
                raise RuntimeError(f"The long prompt ended as {long.status}.")
            firsts.append(long.ttft)
            lengths.append(long.prompt_tokens)
            for reader in readers:
                for earlier, later in itertools.pairwise(reader.moments[1:]):
                    if later <= long.sent:
                        quiet.append(1000 * (later - earlier))
                    elif earlier < long.moments[0]:
                        busy.append(1000 * (later - earlier))
    table = Table(["", "before", "while it is read"])
    table.title = f"Between texts of {READERS} readers, ms"
    table.add("p50", median(quiet), median(busy))
    table.add("p99", percentile(quiet, 99), percentile(busy, 99))
    table.add("longest", max(quiet, default=None), max(busy, default=None))
    section.tables.append(table)
    section.figures = {
        "p99_by_median": ratio(percentile(busy, 99), median(quiet)),
        "p99_by_busy_median": ratio(percentile(busy, 99), median(busy)),
        "long_prompt_tokens": median(lengths),
        "long_prompt_ttft": median(firsts),
    }
    section.notes.append(
        f"The long prompt had {median(lengths):,.0f} tokens and its first token came after "
        f"{median(firsts):.1f} s. p99 while it is read is "
        f"{section.figures['p99_by_median']:.1f} times the median before, and "
        f"{section.figures['p99_by_busy_median']:.1f} times the median of the same time."
    )
    return section


async def one_round(server: Served, seeds: itertools.count[int]) -> tuple[list[Stream], Stream]:
    """Return the readers' answers, and the one to the long prompt, which is sent once all of them
    read."""
    sockets = [await server.open() for _ in range(READERS + 1)]
    try:
        steady = [asyncio.Event() for _ in range(READERS)]
        params = {"max_tokens": 320, "temperature": 0}
        tasks = [
            asyncio.create_task(
                ask(socket, prompt_of(40, next(seeds)), params, event.set, after=STEADY_TEXTS)
            )
            for socket, event in zip(sockets, steady, strict=False)
        ]
        # An answer that ends early must not be waited for.
        await asyncio.gather(*map(first_of, steady, tasks))
        long = await ask(sockets[-1], prompt_of(LONG_WORDS, next(seeds)), {"max_tokens": 4})
        return await asyncio.gather(*tasks), long
    finally:
        await asyncio.gather(*(socket.close() for socket in sockets))


async def first_of(event: asyncio.Event, task: asyncio.Task[Stream]) -> None:
    """Wait until the event is set or the task is done."""
    waiting = asyncio.create_task(event.wait())
    await asyncio.wait([waiting, task], return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
