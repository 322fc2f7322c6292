"""Fills the modules of a skeleton, one after the other."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor, nn

from streaming.engine.local.loading.counting_source import CountingSource


class ModuleFiller:
    """Gives the modules of the skeleton `model` their parameters, in the format `dtype`.

    `names` has the tensors' names in `source` by the parameters' names in the model.
    """

    def __init__(
        self, model: Any, source: CountingSource, names: Mapping[str, str], dtype: torch.dtype
    ) -> None:
        self._source, self._names, self._dtype = source, names, dtype
        self._prefixes = {id(module): name for name, module in model.named_modules()}
        tied: dict[str, str] = getattr(model, "all_tied_weights_keys", None) or {}
        self._tied = {**{other: one for one, other in tied.items()}, **tied}

    def shown(self) -> AbstractContextManager[None]:
        """Show the progress while the block runs."""
        return self._source.shown()

    def __call__(self, module: nn.Module) -> None:
        """Read the parameters of a module of the model, and of all modules in it. Raises
        EngineError if a file cannot be read."""
        prefix = self._prefixes[id(module)]
        for inner, owner in module.named_modules():
            where = ".".join(part for part in (prefix, inner) if part)
            for name in list(owner._parameters):
                if owner._parameters[name] is not None:
                    tensor = self._read(f"{where}.{name}")
                    owner._parameters[name] = nn.Parameter(tensor, requires_grad=False)

    def _read(self, name: str) -> Tensor:
        if name not in self._names:
            name = self._tied[name]
        return self._source.read(self._names[name]).to(self._dtype)
