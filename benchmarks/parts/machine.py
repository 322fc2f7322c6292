"""The machine: what it is, how fast it reads memory, how fast it multiplies.

The two rates are the floor that decode steps and prefill are compared with.
"""

from __future__ import annotations

import os
import platform
import re
import time
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from pathlib import Path

import psutil

from benchmarks.bare import ModelShape, wait_for  # sets how torch's threads wait, so it comes first
from benchmarks.options import Options, say
from benchmarks.report import Section, Table
from streaming.engine.local.forward.precision import choose_device

import torch  # isort: skip

ARRAY_BYTES = 1 << 30
"""Far more than any cache holds."""

GEMM_ROWS = (1, 16, 128, 512, 2048)
"""Rows that a step multiplies at once: one response, many, chunks of a prompt."""

PACKAGES = ("torch", "transformers", "django", "channels", "daphne", "redis")


def processor() -> str:
    """Return the processor's name, as the system tells it."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        text = ""
    found = re.search(r"^model name\s*:\s*(.+)$", text, re.M)
    return found[1].strip() if found else platform.processor() or platform.machine()


def multiplies_bfloat16() -> bool:
    """Return whether the processor multiplies bfloat16 in hardware."""
    probes = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, probe, lambda: False)() for probe in probes)


def best_seconds(run: Callable[[], object], seconds: float, device: torch.device) -> float:
    """Return the seconds of the shortest run, of those that fit in `seconds`, at least three, after
    a first one."""
    run()
    took: list[float] = []
    until = time.perf_counter() + seconds
    while len(took) < 3 or time.perf_counter() < until:
        wait_for(device)
        began = time.perf_counter()
        run()
        wait_for(device)
        took.append(time.perf_counter() - began)
    return min(took)


def bandwidths(device: torch.device, seconds: float = 1.0) -> dict[str, float]:
    """Return the GB/s of reading one large array, with all threads of a CPU, by number format."""
    source = torch.ones(ARRAY_BYTES // 4, dtype=torch.float32, device=device)
    wide = source.view(-1, 4096)
    factor = torch.ones(4096, device=device)
    ways: dict[str, Callable[[], object]] = {
        "float32 sum": source.sum,
        "bfloat16 sum": source.view(torch.bfloat16).sum,
        "int8 max": source.view(torch.int8).amax,
        "int64 sum": source.view(torch.int64).sum,
        "float32 matrix times vector": lambda: wide @ factor,
        "bfloat16 matrix times vector": lambda: (
            wide.view(torch.bfloat16) @ torch.ones(8192, dtype=torch.bfloat16, device=device)
        ),
    }
    with torch.inference_mode():
        return {
            name: ARRAY_BYTES / best_seconds(run, seconds, device) / 1e9
            for name, run in ways.items()
        }


def arithmetic(
    device: torch.device, hidden: int, inner: int, seconds: float = 0.3
) -> dict[tuple[str, int], float]:
    """Return the GFLOP/s of [rows, hidden] @ [hidden, inner], by number format and rows."""
    rates = {}
    with torch.inference_mode():
        for dtype in (torch.bfloat16, torch.float32):
            weight = torch.randn(inner, hidden).to(device, dtype)
            for rows in GEMM_ROWS:
                left = torch.randn(rows, hidden).to(device, dtype)
                product = partial(torch.nn.functional.linear, left, weight)
                took = best_seconds(product, seconds, device)
                name = str(dtype).removeprefix("torch.")
                rates[name, rows] = 2 * rows * hidden * inner / took / 1e9
    return rates


def measure(options: Options) -> Section:
    """Measure the machine; return the section, whose figures the other parts use."""
    device = choose_device("auto")
    shape = ModelShape.of(options.model)
    memory = psutil.virtual_memory().total / 2**30
    name = f"{processor()}, {psutil.cpu_count()} cores, {memory:.0f} GiB"
    if device.type == "cuda":
        name = f"{torch.cuda.get_device_name(device)}; {name}"
    section = Section("machine", "The machine", notes=[name])
    about = Table(["", "value"])
    about.add("device", device.type)
    about.add("processor", processor())
    about.add("cores", psutil.cpu_count())
    about.add("memory, GiB", memory)
    about.add("system", f"{platform.system()} {platform.release()}")
    about.add("Python", platform.python_version())
    for package in PACKAGES:
        about.add(package, version(package))
    about.add("torch's threads", torch.get_num_threads())
    about.add("bfloat16 in hardware", "yes" if multiplies_bfloat16() else "no")
    about.add("load average before", os.getloadavg()[0])
    say("memory bandwidth")
    read = bandwidths(device, 0.3 if options.quick else 1.0)
    say("arithmetic")
    rates = arithmetic(device, shape.hidden, shape.inner, 0.1 if options.quick else 0.4)
    speeds = Table(["read 1 GiB by", "GB/s"], title="Memory; the best is the floor's")
    for way, rate in read.items():
        speeds.add(way, rate)
    sums = Table(
        ["format", *(f"{rows} rows" for rows in GEMM_ROWS)],
        title=f"GFLOP/s of [rows, {shape.hidden}] by [{shape.hidden}, {shape.inner}]; "
        "the best is the floor's",
    )
    for dtype in ("bfloat16", "float32"):
        sums.add(dtype, *(rates[dtype, rows] for rows in GEMM_ROWS))
    section.tables = [about, speeds, sums]
    section.figures = {
        "bandwidth_gbs": max(read.values()),
        "gflops": max(rates.values()),
        "cores": float(psutil.cpu_count() or 0),
        "memory_gib": memory,
    }
    return section


def rates_now(shape: ModelShape) -> tuple[float, float]:
    """Return bytes and operations a second at this moment, each the best of all ways."""
    device = choose_device("auto")
    read = max(bandwidths(device, 0.0).values())
    rate = max(arithmetic(device, shape.hidden, shape.inner, 0.0).values())
    return read * 1e9, rate * 1e9
