"""Single steps of the bare engine, beside the least that they could take."""

from __future__ import annotations

import itertools
import random
import time
from collections import defaultdict

from benchmarks.bare import BareEngine, ModelShape
from benchmarks.numbers import median, ratio
from benchmarks.options import Options, say
from benchmarks.parts.machine import rates_now
from benchmarks.report import Chart, Section, Table


def measure(options: Options) -> Section:
    """Measure decode steps and prefill beside their floors; return the section."""
    rows_measured = (1, 8, 16) if options.quick else (1, 4, 8, 16, 32)
    contexts = (64, 512) if options.quick else (64, 512, 2048)
    steps = 8 if options.quick else 16
    shape = ModelShape.of(options.model)
    engine = BareEngine(options.model, options.dtype, max(rows_measured), max(contexts) + steps + 2)
    section = Section("steps", "Steps of the bare engine")
    prefill(engine, shape, max(rows_measured), max(contexts), section)
    times: dict[tuple[int, int], list[float]] = defaultdict(list)
    floors: dict[tuple[int, int], list[float]] = defaultdict(list)
    cells = list(itertools.product(contexts, rows_measured))
    rates = [rates_now(shape)]
    for repetition in range(max(2, options.repeat)):
        say(f"decode steps, repetition {repetition + 1}")
        for context, rows in cells:
            times[context, rows].append(median(decode(engine, rows, context, steps)))
            rates.append(rates_now(shape))
            read, rate = map(max, rates[-2], rates[-1])
            floors[context, rows].append(shape.step_floor(rows, context, read, rate))
    read, rate = map(median, zip(*rates, strict=True))
    table = Table(
        ["rows", "context, tokens", "step, ms", "tokens/s", "floor, ms", "step / floor"],
        title=f"Decode, our format {engine.format}; the floor reads bfloat16 weights and the live "
        f"keys and values, at {read / 1e9:.0f} GB/s in the middle, or multiplies, at "
        f"{rate / 1e9:.0f} GFLOP/s",
    )
    lines: dict[str, list[tuple[float, float]]] = {}
    for cell in cells:
        context, rows = cell
        step, floor = median(times[cell]), median(floors[cell])
        times_floor = median([ratio(*pair) for pair in zip(times[cell], floors[cell], strict=True)])
        table.add(rows, context, 1000 * step, rows / step, 1000 * floor, times_floor)
        section.figures[f"step_ms_{rows}_{context}"] = 1000 * step
        section.figures[f"floor_ratio_{rows}_{context}"] = times_floor
        lines.setdefault(f"{context} tokens", []).append((rows, 1000 * step))
        lines.setdefault(f"floor, {context} tokens", []).append((rows, 1000 * floor))
    section.tables.insert(0, table)
    section.charts.append(
        Chart("steps", "A decode step", "rows", "ms", dict(sorted(lines.items())), log_x=True)
    )
    return section


def prefill(
    engine: BareEngine, shape: ModelShape, rows: int, context: int, section: Section
) -> None:
    """Fill every row, and tell the rate by the length of what is read at once."""
    chance = random.Random(1)
    table = Table(
        ["tokens at once", "prompt, tokens", "tokens/s", "floor, tokens/s", "floor / ours"]
    )
    table.title = "Prefill of one prompt; the floor is the arithmetic"
    say(f"prefill of {rows} rows, {context} tokens each")
    engine.read(0, [chance.randrange(50, 1000) for _ in range(64)])  # the first pass sets up much
    chunks = itertools.cycle((128, 256, 512))
    took: dict[int, list[float]] = {}
    _, rate = rates_now(shape)
    for row in range(rows):
        chunk = next(chunks)
        tokens = [chance.randrange(50, 1000) for _ in range(context)]
        began = time.perf_counter()
        engine.read(row, tokens, chunk).argmax().item()
        took.setdefault(chunk, []).append(time.perf_counter() - began)
    for chunk, seconds in sorted(took.items()):
        ours = context / median(seconds)
        floor = context * rate / shape.operations(context, context / 2)
        table.add(chunk, context, ours, floor, ratio(floor, ours))
        section.figures[f"prefill_{chunk}"] = ours
    section.tables.append(table)


def decode(engine: BareEngine, rows: int, context: int, steps: int) -> list[float]:
    """Seconds of each step of rows that hold `context` tokens: the pass and the choice of the
    most likely token. The first of them is left out."""
    times = []
    for step in range(steps + 1):
        began = time.perf_counter()
        engine.step([100 + step] * rows, [context + step - 1] * rows).argmax(-1).tolist()
        times.append(time.perf_counter() - began)
    return times[1:]
