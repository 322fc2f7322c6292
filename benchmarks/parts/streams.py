"""N answers at once: the whole path through WebSockets, the raw engine, and peers, interleaved."""

from __future__ import annotations

import contextlib
import itertools
from collections import defaultdict
from collections.abc import Iterator

from benchmarks.numbers import median, percentile, ratio
from benchmarks.options import Options, say
from benchmarks.prompts import prompt_of
from benchmarks.report import Chart, Section, Table
from benchmarks.systems.base import Stream, System, tokens_per_second

MAX_TOKENS = 64
SHORT, LONG = 200, 1500
"""Words of a prompt."""

Runs = dict[tuple[str, int, int], list[list[Stream]]]
"""By system, words and streams: the answers of each repetition."""

Ratios = dict[tuple[str, int, int], list[float]]
"""Our tokens a second divided by a system's, which was asked just before or after us."""


def plan(options: Options) -> list[tuple[int, int, set[str], int]]:
    """Return the cells: words, streams, who answers, repetitions. Systems that take minutes for a
    cell answer only where they are compared."""
    every = {"served", "raw", "transformers", "seed", "peer"}
    if options.streams:
        few = {"served", "raw", "transformers"}
        return [(SHORT, count, few, options.repeat) for count in options.streams]
    if options.quick:
        cells = [(SHORT, n, every, options.repeat) for n in (1, 8)]
        return [*cells, (SHORT, 16, every - {"seed"}, options.repeat), (LONG, 1, {"served"}, 1)]
    ours = {"served", "raw", "peer"}
    by_streams = {1: every, 4: ours, 8: every, 16: every | {"one_each"}, 32: ours}
    long = {1: ours | {"transformers"}, 4: {"served", "transformers", "peer"}, 8: ours,
            16: {"served", "peer"}, 32: {"served", "peer"}}  # fmt: skip
    return [
        *((SHORT, n, who, options.repeat) for n, who in by_streams.items()),
        # Six times as often, since their ratio is near 1.
        *((SHORT, n, {"served", "raw"}, options.repeat) for n in (8, 16, 32) * 5),
        *((LONG, n, who, max(1, options.repeat // 3)) for n, who in long.items()),
    ]


@contextlib.contextmanager
def systems(options: Options, rows: int) -> Iterator[dict[str, System]]:
    """Yield all systems that can be had, each in a process of its own; each rests while another one
    answers."""
    from benchmarks.systems.apart import Apart
    from benchmarks.systems.one_each import OneEach
    from benchmarks.systems.openai_server import OpenAIServer
    from benchmarks.systems.ours import RawEngine, SeedsWay
    from benchmarks.systems.served import Served
    from benchmarks.systems.transformers_batching import TransformersBatching

    found: dict[str, System] = {
        "served": Served(options, rows),
        "raw": Apart(RawEngine, options, rows),
        "transformers": Apart(TransformersBatching, options, as_torch_is=True),
        "seed": Apart(SeedsWay, options, min(rows, 16), 1024),
        "one_each": Apart(OneEach, options, as_torch_is=True),
    }
    if options.streams:
        found = {key: found[key] for key in ("served", "raw", "transformers")}
    elif options.peer_url:
        found["peer"] = OpenAIServer(options.peer_url, options.peer_model)
    with contextlib.ExitStack() as stack:
        for name, system in found.items():
            say(f"loading {name}")
            stack.enter_context(system)
        yield found


def measure(options: Options) -> Section:
    """Measure all systems in turns, cell by cell; return the section."""
    cells = plan(options)
    rows = max(count for _, count, _, _ in cells)
    runs: Runs = defaultdict(list)
    paired: Ratios = defaultdict(list)
    section = Section("streams", f"Streams: {MAX_TOKENS} tokens each, greedy, all sent at once")
    with systems(options, rows) as found:
        names = {key: system.name for key, system in found.items()}
        for system in found.values():
            system.answer([prompt_of(60, 0)], 8)
        seeds = itertools.count(1)
        for repetition in range(max(times for *_, times in cells)):
            for words, count, who, times in cells:
                if repetition >= times:
                    continue
                speeds: dict[str, float] = {}
                asked = [key for key in found if key in who]
                is_odd = len(paired[asked[0], words, count]) % 2
                prompts = [prompt_of(words, next(seeds)) for _ in range(count)]
                for key in reversed(asked) if is_odd else asked:
                    answers = found[key].answer(prompts, MAX_TOKENS)
                    runs[key, words, count].append(answers)
                    speeds[key] = tokens_per_second(answers)
                    say(f"{words} words, {count} streams, {names[key]}: {speeds[key]:.0f} tokens/s")
                for key in asked:
                    paired[key, words, count].append(ratio(speeds["served"], speeds[key]))
    for words in (SHORT, LONG):
        section.tables.append(side_by_side(runs, paired, words, names, section))
    section.tables.append(latencies(runs, names))
    section.charts += [chart(runs, words, names) for words in (SHORT, LONG)]
    return section


def speed(runs: Runs, key: str, words: int, count: int) -> float:
    """Return the median of a system's tokens a second."""
    return median([tokens_per_second(answers) for answers in runs.get((key, words, count), [])])


def side_by_side(
    runs: Runs, paired: Ratios, words: int, names: dict[str, str], section: Section
) -> Table:
    """Return the table of ratios and tokens a second, and add the figures to the section."""
    others = [key for key in names if key != "served"]
    table = Table(
        ["streams", *(f"ours / {names[key]}" for key in others),
         *(f"{names[key]}, tokens/s" for key in names)],
        title=f"Prompts of {words:,} words: total tokens/s, medians",
    )  # fmt: skip
    for count in sorted({count for _, each, count in runs if each == words}):
        speeds = {key: speed(runs, key, words, count) for key in names}
        ratios = {key: median(paired.get((key, words, count), [])) for key in others}
        table.add(count, *ratios.values(), *speeds.values())
        if words == SHORT:
            section.figures[f"tokens_per_second_{count}"] = speeds["served"]
            section.figures[f"delivered_{count}"] = ratios["raw"]
            for key in others:
                section.figures[f"ratio_{key}_{count}"] = ratios[key]
        else:
            section.figures[f"long_tokens_per_second_{count}"] = speeds["served"]
    return table


def latencies(runs: Runs, names: dict[str, str]) -> Table:
    """Return the table of what a reader sees."""
    table = Table(
        ["", "words", "streams", "TTFT p50, ms", "TTFT max, ms", "between texts p50, ms",
         "p99, ms", "a token p50, ms", "queue p50, ms", "tokens of a prompt", "of an answer"],
        title="What a reader sees",
    )  # fmt: skip
    for (key, words, count), repetitions in sorted(runs.items(), key=lambda each: each[0][1:]):
        streams = [stream for answers in repetitions for stream in answers]
        between = [1000 * gap for stream in streams for gap in stream.itl]
        first = [1000 * stream.ttft for stream in streams]
        table.add(
            names[key], words, count, median(first), max(first),
            percentile(between, 50), percentile(between, 99),
            median([1000 * stream.tpot for stream in streams]),
            median([1000 * stream.queue_seconds for stream in streams]),
            int(median([stream.prompt_tokens for stream in streams])),
            sum(stream.tokens for stream in streams) / len(streams),
        )  # fmt: skip
    return table


def chart(runs: Runs, words: int, names: dict[str, str]) -> Chart:
    """Return the chart of the systems' tokens a second by the number of streams."""
    lines: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for key, each, count in runs:
        if each == words:
            lines[names[key][:24]].append((count, speed(runs, key, words, count)))
    title = f"Total tokens/s, prompts of {words:,} words"
    return Chart(f"streams-{words}", title, "streams", "tokens/s", dict(lines), log_x=True)
