"""Decode step time of our engine's runner beside transformers' own continuous batching.

    python benchmarks/engine_steps.py [--quick] [--dtype bfloat16] [--model ...]

Both run the default model in this one process, the repetitions interleaved so that a change in
the machine's load meets both. Printed are medians over all steps, their ratio, and resident
memory, as a Markdown table. transformers runs with compilation off (its level 1 is far slower
on a CPU) and with its fastest attention here; its time between tokens is its own record.
"""

from __future__ import annotations

import argparse
import itertools
import os
import statistics
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

# The engine's package sets how torch's threads wait, so it comes before torch.
from streaming.engine.local.runner import ModelRunner, choose_device, choose_dtype
from streaming.engine.model_store import ensure_model

import torch  # isort: skip

ROWS = (1, 8, 16)
CONTEXTS = (64, 512)


def resident_mb() -> float:
    """Resident memory of this process in MB (Linux), else NaN."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return float("nan")
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def our_steps(runner: ModelRunner, rows: int, context: int, steps: int) -> list[float]:
    """Milliseconds of each decode step after a prefill of `context` tokens per row."""
    with torch.inference_mode():
        for row in range(rows):
            for start in range(0, context, 128):
                count = min(128, context - start)
                runner.prefill(row, [(7 * row + at) % 1000 + 50 for at in range(count)], start)
        times = []
        for step in range(steps + 1):
            began = time.perf_counter()
            runner.decode([100 + step] * rows, [context + step] * rows).argmax(-1).tolist()
            times.append((time.perf_counter() - began) * 1000)
    return times[1:]


def their_steps(model: Any, rows: int, context: int, steps: int) -> list[float]:
    """Milliseconds between tokens once every request decodes, by transformers' own clock."""
    from transformers import GenerationConfig
    from transformers.generation.configuration_utils import ContinuousBatchingConfig

    generation = GenerationConfig(do_sample=False, eos_token_id=-1, max_new_tokens=steps + 2)
    batching = ContinuousBatchingConfig(
        default_compile_level=0,
        use_cuda_graph=False,
        max_batch_tokens=max(128, 64 * rows),
        num_blocks=rows * (context // 256 + 2) + 4,
        auto_switch_to_flash=False,
    )
    outputs = []
    with model.continuous_batching_context_manager(
        generation_config=generation, continuous_batching_config=batching, warmup=False
    ) as manager:
        for row in range(rows):
            tokens = [(7 * row + at) % 1000 + 50 for at in range(context)]
            # those that are read first wait for the last: give each room to go on meanwhile
            extra = steps + 2 + rows * context // (64 * rows) + rows
            manager.add_request(
                tokens, max_new_tokens=extra, record_timestamps=True, eos_token_id=-1
            )
        while len(outputs) < rows:
            result = manager.get_result(timeout=120)
            if result is None or result.error:
                raise RuntimeError(f"continuous batching failed: {result and result.error}")
            outputs.append(result)
    stamps = [output.timestamps for output in outputs]
    all_decode, one_ends = max(s[0] for s in stamps), min(s[-1] for s in stamps)
    inside = [at for at in stamps[0] if all_decode <= at <= one_ends]
    return [(b - a) * 1000 for a, b in itertools.pairwise(inside)][1:]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="fewer steps and repetitions")
    parser.add_argument("--model", help="as CHATSTREAM_MODEL; default: the bundled one")
    parser.add_argument("--dtype", default="auto", help="auto, bfloat16, float32")
    parser.add_argument("--threads", type=int, help="torch threads")
    parser.add_argument("--ours-only", action="store_true", help="leave transformers' out")
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    configured = os.environ.get("CHATSTREAM_CACHE_DIR")
    folder = ensure_model(arguments.model, Path(configured) if configured else None)
    device = choose_device("auto")
    dtype = choose_dtype(arguments.dtype, device)
    before = resident_mb()
    runner = ModelRunner(folder.path, device, dtype, max(ROWS), 1024)
    print(
        f"{folder.display_name}, {dtype}, {device}, torch {torch.__version__}, "
        f"{torch.get_num_threads()} threads, load average {os.getloadavg()[0]:.1f}",
        file=sys.stderr,
    )
    repetitions, steps = (2, 8) if arguments.quick else (5, 24)
    ours: dict[tuple[int, int], list[float]] = {}
    theirs: dict[tuple[int, int], list[float]] = {}
    other: Any = None
    if not arguments.ours_only:
        from transformers import AutoModelForCausalLM

        loaded: Any = AutoModelForCausalLM
        other = loaded.from_pretrained(folder.path, dtype=dtype, attn_implementation="sdpa")
        other = other.to(device).eval()
    cells = [(rows, context) for context in CONTEXTS for rows in ROWS]
    try:
        for repetition, (rows, context) in itertools.product(range(repetitions), cells):
            print(
                f"repetition {repetition + 1}/{repetitions}: {rows} rows, {context} tokens",
                file=sys.stderr,
            )
            ours.setdefault((rows, context), []).extend(our_steps(runner, rows, context, steps))
            if other is not None:
                measured = their_steps(other, rows, context, steps)
                theirs.setdefault((rows, context), []).extend(measured)
    except KeyboardInterrupt:
        print("interrupted: the table holds what was measured until now", file=sys.stderr)
    print("| rows | context | our step (ms) | transformers CB (ms) | CB / ours |")
    print("|---:|---:|---:|---:|---:|")
    for rows, context in cells:
        mine = statistics.median(ours.get((rows, context)) or [float("nan")])
        peer = statistics.median(theirs.get((rows, context)) or [float("nan")])
        print(f"| {rows} | {context} | {mine:.0f} | {peer:.0f} | {peer / mine:.1f} |")
    print(
        f"\nResident memory: {before:.0f} MB before the model, {resident_mb():.0f} MB at the end "
        f"({'both models' if other is not None else 'one model'}). "
        f"Load average {os.getloadavg()[0]:.1f}."
    )


if __name__ == "__main__":
    main()
