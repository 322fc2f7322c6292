"""Tensors of a model that are read while people see the progress."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from streaming.engine.models.tensor_source import TensorSource
from streaming.engine.progress import progress_display


class CountingSource:
    """A source that shows how many of its `total` bytes have been read."""

    def __init__(self, source: TensorSource, total: int) -> None:
        self._source, self._total, self._read = source, total, 0
        self._update: Callable[[float, float], None] = _silent

    def names(self) -> Collection[str]:
        """Return the names of all tensors."""
        return self._source.names()

    def read(self, name: str, wanted: torch.dtype | None = None) -> Tensor:
        """Read a tensor, as `TensorSource.read`, and count it."""
        tensor = self._source.read(name, wanted)
        self._read += tensor_bytes(self._source, name)
        self._update(min(self._read, self._total), self._total)
        return tensor

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Show the progress while the block runs."""
        with progress_display("Loading the model's weights") as update:
            self._update = update
            yield
        self._update = _silent


def _silent(completed: float, total: float) -> None:
    pass


class LazyTensor:
    """A tensor that is read, in the format `dtype`, when transformers' loader takes its content, as
    it does with those of safetensors."""

    def __init__(self, source: CountingSource, name: str, dtype: torch.dtype) -> None:
        self._source, self._name, self._dtype = source, name, dtype

    def __getitem__(self, _: Any) -> Tensor:
        return self._source.read(self._name, self._dtype)


def tensor_bytes(source: TensorSource, name: str) -> int:
    """Return the bytes of a tensor in its source."""
    count = 1
    for size in source.shape(name):
        count *= size
    return count * source.dtype(name).itemsize
