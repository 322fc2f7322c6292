"""From which tensors of a GGUF file each parameter of transformers' model is made, and how."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from streaming.engine.base import EngineError
from streaming.engine.models.gguf.configuration import family_of
from streaming.engine.models.gguf.families import Family
from streaming.engine.models.gguf.header import Header

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
