"""Finds how many responses a machine should generate at once: CHATSTREAM_MAX_RUNNING=auto.

The most rows that leave each reader a comfortable speed and fit into the memory. More rows give
more tokens a second in all, but each reader fewer; those without a row wait in the list, where they
see their place, instead of in front of a text that creeps.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import torch

from streaming.engine.local.attention.ring_slots import ring_room
from streaming.engine.local.forward.weights import Shape
from streaming.engine.models.layer_kinds import NOTHING, layer_kinds

READING_SPEED = 10.0
"""Tokens a second, some 7 English words: faster than most people read (Brysbaert 2019, "How many
words do we read per minute?": about 4 words a second)."""

MOST = 256
"""The most rows, whatever the machine."""

MEMORY_SHARE = 0.5
"""The share for keys and values of the memory that is free when the model is loaded."""

_CGROUP = Path("/sys/fs/cgroup")


def most_rows(step_seconds: Callable[[int], float], ceiling: int) -> int:
    """Return the most rows, 1 to `ceiling`, whose decode step leaves each READING_SPEED tokens a
    second. `step_seconds` measures a step of so many rows; few measurements are made, so the result
    is exact to an eighth. Raises ValueError if `ceiling` is below 1."""
    if ceiling < 1:
        raise ValueError("ceiling must be at least 1")
    longest = 1 / READING_SPEED
    good, bad = 1, ceiling + 1
    while good < ceiling:
        rows = min(2 * good, ceiling)
        if step_seconds(rows) > longest:
            bad = rows
            break
        good = rows
    while bad - good > max(1, good // 8) and good < ceiling:
        rows = (good + bad) // 2
        if step_seconds(rows) > longest:
            bad = rows
        else:
            good = rows
    return good


def rows_in_memory(row: int, device: torch.device) -> int:
    """Return how many rows of `row` bytes the free memory holds: at least 1, at most MOST."""
    return max(1, min(MOST, int(MEMORY_SHARE * free_memory(device) / row)))


def row_bytes(config: Any, dtype: torch.dtype, context: int, *, has_rings: bool = True) -> int:
    """Return the bytes of the keys and values of a row of `context` tokens, in a model of
    transformers' configuration `config`. With `has_rings` a layer with a window keeps a ring of
    them (our own pass keeps all); a layer that takes those of another one keeps none."""
    kinds = layer_kinds(config)
    rooms = [ring_room(kind.window) if has_rings else 0 for kind in kinds]
    lengths = [
        0 if kind.kind == NOTHING else min(context, room or context)
        for kind, room in zip(kinds, rooms, strict=True)
    ]
    layers = zip(lengths, config.get_text_config(decoder=True).per_layer_config, strict=True)
    return sum(length * _numbers(layer) for length, layer in layers) * dtype.itemsize


def kept_row_bytes(shape: Shape, dtype: torch.dtype, context: int) -> int:
    """Return the bytes as `row_bytes`, for a kept pass, which has no configuration."""
    return shape.layers * context * 2 * shape.kv_heads * shape.head_dim * dtype.itemsize


def _numbers(layer: Any) -> int:
    """Return how many numbers a token's keys and values are in a layer of this configuration."""
    if latent := getattr(layer, "kv_lora_rank", None):  # kept, with the rotated part
        return int(latent + layer.qk_rope_head_dim)
    heads = getattr(layer, "num_key_value_heads", None) or layer.num_attention_heads
    if getattr(layer, "new_decoder_architecture", None) is False and layer.multi_query:
        heads = 1  # Falcon's
    size = getattr(layer, "head_dim", None) or layer.hidden_size // layer.num_attention_heads
    return int(2 * heads * size)


def free_memory(device: torch.device) -> int:
    """Return the bytes that may still be taken on a device, within a container's limit."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    free: int = psutil.virtual_memory().available
    try:  # a container's limit
        most = (_CGROUP / "memory.max").read_text().strip()
        used = int((_CGROUP / "memory.current").read_text()) - _file_cache()
    except (OSError, ValueError):
        return free
    return free if most == "max" else max(0, min(free, int(most) - used))


def _file_cache() -> int:
    """Return the bytes of a container's memory that only cache files, as of a model that was just
    fetched: they are given back when memory is asked for."""
    try:
        lines = (_CGROUP / "memory.stat").read_text().splitlines()
        told = dict(line.split() for line in lines)
        return int(told["inactive_file"]) + int(told["active_file"])
    except (OSError, ValueError, KeyError):
        return 0
