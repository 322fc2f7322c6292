"""Reads the tensors of a GGUF file by the names of a transformers model, one at a time: blocks of
few bits are dequantised, and what llama.cpp stores in another order is put back."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from streaming.engine.base import EngineError
from streaming.engine.faults import told_by
from streaming.engine.models.gguf.header import Header, StoredTensor
from streaming.engine.models.gguf.recipes import Recipe
from streaming.engine.models.manifest import status_of

_F32, _F16, _BF16 = 0, 1, 30
_DTYPES = {_F32: torch.float32, _F16: torch.float16, _BF16: torch.bfloat16}
_AT_ONCE = 1 << 18  # numbers that are dequantised at once


class GgufSource:
    """The `TensorSource` of a GGUF file. The file is read, not mapped, and must stay as it was:
    `status` is that of `status_of`. `shapes` are those of the model."""

    def __init__(
        self, header: Header, recipes: Mapping[str, Recipe],
        shapes: Mapping[str, tuple[int, ...]], status: Sequence[int],
    ) -> None:  # fmt: skip
        self._path, self._stored, self._recipes = header.path, header.tensors, recipes
        self._shapes, self._status = shapes, list(status)

    def names(self) -> Collection[str]:
        """Return the names of all tensors, as transformers names them."""
        return self._recipes.keys()

    def shape(self, name: str) -> tuple[int, ...]:
        """Return a tensor's shape. Raises KeyError for an unknown name."""
        return self._shapes[name]

    def dtype(self, name: str) -> torch.dtype:
        """Return the format in which a tensor is read when nobody asks for another: float32 for
        what is stored in blocks of few bits."""
        recipe = self._recipes[name]
        if recipe.how.startswith("minus"):
            return torch.float32
        kinds = {self._stored[each].kind for each in recipe.tensors}
        return _DTYPES.get(kinds.pop(), torch.float32) if len(kinds) == 1 else torch.float32

    def read(self, name: str, wanted: torch.dtype | None = None) -> Tensor:
        """Read a tensor. What is stored in blocks comes in the format `wanted`, what is stored as
        plain numbers in its own: a model may keep some parameters in more bits than the others.

        Raises EngineError if the file has changed or cannot be read.
        """
        recipe = self._recipes[name]
        stored = self.dtype(name)
        is_made = all(self._stored[each].kind not in _DTYPES for each in recipe.tensors)
        # A difference in few bits would lose more than its parts.
        is_made = is_made and not recipe.how.startswith("minus")
        exact = wanted if wanted and is_made else stored
        try:
            with self._path.open("rb", buffering=0) as file:
                if status_of(os.fstat(file.fileno())) != self._status:
                    raise ValueError("it has changed meanwhile")
                parts = [_read(file, self._stored[each], exact) for each in recipe.tensors]
        except (OSError, ValueError) as error:
            reason = told_by(error)
            raise EngineError(f"{self._path} cannot be read: {reason}.", "model_corrupt") from error
        return _made(parts, recipe.how).reshape(self._shapes[name])


def _read(file: Any, stored: StoredTensor, dtype: torch.dtype) -> Tensor:
    """Read and dequantise some rows at a time, so that the blocks are never in memory as a
    whole."""
    import gguf

    target = torch.empty(stored.shape, dtype=dtype)
    rows = target.view(-1, stored.shape[-1])
    size = stored.size // len(rows)  # bytes of a row
    some = max(1, _AT_ONCE // stored.shape[-1])
    file.seek(stored.offset)
    for start in range(0, len(rows), some):
        part = rows[start : start + some]
        blocks = bytearray(len(part) * size)
        _fill(file, blocks)
        if plain := _DTYPES.get(stored.kind):
            part.copy_(torch.frombuffer(blocks, dtype=plain).view_as(part))
            continue
        raw = np.frombuffer(blocks, np.uint8).reshape(len(part), size)
        numbers = gguf.dequantize(raw, gguf.GGMLQuantizationType(stored.kind))
        part.copy_(torch.from_numpy(numbers))
    return target


def _fill(file: Any, blocks: bytearray) -> None:
    view, at = memoryview(blocks), 0
    while at < len(view):
        count = file.readinto(view[at:])
        if not count:
            raise ValueError("it is cut short")
        at += count


def _made(parts: list[Tensor], how: str) -> Tensor:
    """Make a parameter of its tensors, as `Recipe` says."""
    first = parts[0]
    kind, _, number = how.partition(":")
    if kind == "heads":
        heads = first.view(int(number), -1, 2, *first.shape[1:])
        return heads.transpose(1, 2).reshape(first.shape)
    if kind == "minus":
        return first - float(number)
    if kind == "concatenated":
        return torch.cat(parts, dim=1)
    if kind == "transposed":
        return first.transpose(1, 2).contiguous()
    if kind == "interleaved":
        return torch.stack([each.movedim(1, -1) for each in parts], dim=-1).flatten(-2)
    return first
