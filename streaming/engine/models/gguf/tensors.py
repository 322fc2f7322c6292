"""Reads the tensors of a GGUF file by the names of a transformers model, one at a time: blocks of
few bits are dequantised, and what llama.cpp stores in another order is put back."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from streaming.engine.base import EngineError
from streaming.engine.faults import told_by
from streaming.engine.models.gguf.configuration import family_of
from streaming.engine.models.gguf.families import Family
from streaming.engine.models.gguf.header import Header, StoredTensor
from streaming.engine.models.manifest import status_of

_F32, _F16, _BF16 = 0, 1, 30
_DTYPES = {_F32: torch.float32, _F16: torch.float16, _BF16: torch.bfloat16}
_AT_ONCE = 1 << 18  # numbers that are dequantised at once

_CONFIGURATION = {"rope_freqs.weight", "rope_factors_long.weight", "rope_factors_short.weight"}
"""Tensors that the configuration is made of, and no parameter."""

_EXPERTS = re.compile(r"(?P<layer>model\.layers\.\d+)\..+\.experts\.(?P<name>\w+)")
_QUERY_OR_KEY = re.compile(r"blk\.\d+\.attn_(?P<which>[qk])\.(weight|bias)")


@dataclass(frozen=True, slots=True)
class Recipe:
    """From which `tensors` of a file a model's parameter is made, and `how`:

    - `plain`: it is that tensor, reshaped at most
    - `heads:N`: each of N heads has its rows interleaved by halves; they are put back in order
    - `minus:X`: X was added to it, and is subtracted
    - `concatenated`: two tensors [experts, n, k] along the second dimension
    - `transposed`: a tensor [experts, n, k] becomes [experts, k, n]
    - `interleaved`: two tensors alternate along the last dimension, transposed before if they have
      three dimensions
    """

    tensors: tuple[str, ...]
    how: str = "plain"


def recipes_of(
    header: Header, config: Mapping[str, Any]
) -> tuple[dict[str, Recipe], dict[str, tuple[int, ...]]]:
    """Return how each parameter of transformers' model of this configuration is made from the file,
    and each one's shape.

    Raises EngineError if a tensor of the file is used by no parameter, or if a parameter has no
    tensor or another shape.
    """
    import gguf

    family, shapes = family_of(header), _shapes(config)
    kinds = {name: kind for kind, name in gguf.MODEL_ARCH_NAMES.items()}
    names = gguf.get_tensor_name_map(kinds[header.architecture], config["num_hidden_layers"])
    recipes: dict[str, Recipe] = {}
    lacking = []
    for name in shapes:
        recipe = _recipe(name, names, family, config)
        if all(each in header.tensors for each in recipe.tensors):
            recipes[name] = recipe
        else:
            lacking.append(name)
    used = {each for recipe in recipes.values() for each in recipe.tensors} | _CONFIGURATION
    foreign = sorted(header.tensors.keys() - used)
    for what, found in (("the model has no place for its", foreign), ("it lacks the", lacking)):
        if found:
            raise EngineError(
                f"{header.path} cannot be served: {what} tensor{'s' * (len(found) > 1)} "
                f"{', '.join(found[:5])}{f' and {len(found) - 5} more' if len(found) > 5 else ''}.",
                "model_unsupported",
            )
    for name, recipe in recipes.items():
        if (made := _shape(header, recipe, shapes[name])) != shapes[name]:
            raise EngineError(
                f"{header.path} cannot be served: its tensor {recipe.tensors[0]} makes "
                f"{list(made)} of {name}, which is {list(shapes[name])}.",
                "model_corrupt",
            )
    return recipes, shapes


def _shapes(config: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """Return the shapes of all parameters, without a head that is tied to the embeddings."""
    import transformers

    auto: Any = transformers
    values = dict(config)
    made = auto.AutoConfig.for_model(values.pop("model_type"), **values)
    with torch.device("meta"):
        model = auto.AutoModelForCausalLM.from_config(made)
    tied = set(model._tied_weights_keys or ()) if made.tie_word_embeddings else set()
    return {
        name: tuple(tensor.shape) for name, tensor in model.state_dict().items() if name not in tied
    }


def _recipe(name: str, names: Any, family: Family, config: Mapping[str, Any]) -> Recipe:
    if found := _EXPERTS.fullmatch(name):
        layer = names.get_name(found["layer"] + ".mlp.gate")[: -len("ffn_gate_inp")]
        return _experts(layer, found["name"], config)
    stem, _, leaf = name.rpartition(".")
    if leaf not in ("weight", "bias"):  # one that is none of a module's, as attention sinks
        stem, leaf = name, "weight"
    stored = f"{names.get_name(stem) or stem}.{leaf}"
    if family.permuted and (turned := _QUERY_OR_KEY.fullmatch(stored)):
        count = "num_attention_heads" if turned["which"] == "q" else "num_key_value_heads"
        return Recipe((stored,), f"heads:{config[count]}")
    if family.offset and stored.endswith("norm.weight"):
        return Recipe((stored,), f"minus:{family.offset}")
    return Recipe((stored,))


def _experts(layer: str, name: str, config: Mapping[str, Any]) -> Recipe:
    gate, up, down = (f"{layer}ffn_{part}_exps" for part in ("gate", "up", "down"))
    if config["model_type"] == "gpt_oss":
        return {
            "gate_up_proj": Recipe((f"{gate}.weight", f"{up}.weight"), "interleaved"),
            "gate_up_proj_bias": Recipe((f"{gate}.bias", f"{up}.bias"), "interleaved"),
            "down_proj": Recipe((f"{down}.weight",), "transposed"),
            "down_proj_bias": Recipe((f"{down}.bias",)),
        }[name]
    if name == "gate_up_proj":
        return Recipe((f"{gate}.weight", f"{up}.weight"), "concatenated")
    return Recipe((f"{down}.weight",))


def _shape(header: Header, recipe: Recipe, wanted: tuple[int, ...]) -> tuple[int, ...]:
    first, *others = (header.tensors[each].shape for each in recipe.tensors)
    if any(other != first for other in others):
        return first
    if recipe.how == "concatenated" and len(first) == 3:
        return first[0], 2 * first[1], first[2]
    if recipe.how == "interleaved":
        turned = (first[0], *first[:0:-1])
        return *turned[:-1], 2 * turned[-1]
    if recipe.how == "transposed":
        return first[0], *first[:0:-1]
    if math.prod(first) == math.prod(wanted) and [n for n in first if n > 1] == [
        n for n in wanted if n > 1
    ]:
        return wanted
    return first


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
