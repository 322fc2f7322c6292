"""The figures that are promised, and whether this run keeps the promises."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from benchmarks.report import Table


@dataclass(frozen=True)
class Goal:
    """`figure` is `part.name`; it must be at least or at most `bound`."""

    text: str
    figure: str
    rule: Literal["at least", "at most"]
    bound: float
    unit: str = "x"

    def met(self, value: float | None) -> bool | None:
        """None: not measured."""
        if value is None or math.isnan(value):
            return None
        return value >= self.bound if self.rule == "at least" else value <= self.bound


GOALS = (
    Goal("memory while a model is loaded, beside what stays", "loading.peak_ratio_safetensors",
         "at most", 1.5),
    Goal("the same, from a GGUF file", "loading.peak_ratio_gguf", "at most", 1.5),
    Goal("total tokens/s beside transformers' continuous batching, 16 streams",
         "streams.ratio_transformers_16", "at least", 3),
    Goal("the same, 8 streams", "streams.ratio_transformers_8", "at least", 2),
    Goal("the same, 1 stream", "streams.ratio_transformers_1", "at least", 1.5),
    Goal("total tokens/s beside one pass per response and token, 16 streams",
         "streams.ratio_seed_16", "at least", 8),
    Goal("the same, where that pass is transformers' own", "streams.ratio_one_each_16",
         "at least", 8),
    Goal("delivered beside the raw engine, 8 streams", "streams.delivered_8", "at least", 0.95),
    Goal("the same, 16 streams", "streams.delivered_16", "at least", 0.95),
    Goal("the same, 32 streams", "streams.delivered_32", "at least", 0.95),
    Goal("decode step beside the floor, 16 rows of 512 tokens",
         "steps.floor_ratio_16_512", "at most", 3),
    Goal("decode step beside the floor, 1 row of 512 tokens",
         "steps.floor_ratio_1_512", "at most", 2),
    Goal("p99 between tokens while a prompt of 4,000 tokens is read, beside the median",
         "interference.p99_by_median", "at most", 3),
    Goal("TTFT of a second turn on 2,000 tokens beside a fresh prompt",
         "history.ratio", "at most", 1.3),
    Goal("between updates of one of 64 answers of another server, p99",
         "forwarding.passed_on_gap_p99", "at most", 50, "ms"),
    Goal("the worker's processor for each token of these", "forwarding.passed_on_cpu",
         "at most", 0.12, "ms"),
    Goal("enqueue at 100,000 beside 100, Valkey", "waiting_list.valkey_enqueue_ratio",
         "at most", 2),
    Goal("claim, the same", "waiting_list.valkey_claim_ratio", "at most", 2),
    Goal("position, the same", "waiting_list.valkey_position_ratio", "at most", 2),
    Goal("enqueue, p95 at 100,000 on Valkey", "waiting_list.valkey_enqueue_p95",
         "at most", 2, "ms"),
    Goal("claim, the same", "waiting_list.valkey_claim_p95", "at most", 2, "ms"),
    Goal("position, the same", "waiting_list.valkey_position_p95", "at most", 2, "ms"),
    Goal("enqueue at 100,000 beside 100, in memory", "waiting_list.memory_enqueue_ratio",
         "at most", 2),
    Goal("claim, the same", "waiting_list.memory_claim_ratio", "at most", 2),
    Goal("position, the same", "waiting_list.memory_position_ratio", "at most", 2),
    Goal("sockets that got their answer", "sockets.answered_percent", "at least", 100, "%"),
    Goal("p99 lag of a socket while the engine runs flat out in the process",
         "sockets.lag_p99", "at most", 50, "ms"),
    Goal("memory of an idle socket", "sockets.idle_kib", "at most", 256, "KiB"),
    Goal("arrivals: sockets reset, or told nothing", "arrivals.lost", "at most", 0, ""),
    Goal("/healthz, p99, while they arrive", "arrivals.health_p99", "at most", 250, "ms"),
    Goal("soak: responses not accounted for", "soak.lost", "at most", 0, ""),
    Goal("soak: memory's slope", "soak.mb_per_hour", "at most", 20, "MB/h"),
)  # fmt: skip


def goal_table(figures: Mapping[str, float]) -> Table:
    """The goals that this run measured."""
    table = Table(["goal", "wanted", "measured", ""])
    for goal in GOALS:
        value = figures.get(goal.figure)
        met = goal.met(value)
        if met is not None:
            wanted = f"{goal.rule} {goal.bound:,g} {goal.unit}".rstrip()
            table.add(goal.text, wanted, value, "met" if met else "missed")
    return table


def goal_list(figures: Mapping[str, float]) -> list[dict[str, object]]:
    """The same for programs, those that were not measured included."""
    return [
        {
            "goal": goal.text,
            "figure": goal.figure,
            "rule": goal.rule,
            "bound": goal.bound,
            "unit": goal.unit,
            "measured": figures.get(goal.figure),
            "met": goal.met(figures.get(goal.figure)),
        }
        for goal in GOALS
    ]
