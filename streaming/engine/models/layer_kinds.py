"""What each layer of a model remembers and sees, told from its configuration alone.

The names of the kinds are transformers' own: of a configuration's `layer_types`, and of the masks
that its models take.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

FULL, SLIDING, CHUNKED, NOTHING = (
    "full_attention", "sliding_attention", "chunked_attention", "dummy",
)  # fmt: skip
"""All tokens before it; the newest `window`; those of its own chunk of `window` tokens; a layer
without keys and values of its own."""


_SEE_ALL = {"gemma", "llama"}
"""By `model_type`: the code of these looks through no window, even if a configuration has one."""


@dataclass(frozen=True, slots=True)
class LayerKind:
    """`mask` is the layer's type as the model's code asks for its mask; `window` is 0 where it
    sees all."""

    kind: str
    mask: str
    window: int = 0


def layer_kinds(config: Any) -> list[LayerKind]:
    """Of each layer of a language model. Raises ValueError with the reason if that cannot be
    told."""
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
    """Whether the model's code takes a mask for each kind of layer: transformers' own rule, see
    its `create_masks_for_generate`."""
    return bool(getattr(config.get_text_config(decoder=True), "layer_types", None))
