"""Merges a LoRA adapter into a model's weights, one tensor at a time as they are read.

Hu et al. 2021, "LoRA", arXiv:2106.09685: W + scale * B @ A, where the scale is alpha / rank;
alpha / sqrt(rank) in Kalajdzievski 2023, "rsLoRA", arXiv:2312.03732.

The files are those of PEFT (https://huggingface.co/docs/peft/developer_guides/checkpoint).
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from streaming.engine.base import EngineError
from streaming.engine.local.loading.skeleton import few
from streaming.engine.models.adapter_folder import WEIGHTS, read_config
from streaming.engine.models.tensor_source import SafetensorsSource, TensorSource

_PART = re.compile(
    r"base_model\.model\.(?P<module>.+)\.lora_(?P<kind>embedding_)?(?P<which>[AB])(\.weight)?"
)
_OTHER = re.compile(r"base_model\.model\.(?P<name>.+)")
_LITERAL = re.compile(r"[\w.-]+")
_LEAVES_BASE_ALONE = (None, True, False, "gaussian", "eva", "orthogonal")
"""Initialisations (`init_lora_weights`) that do not change the model's own weights."""


@dataclass(frozen=True, slots=True)
class _Product:
    """The names of the tensors A and B, and the scale, of one weight's difference. `transposed`:
    the weight has its inputs as the first dimension."""

    a: str
    b: str
    scale: float
    transposed: bool

    @property
    def tensors(self) -> tuple[str, str]:
        return self.a, self.b


class Adapter:
    """The LoRA adapter in a folder. Raises EngineError for whatever is not plain LoRA."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._config = folder, read_config(folder)
        if reason := _unknown_kind(self._config):
            raise self._refusal(f"it {reason}")
        self._source = SafetensorsSource([folder / WEIGHTS])
        self._products: dict[str, _Product] = {}
        self._replaced: dict[str, str] = {}
        self._read_names()

    def names(self) -> Collection[str]:
        """Return the names of the parameters that it changes, as in transformers' model."""
        return {*self._products, *self._replaced}

    def on(self, source: TensorSource) -> TensorSource:
        """Return a source of the merged tensors. Raises EngineError if the adapter is for another
        model."""
        there = {name: found for name in self.names() if (found := _found(name, source))}
        self._refuse_strangers(set(self.names()) - there.keys())
        for name, found in there.items():
            self._check(name, source.shape(found))
        return _Changed(source, self, {found: name for name, found in there.items()})

    def merge_into(self, model: Any) -> None:
        """Merge into the parameters of a loaded model. Raises EngineError as `on`."""
        parameters = dict(model.named_parameters())
        self._refuse_strangers(set(self.names()) - parameters.keys())
        for name in self.names():
            self._check(name, tuple(parameters[name].shape))
            parameters[name].data = self.changed(name, parameters[name].data)

    def changed(self, name: str, weight: Tensor) -> Tensor:
        """Return the merged weight of the parameter `name`, in the format of `weight`."""
        if name in self._replaced:
            return self._source.read(self._replaced[name]).to(weight.device, weight.dtype)
        product = self._products[name]
        a, b = (
            self._source.read(each).to(weight.device).float() for each in (product.a, product.b)
        )
        difference = (b @ a).mul_(product.scale)
        return (difference.t() if product.transposed else difference).add(weight).to(weight.dtype)

    def _read_names(self) -> None:
        found: dict[tuple[str, bool], dict[str, str]] = {}
        for name in self._source.names():
            if match := _PART.fullmatch(name):
                key = match["module"], bool(match["kind"])
                found.setdefault(key, {})[match["which"]] = name
            elif "lora_" not in name and (match := _OTHER.fullmatch(name)):
                whole = match["name"].replace(".modules_to_save.", ".").replace(".base_layer.", ".")
                self._replaced[whole] = name
            else:
                raise self._refusal(f"it has the tensor {name}, which plain LoRA does not have")
        halves = [module for (module, _), parts in found.items() if len(parts) < 2]
        if halves:
            raise self._refusal(f"it has only half of what belongs to {few(halves)}")
        if not found and not self._replaced:
            raise self._refusal("it has no weights")
        transposed = bool(self._config.get("fan_in_fan_out"))
        for (module, embeds), parts in found.items():
            product = _Product(
                parts["A"], parts["B"], self._scale(module, parts), transposed or embeds
            )
            self._products[f"{module}.weight"] = product

    def _scale(self, module: str, parts: dict[str, str]) -> float:
        rank = self._source.shape(parts["A"])[0]
        alpha = self._config.get("lora_alpha", 8)
        others = self._config.get("alpha_pattern") or {}
        if not isinstance(others, dict):
            raise self._refusal(f"its alpha_pattern is {others!r:.100}")
        for pattern, other in others.items():
            # A stranger's pattern is not run; nearly all of them are plain names.
            if not _LITERAL.fullmatch(pattern):
                raise self._refusal(f"it gives alpha for a pattern of names ({pattern})")
            if module == pattern or module.endswith(f".{pattern}"):
                alpha = other  # as in PEFT, the first one that fits
                break
        try:
            below = math.sqrt(rank) if self._config.get("use_rslora") else rank
            if math.isfinite(scale := float(alpha) / below):
                return scale
        except (TypeError, ValueError, ZeroDivisionError, OverflowError):
            pass
        raise self._refusal(f"its alpha is {alpha!r:.100} and its rank {rank}")

    def _check(self, name: str, shape: tuple[int, ...]) -> None:
        """Raise EngineError unless the parameter has the shape that the adapter was made for."""
        if name in self._replaced:
            made = self._source.shape(self._replaced[name])
        else:
            product = self._products[name]
            a, b = self._source.shape(product.a), self._source.shape(product.b)
            if len(a) != 2 or len(b) != 2 or a[0] != b[1]:
                raise self._refusal(f"what it has for {name} does not fit together")
            made = (a[1], b[0]) if product.transposed else (b[0], a[1])
        if made != shape:
            raise self._refusal(
                f"it was made for another model: it changes {name} of the shape {list(made)}, "
                f"which is {list(shape)} here"
            )

    def _refuse_strangers(self, names: Collection[str]) -> None:
        if names:
            raise self._refusal(
                f"it was made for another model: it changes {few(names)}, which this one does not "
                "have"
            )

    def _refusal(self, reason: str) -> EngineError:
        return EngineError(
            f"The adapter in {self._folder} cannot be used: {reason}.", "model_unsupported"
        )


class _Changed:
    """The `TensorSource` of merged tensors; `changes` has the adapter's names by those of
    `source`."""

    def __init__(self, source: TensorSource, adapter: Adapter, changes: dict[str, str]) -> None:
        self._source, self._adapter, self._changes = source, adapter, changes

    def names(self) -> Collection[str]:
        return self._source.names()

    def shape(self, name: str) -> tuple[int, ...]:
        return self._source.shape(name)

    def dtype(self, name: str) -> torch.dtype:
        return self._source.dtype(name)

    def read(self, name: str, wanted: torch.dtype | None = None) -> Tensor:
        if name in self._changes:
            tensor = self._source.read(name)
            return self._adapter.changed(self._changes[name], tensor).contiguous()
        return self._source.read(name, wanted)


def _found(name: str, source: TensorSource) -> str:
    """Return a parameter's name in the checkpoint, some of which leave out `model.`; empty if it is
    not there."""
    names = source.names()
    return next((each for each in (name, name.removeprefix("model.")) if each in names), "")


def _unknown_kind(config: dict[str, Any]) -> str:
    """Return what an adapter does that is not plain LoRA; empty if nothing."""
    kind = config.get("peft_type")
    if kind != "LORA":
        return f"is of the kind {kind}, and only LORA is merged"
    for name, says in (
        ("use_dora", "DoRA"), ("use_qalora", "QALoRA"), ("alora_invocation_tokens", "aLoRA"),
        ("lora_bias", "biases of its own (lora_bias)"), ("target_parameters", "target_parameters"),
        ("layer_replication", "layer_replication"), ("megatron_config", "Megatron's layers"),
        ("trainable_token_indices", "trainable_token_indices"), ("corda_config", "CorDA"),
        ("use_bdlora", "BD-LoRA"), ("arrow_config", "Arrow"),
    ):  # fmt: skip
        if config.get(name):
            return f"uses {says}, and only plain LoRA is merged"
    began = config.get("init_lora_weights")
    if began not in _LEAVES_BASE_ALONE:
        return f"began as {began}, which takes its part out of the model's own weights"
    return ""
