"""The time to the first token of a conversation's second turn, whose first turn is in the cache."""

from __future__ import annotations

import asyncio
import itertools

from benchmarks.numbers import median, ratio
from benchmarks.options import Options, say
from benchmarks.prompts import prompt_of
from benchmarks.report import Section, Table
from benchmarks.systems.base import Stream
from benchmarks.systems.served import Served, ask

HISTORY_WORDS = 1700
"""About 2,000 tokens of the default model with the answer."""

TURN_WORDS = 60


def measure(options: Options) -> Section:
    """Measure first turns, second turns and fresh prompts; return the section."""
    section = Section("history", "A second turn on a history of 2,000 tokens")
    found: dict[str, list[Stream]] = {"history": [], "second turn": [], "fresh": []}
    seeds = itertools.count(20_000)
    with Served(options, 4) as server:
        server.answer([prompt_of(60, next(seeds))], 8)
        for repetition in range(2 if options.quick else max(5, options.repeat)):
            say(f"repetition {repetition + 1}")
            for name, stream in asyncio.run(one_round(server, seeds)).items():
                if not stream.moments or stream.status not in ("completed", "incomplete"):
                    raise RuntimeError(f"The answer ({name}) ended as {stream.status}.")
                found[name].append(stream)
    table = Table(["", "TTFT p50, ms", "longest, ms", "tokens of the prompt"])
    for name, streams in found.items():
        ttfts = [1000 * stream.ttft for stream in streams]
        length = int(median([stream.prompt_tokens for stream in streams]))
        table.add(name, median(ttfts), max(ttfts), length)
    section.tables.append(table)
    second, fresh = (median([s.ttft for s in found[name]]) for name in ("second turn", "fresh"))
    section.figures = {"ratio": ratio(second, fresh), "second_ttft": second, "fresh_ttft": fresh}
    section.notes.append(f"Second turn / fresh prompt of the same words: {second / fresh:.2f}.")
    return section


async def one_round(server: Served, seeds: itertools.count[int]) -> dict[str, Stream]:
    """Ask a long first turn, a second one, and a fresh prompt of the second one's length."""
    socket = await server.open()
    try:
        long = prompt_of(HISTORY_WORDS, next(seeds))
        history = await ask(socket, long, {"max_tokens": 48, "temperature": 0})
        params = {"max_tokens": 8, "temperature": 0}
        second = await ask(
            socket,
            prompt_of(TURN_WORDS, next(seeds)),
            params,
            conversation_id=history.conversation,
        )
        fresh = await ask(socket, prompt_of(TURN_WORDS, next(seeds)), params)
        return {"history": history, "second turn": second, "fresh": fresh}
    finally:
        await socket.close()
