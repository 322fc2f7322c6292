"""CHATSTREAM_MAX_RUNNING=auto: the search, the memory, and an engine that does it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, LlamaConfig

from streaming.engine.local import LocalEngine
from streaming.engine.local.attention.cache import SlotCache
from streaming.engine.local.attention.slots import Slots
from streaming.engine.local.attention.span import Span
from streaming.engine.local.forward.transformers_model import TransformersModel, windows_of
from streaming.engine.local.loading import capacity
from streaming.engine.local.loading.capacity import (
    MOST,
    READING_SPEED,
    most_rows,
    row_bytes,
    rows_in_memory,
)
from tests.unit.engine.families.configurations import configuration

CPU = torch.device("cpu")


@pytest.mark.parametrize("ceiling", [1, 2, 3, 7, 64, 256])
@pytest.mark.parametrize("fit", [0, 1, 2, 5, 13, 40, 100, 1000])
def test_the_most_rows_that_are_fast_enough(ceiling: int, fit: int) -> None:
    measured: list[int] = []

    def step_seconds(rows: int) -> float:
        measured.append(rows)
        return (0.5 if rows <= fit else 2.0) / READING_SPEED

    found = most_rows(step_seconds, ceiling)
    best = max(1, min(fit, ceiling))
    assert best - best // 8 - 1 <= found <= best
    assert found >= 1
    assert len(measured) <= 14
    assert all(1 <= rows <= ceiling for rows in measured)


def test_there_is_a_row() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        most_rows(lambda rows: 0.0, 0)


def test_rows_follow_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    config = LlamaConfig(
        num_attention_heads=8, num_key_value_heads=2, hidden_size=512, num_hidden_layers=10
    )
    row = 2 * 10 * 2 * 64 * 1000 * 2
    for free, rows in ((0, 1), (row, 1), (20 * row, 10), (10_000 * row, MOST)):
        monkeypatch.setattr(capacity, "free_memory", lambda device, free=free: free)
        assert rows_in_memory(row_bytes(config, torch.float16, 1000), CPU) == rows


def test_a_container_may_not_take_all_that_is_free(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(capacity, "_CGROUP", tmp_path)
    free = capacity.free_memory(CPU)
    assert free > 0
    (tmp_path / "memory.current").write_text("600\n")
    (tmp_path / "memory.max").write_text("max\n")
    assert capacity.free_memory(CPU) > 1000
    (tmp_path / "memory.max").write_text("1000\n")
    assert capacity.free_memory(CPU) == 400
    # What only keeps files' content, as of a model that was just fetched, is given back.
    (tmp_path / "memory.stat").write_text("anon 300\ninactive_file 150\nactive_file 50\n")
    assert capacity.free_memory(CPU) == 600


def test_an_engine_finds_its_capacity(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capacity, "MOST", 6)
    monkeypatch.setattr(capacity, "READING_SPEED", 1e-6)  # any step is fast enough
    engine = LocalEngine(max_running=None, max_rows=0)
    engine.start(lambda events: None)
    try:
        assert engine.info.capacity == 6
        assert engine.info.max_running == 6  # no more memory than for these
        assert engine.stats().kv_bytes == 0  # what was measured with is given back
    finally:
        engine.close()


@pytest.mark.parametrize(
    "name", ["mixtral", "gemma3", "gemma4, shared", "llama4", "deepseek_v3", "falcon"]
)
def test_a_row_takes_what_it_is_said_to_take(name: str) -> None:
    """By kinds of layers, and whatever a layer keeps of a token."""
    told = configuration(name)
    if name == "falcon":
        del told.num_key_value_heads  # which no such model has
    auto: Any = AutoModelForCausalLM
    model = auto.from_config(told).eval()
    cache = SlotCache(told.num_hidden_layers, 2, 400, Slots, [*windows_of(told)])
    with torch.inference_mode():
        TransformersModel(model, cache, 400).step([], [], [Span(0, [5, 6, 7], 0, 0, 3)])
    assert cache.bytes == 2 * row_bytes(model.config, torch.float32, 400)
