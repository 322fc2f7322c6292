"""How the families of models that our own pass runs are built: what their configurations do not
say, and what they may say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from streaming.engine.models.layer_kinds import FULL, SLIDING, LayerKind, layer_kinds


@dataclass(frozen=True, slots=True)
class Architecture:
    """A layer normalises, attends, adds; normalises, multiplies by a gate, adds.

    `norm_offset` is added to the weights of all norms. `pre_norm` is the name of the norm of the
    second half's input; `post_norms` are those of what attention adds and of what the second half
    adds (None: not normalised). `activation` is the configuration's name for the gate's.
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
_ARCHITECTURES = {
    "llama": Architecture(),
    "mistral": Architecture(),
    "qwen2": Architecture(),
    "qwen3": Architecture(),
    "gemma": Architecture(norm_offset=1.0),
    "gemma3_text": _GEMMA_3,
}
"""By `model_type`."""

_ACTIVATIONS = {"silu": "silu", "swish": "silu", "gelu_pytorch_tanh": "gelu"}
_ROPE_TYPES = ("default", "linear", "llama3", "yarn")


def architecture_of(config: Any) -> Architecture:
    """Raises KeyError for a model that `misfit` says something of."""
    return _ARCHITECTURES[config.model_type]


def activation_of(config: Any) -> str:
    """The gate's: `silu`, or `gelu` as its tanh form. KeyError as of `architecture_of`."""
    return _ACTIVATIONS[_activation(config)]


def misfit(config: Any) -> str:
    """What our own pass does not compute of such a model; empty if it fits."""
    if config.model_type not in _ARCHITECTURES:
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
    """The types of layers whose positions turn in ways of their own; [""] where all turn alike."""
    rope = getattr(config, "rope_parameters", None) or {}
    return sorted(set(getattr(config, "layer_types", None) or ()) & set(rope)) or [""]


def sights_of(
    kinds: Sequence[LayerKind], turnings: Sequence[str], context: int
) -> tuple[list[int], list[tuple[int, int]]]:
    """The windows that there are, in tokens (0: all before a token are seen, as by one that is no
    smaller than the context), and each layer's window and turning, by number."""
    of_each = [kind.window if kind.window < context else 0 for kind in kinds]
    windows = sorted(set(of_each))
    turned = [turnings.index(kind.mask) if turnings[0] else 0 for kind in kinds]
    return windows, list(zip(map(windows.index, of_each), turned, strict=True))


def turned_by(rotary: Any, like: Tensor, at: Tensor, turning: str) -> tuple[Tensor, Tensor]:
    """Cosines and sines [1, n, d] of transformers' `rotary` at positions [1, n], for layers of the
    type `turning`."""
    cos, sin = rotary(like, at, turning) if turning else rotary(like, at)
    return cos, sin


def _activation(config: Any) -> str:
    return str(getattr(config, architecture_of(config).activation, None))


def _ropes(config: Any) -> list[dict[str, Any]]:
    rope = getattr(config, "rope_parameters", None) or {}
    return [rope[name] if name else rope for name in turnings_of(config)]
