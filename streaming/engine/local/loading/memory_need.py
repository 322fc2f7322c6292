"""Computes how much memory a model will need from its shapes, before any weight is read."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch

from streaming.engine.base import EngineError
from streaming.engine.local.forward.linear import can_int8
from streaming.engine.local.forward.precision import Precision
from streaming.engine.local.forward.weights import Shape
from streaming.engine.local.loading.capacity import free_memory, kept_row_bytes, row_bytes

ALWAYS = 128 << 20
"""Bytes that a process needs besides, for the intermediate results of a step."""

_AT_ONCE, _AT_ONCE_PACKED = 2, 4
"""How many times the largest part is in memory while it is brought into its final form, at most."""

_GB = 1e9


@dataclass(frozen=True, slots=True)
class MemoryNeed:
    """Memory in bytes.

    - `weights`: in the form that is computed with
    - `cache`: keys and values of `rows` rows of `context` tokens
    - `loading`: what is there only while the model is loaded
    """

    weights: int
    cache: int
    loading: int
    rows: int
    context: int

    @property
    def total(self) -> int:
        """Return the most that is needed at once: rows fill when what loading took is free
        again."""
        return self.weights + max(self.cache, self.loading) + ALWAYS

    @property
    def says(self) -> str:
        """Return this in words."""
        one = self.rows == 1
        return (
            f"{_gb(self.weights)} for its weights, {_gb(self.cache)} for the keys and values of "
            f"{self.rows} response{'' if one else 's'} of {self.context} tokens, and "
            f"{_gb(self.loading)} while it is loaded"
        )


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter by its name in the model, with its shape and the bytes of a number in the
    files."""

    name: str
    shape: tuple[int, ...]
    itemsize: int

    @property
    def count(self) -> int:
        """Return how many numbers it has."""
        return math.prod(self.shape)


def memory_need(
    parameters: Iterable[Parameter], config: Any, precision: Precision, rows: int, context: int,
    *, packed: bool, tied: bool = False, whole: bool = False,
) -> MemoryNeed:  # fmt: skip
    """Return the memory for a model with these parameters and `rows` rows of `context` tokens.

    `packed`: the weights are packed for our own pass, not as transformers has them. `tied`: the
    head's weights are the embedding's. `whole`: all of the model is loaded before its first part is
    packed.
    """
    parameters = list(parameters)
    weights = sum(_final(each, precision, packed) for each in parameters)
    if packed and tied:
        weights += sum(_final(_head(each), precision, packed) for each in parameters
                       if _is_embedding(each.name))  # fmt: skip
    if whole and packed:
        loading = sum(each.count * each.itemsize for each in parameters)
    else:
        at_once = _AT_ONCE_PACKED if packed else _AT_ONCE
        loading = at_once * max((each.count * each.itemsize for each in parameters), default=0)
    row = row_bytes(config, precision.cache, context, has_rings=not packed)
    return MemoryNeed(weights, rows * row, loading, rows, context)


def kept_need(shape: Shape, size: int, rows: int, context: int) -> MemoryNeed:
    """Return the memory for a kept pass of `size` bytes and `rows` rows of `context` tokens."""
    cache = rows * kept_row_bytes(shape, torch.float16, context)
    return MemoryNeed(size, cache, size // 4, rows, context)


def _final(parameter: Parameter, precision: Precision, packed: bool) -> int:
    """Return the bytes of a parameter in the form that is computed with."""
    is_product = len(parameter.shape) == 2 and not _is_embedding(parameter.name)
    if packed and precision.is_int8 and is_product:
        return parameter.count + 12 * parameter.shape[0]  # with its scales
    return parameter.count * precision.activations.itemsize


def _is_embedding(name: str) -> bool:
    return "embed_tokens" in name


def _head(embedding: Parameter) -> Parameter:
    return Parameter("lm_head.weight", embedding.shape, embedding.itemsize)


def int8_helps(precision: Precision, device: torch.device, *, packable: bool) -> bool:
    """Return whether int8 weights are possible here and not chosen."""
    return packable and device.type == "cpu" and not precision.is_int8 and can_int8()


def refuse_unless_it_fits(need: MemoryNeed, device: torch.device, *, int8_helps: bool) -> None:
    """Raise EngineError, with the numbers and what would help, if the need exceeds the free
    memory."""
    if need.total <= (free := free_memory(device)):
        return
    helps = ["CHATSTREAM_DTYPE=int8"] if int8_helps else []
    if need.cache > need.loading:
        if need.rows > 1:
            helps.append("a smaller CHATSTREAM_MAX_RUNNING")
        if need.context > 1024:
            helps.append("a smaller CHATSTREAM_CONTEXT_TOKENS")
    helps.append("a smaller model")
    raise EngineError(
        f"The model needs {_gb(need.total)} of memory, and {_gb(free)} are free: {need.says}. "
        f"What would help: {', '.join(helps)}.",
        "model_too_large",
    )


def _gb(count: int) -> str:
    return f"{count / _GB:.1f} GB"
