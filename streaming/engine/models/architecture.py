"""How the families of models that our own pass runs are built, and which configurations it runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from streaming.engine.models.layer_kinds import FULL, SLIDING, LayerKind, layer_kinds


@dataclass(frozen=True, slots=True)
class Architecture:
    """What a family's configuration does not say of its layers.

    Each layer is: x + attention(norm(x)), then x + MLP(norm(x)), whose gate has an activation.

    - `norm_offset`: added to the weights of all norms
    - `pre_norm`: name of the norm of the MLP's input
    - `post_norms`: names of the norms of the attention's and the MLP's results; None: they are
      added as they are
    - `activation`: the configuration's key for the activation
    """

    norm_offset: float = 0.0
    pre_norm: str = "post_attention_layernorm"
    post_norms: tuple[str, str] | None = None
    activation: str = "hidden_act"


_GEMMA_3 = Architecture(
    norm_offset=1.0,
    pre_norm="pre_feedforward_layernorm",
    post_norms=("post_attention_layernorm", "post_feedforward_layernorm"),
    activation="hidden_activation",
)
_FAMILIES = {
    "llama": Architecture(),
    "mistral": Architecture(),
    "qwen2": Architecture(),
    "qwen3": Architecture(),
    "gemma": Architecture(norm_offset=1.0),
    "gemma3_text": _GEMMA_3,
}
"""The families that our own pass runs, by `model_type`."""

_ACTIVATIONS = {"silu": "silu", "swish": "silu", "gelu_pytorch_tanh": "gelu"}
_ROPE_TYPES = ("default", "linear", "llama3", "yarn")


def architecture_of(config: Any) -> Architecture:
    """Return how a model that our own pass runs is built. Raises KeyError for one that `misfit`
    says something of."""
    return _FAMILIES[config.model_type]


def activation_of(config: Any) -> str:
    """Return the gate's activation: `silu`, or `gelu` for its tanh approximation. Raises KeyError
    as `architecture_of`."""
    return _ACTIVATIONS[_activation(config)]


def misfit(config: Any) -> str:
    """Return why our own pass does not run a model of this configuration; empty if it does."""
    if config.model_type not in _FAMILIES:
        return f"models of the type {config.model_type} are not built like Llama"
    try:
        kinds = layer_kinds(config)
    except (ValueError, AttributeError):  # see `check_supported`
        return "the kinds of its layers cannot be told"
    if (name := _activation(config)) not in _ACTIVATIONS:
        return f"its activation is {name}"
    for rope in _ropes(config):
        if (rope_type := rope.get("rope_type", "default")) not in _ROPE_TYPES:
            return f"its positions are of the kind {rope_type}"
        if rope.get("partial_rotary_factor", 1.0) != 1.0:
            return "its positions turn a part of each head only"
    if other := {kind.kind for kind in kinds} - {FULL, SLIDING}:
        return f"it has layers of the kind {min(other)}"
    for name in ("attn_logit_softcapping", "final_logit_softcapping"):
        if getattr(config, name, None):
            return f"it has {name}"
    head_dim = getattr(config, "head_dim", None)
    if (head_dim or config.hidden_size // config.num_attention_heads) % 2:
        return "its heads have an odd size"
    return ""


def turnings_of(config: Any) -> list[str]:
    """Return the layer types that have rotary parameters of their own; [""] if all layers share
    them."""
    rope = getattr(config, "rope_parameters", None) or {}
    return sorted(set(getattr(config, "layer_types", None) or ()) & set(rope)) or [""]


def sights_of(
    kinds: Sequence[LayerKind], turnings: Sequence[str], context: int
) -> tuple[list[int], list[tuple[int, int]]]:
    """Return the distinct windows in tokens, and for each layer the numbers of its window and of
    its rotary parameters.

    A window of 0 sees all tokens before; one that is not smaller than `context` counts as 0.
    `turnings` is what `turnings_of` returns.
    """
    of_each = [kind.window if kind.window < context else 0 for kind in kinds]
    windows = sorted(set(of_each))
    turned = [turnings.index(kind.mask) if turnings[0] else 0 for kind in kinds]
    return windows, list(zip(map(windows.index, of_each), turned, strict=True))


def turned_by(rotary: Any, like: Tensor, at: Tensor, turning: str) -> tuple[Tensor, Tensor]:
    """Return cosines and sines [1, n, d] of transformers' module `rotary` at the positions `at`
    [1, n], for layers of the type `turning` (empty: all), in the format of `like`."""
    cos, sin = rotary(like, at, turning) if turning else rotary(like, at)
    return cos, sin


def _activation(config: Any) -> str:
    return str(getattr(config, architecture_of(config).activation, None))


def _ropes(config: Any) -> list[dict[str, Any]]:
    rope = getattr(config, "rope_parameters", None) or {}
    return [rope[name] if name else rope for name in turnings_of(config)]
