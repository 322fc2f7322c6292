"""Tells from a configuration alone which tokens each layer of a model attends to.

The names of the kinds are transformers' own: those of a configuration's `layer_types`, and of the
masks that its models take.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

FULL, SLIDING, CHUNKED, NOTHING = (
    "full_attention", "sliding_attention", "chunked_attention", "dummy",
)  # fmt: skip
"""A layer's tokens attend to: all tokens before; the newest `window`; those of their own chunk of
`window` tokens; the keys and values of another layer, since the layer has none of its own."""


_SEE_ALL = {"gemma", "llama"}
"""By `model_type`: the code of these has no window, even if the configuration says one."""


@dataclass(frozen=True, slots=True)
class LayerKind:
    """A layer's kind (FULL, SLIDING, ...), the type by which the model's code asks for its `mask`,
    and its `window` in tokens; 0: it attends to all."""

    kind: str
    mask: str
    window: int = 0


def layer_kinds(config: Any) -> list[LayerKind]:
    """Return the kind of each layer of a language model. Raises ValueError with the reason if it
    cannot be told."""
    from transformers.cache_utils import get_layer_types_and_kwargs

    config = config.get_text_config(decoder=True)
    if config.model_type in _SEE_ALL and not getattr(config, "layer_types", None):
        return [LayerKind(FULL, FULL)] * config.num_hidden_layers
    kinds, arguments = get_layer_types_and_kwargs(config)
    masks = getattr(config, "layer_types", None) or kinds
    if not len(kinds) == len(masks) == config.num_hidden_layers:
        raise ValueError(
            f"its configuration tells the kinds of {len(kinds)} layers, and it has "
            f"{config.num_hidden_layers}"
        )
    found = []
    for number, (kind, mask, told) in enumerate(zip(kinds, masks, arguments, strict=True)):
        kind = FULL if kind == "attention" else kind
        window = told.get("sliding_window") or 0
        if kind in (SLIDING, CHUNKED) and (not isinstance(window, int) or window < 1):
            raise ValueError(f"its layer {number} slides over a window of {window!r} tokens")
        found.append(LayerKind(kind, mask, window))
    for mask in {each.mask for each in found}:
        alike = {(each.kind, each.window) for each in found if each.mask == mask} - {(NOTHING, 0)}
        if len(alike) > 1:
            raise ValueError(f"its layers of the kind {mask} differ in their windows")
    return found


def has_masks_by_kind(config: Any) -> bool:
    """Return whether the model's code takes a mask for each kind of layer: transformers' own rule,
    as in its `create_masks_for_generate`."""
    return bool(getattr(config.get_text_config(decoder=True), "layer_types", None))
