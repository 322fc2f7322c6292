"""A model's files, whose headers alone were read: how much memory they need, and how to load
them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from streaming.engine.base import EngineError
from streaming.engine.faults import Faults
from streaming.engine.local.forward.precision import Precision
from streaming.engine.local.loading.adapters import Adapter
from streaming.engine.local.loading.memory_need import MemoryNeed, Parameter, memory_need
from streaming.engine.local.loading.model_loader import (
    generation_config_of,
    load_quantised,
    open_model,
)
from streaming.engine.local.loading.module_filler import ModuleFiller
from streaming.engine.local.loading.plain_weights import is_plain
from streaming.engine.local.loading.skeleton import skeleton_of
from streaming.engine.models.language_part import LANGUAGE_KEYS
from streaming.engine.models.quantised import becomes_plain, method_of, refuse_unreadable
from streaming.engine.models.tensor_source import TensorSource, open_tensors


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A model that can be loaded.

    - `skeleton`: the model without its weights
    - `load`: returns the loaded model and None; or, where our own pass takes one module after the
      other, the skeleton and what fills its modules
    - `whole`: all of the model is loaded before its first module is packed
    - `itemsize`: bytes of a number in the files
    - `unused`: names of the tensors that are not loaded, by the reason
    """

    skeleton: Any
    load: Callable[[], tuple[Any, ModuleFiller | None]]
    whole: bool
    itemsize: int = 2
    unused: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def need(self, precision: Precision, rows: int, context: int, *, packable: bool) -> MemoryNeed:
        """Return the memory for the model and `rows` rows of `context` tokens."""
        parameters = [
            Parameter(name, tuple(each.shape), self.itemsize)
            for name, each in self.skeleton.named_parameters()
        ]
        config = self.skeleton.config
        return memory_need(
            parameters, config, precision, rows, context, packed=packable, whole=self.whole,
            tied=bool(getattr(config, "tie_word_embeddings", False)),
        )  # fmt: skip


def open_checkpoint(
    path: Path, config: Any, precision: Precision, adapter: Path | None, faults: Faults,
    *, packable: bool, source: TensorSource | None = None,
) -> Checkpoint:  # fmt: skip
    """Open the model in the folder `path`, of whose files only headers are read.

    What does not fit is added to `faults`; then the model cannot be loaded. `packable`: it is for
    our own pass. `source`: its tensors, if they are not in the folder. Raises EngineError if
    nothing more can be found out.
    """
    lora = None
    with faults.noted():
        refuse_unreadable(config, path)
    with faults.noted():
        lora = Adapter(adapter) if adapter else None
    if method_of(config):
        return _quantised(path, config, precision, lora, packable=packable)
    changed = source = source or open_tensors(path)
    with faults.noted():
        changed = lora.on(source) if lora else source
    found = open_model(path, config, precision.activations, changed, LANGUAGE_KEYS, faults)
    itemsize = max((source.dtype(name).itemsize for name in source.names()), default=2)
    fill = found.fill if packable else None

    def load() -> tuple[Any, ModuleFiller | None]:
        return (found.model, fill) if fill else (found.load(), None)

    return Checkpoint(found.model, load, whole=fill is None, itemsize=itemsize, unused=found.unused)


def _quantised(
    path: Path, config: Any, precision: Precision, lora: Adapter | None, *, packable: bool
) -> Checkpoint:
    plain, dtype = becomes_plain(config), precision.activations
    if plain and dtype.itemsize > 2:
        # Weights of few bits gain nothing from 32, and some readers know 16 only.
        dtype = torch.bfloat16

    def load() -> tuple[Any, ModuleFiller | None]:
        model = load_quantised(path, config, dtype, LANGUAGE_KEYS)
        if lora:
            lora.merge_into(model)
        if packable and not is_plain(model):
            raise EngineError(
                f"The model in {path} cannot be served: its weights of the kind "
                f"{method_of(config)} did not become plain ones.",
                "model_unsupported",
            )
        return model.to(precision.activations) if plain and not precision.is_int8 else model, None

    skeleton = skeleton_of(config, dtype)
    skeleton.generation_config = generation_config_of(path, skeleton)
    return Checkpoint(skeleton, load, whole=True)
