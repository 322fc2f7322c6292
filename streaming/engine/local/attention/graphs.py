"""Steps that only decode, as CUDA graphs: one launch for some five hundred kernels.

Launched one by one by Python, the kernels of a small model take the processor longer than the
card. A graph has one size for good, so there is one for each of a few numbers of rows, made when
it is first needed; a step takes the next larger one. The rows that fill it up write where nobody
reads: the last place of a row, for a response is over when it has the token that would go there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from streaming.engine.local.attention.cache import SlotCache
from streaming.engine.local.attention.flash import FlashLayout
from streaming.engine.local.attention.interface import AttentionPlan, Run

PlanLayout = Callable[[FlashLayout], AttentionPlan]
"""The plan of a step with a layout."""


def padded(rows: int, most: int) -> int:
    """Return how many rows the graph for so many has: 1, 2, 4, 8, then the next eighth of a power
    of two, `most` at most."""
    power = 1 << (rows - 1).bit_length()
    step = power // 8 if rows > 8 else power
    return min(-(-rows // step) * step, most)


class DecodeStep:
    """A decoding step of the first `rows` rows of the cache, whose inputs lie at a fixed place."""

    def __init__(
        self, run: Run, plan: PlanLayout, rows: int, cache: SlotCache, device: torch.device
    ) -> None:
        max_len = cache.slots[0].max_len
        self._run, self._plan, self.rows, self._max_len = run, plan, rows, max_len
        spare = torch.arange(rows) * max_len + max_len - 1
        # Tokens, positions, slot mapping:
        self._host_inputs = torch.zeros(3, rows, dtype=torch.int64)
        self._host_inputs[2] = spare
        self._spare = spare.tolist()
        if device.type == "cuda":
            self._host_inputs = self._host_inputs.pin_memory()
        self._device_inputs = self._host_inputs.to(device)
        at = torch.arange(rows + 1, dtype=torch.int32, device=device)
        self._query_starts, self._key_starts = at, at * max_len

    def set_inputs(self, tokens: Sequence[int], positions: Sequence[int]) -> None:
        """Copy the next run's tokens and positions to the device, which has done the former one."""
        spare = self.rows - len(tokens)
        slot_mapping = [row * self._max_len + at for row, at in enumerate(positions)]
        self._host_inputs.copy_(
            torch.tensor(
                [
                    [*tokens, *[0] * spare],
                    [*positions, *[0] * spare],
                    [*slot_mapping, *self._spare[len(tokens) :]],
                ]
            )
        )
        self._device_inputs.copy_(self._host_inputs, non_blocking=True)

    def run(self) -> Tensor:
        """Return the last layer's [rows, hidden] for the inputs."""
        tokens, positions, slot_mapping = self._device_inputs
        key_counts = (positions + 1).int()
        layout = FlashLayout(
            slot_mapping, self._query_starts, self._key_starts, key_counts, 1, self._max_len
        )
        return self._run(tokens, positions, self._plan(layout))


@dataclass(frozen=True, slots=True)
class _Graph:
    decode: DecodeStep
    replay: Callable[[], None]
    result: Tensor


class DecodeGraphs:
    """Graphs of `run` over a cache of `TokenSlots`."""

    def __init__(self, run: Run, plan: PlanLayout, cache: SlotCache, device: torch.device) -> None:
        self._run, self._plan, self._cache, self._device = run, plan, cache, device
        self._graphs: dict[int, _Graph] = {}
        self._table: Tensor | None = None
        self._pool: Any = None

    def step(self, tokens: Sequence[int], positions: Sequence[int]) -> Tensor:
        """Return the last layer's [B, hidden] for one token of each of the rows 0 to B-1, valid
        until the next step."""
        first = self._cache.slots[0]
        if self._table is not first.keys:  # graphs know addresses, and the cache was made anew
            self._graphs.clear()
            self._table, self._pool = first.keys, memory_pool()
        rows = padded(len(tokens), first.rows)
        if rows not in self._graphs:
            decode = DecodeStep(self._run, self._plan, rows, self._cache, self._device)
            replay, result = captured(decode.run, self._device, self._pool)
            self._graphs[rows] = _Graph(decode, replay, result)
        graph = self._graphs[rows]
        graph.decode.set_inputs(tokens, positions)
        graph.replay()
        return graph.result[: len(tokens)]


def memory_pool() -> Any:
    """Return the memory that all graphs compute in: they never run at the same time."""
    return torch.cuda.graph_pool_handle()


def captured(
    run: Callable[[], Tensor], device: torch.device, pool: Any
) -> tuple[Callable[[], None], Tensor]:
    """Return `run` as a CUDA graph: what runs it again, and where its result lies then."""
    cuda: Any = torch.cuda  # says little about its types
    with cuda.device(device):
        aside = cuda.Stream()
        aside.wait_stream(cuda.current_stream())
        with cuda.stream(aside):  # libraries set themselves up, which no graph may hold
            run()
        cuda.current_stream().wait_stream(aside)
        graph = cuda.CUDAGraph()
        with cuda.graph(graph, pool=pool, capture_error_mode="thread_local"):
            result = run()
    return graph.replay, result
