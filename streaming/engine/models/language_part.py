"""Takes the language part out of a model that also sees or hears: a language model like any other.

Only this part is loaded. Its tensors have other names in the model's files than in a language model
alone; LANGUAGE_KEYS renames them.
"""

from __future__ import annotations

import copy
from typing import Any

_READERS = {
    "gemma3", "gemma3n", "gemma4", "llama4", "llava", "mistral3", "qwen2_5_vl", "qwen2_vl",
    "qwen3_vl",
}  # fmt: skip
"""Models, by `model_type`, whose language part reads text as a language model of its own would."""

_ALONE = {"qwen2_vl_text": "qwen2", "qwen2_5_vl_text": "qwen2", "qwen3_vl_text": "qwen3"}
"""The `model_type` that stands for a language part with three positions for each token (M-RoPE,
Wang et al. 2024, arXiv:2409.12191): for text the three are equal."""

LANGUAGE_KEYS = {
    r"^model\.language_model\.": "model.",
    r"^language_model\.model\.": "model.",
    r"^language_model\.lm_head\.": "lm_head.",
}
"""Names of tensors (regular expressions), and what they become in the language model alone."""

OTHER_PARTS = (
    "vision_tower.", "visual.", "vision_model.", "multi_modal_projector.", "audio_tower.",
    "embed_vision.", "embed_audio.",
)  # fmt: skip
"""Prefixes of the names of tensors that belong to other parts, after `model.` is removed."""


def has_other_parts(config: Any) -> bool:
    """Return whether a model of this configuration has more than a language part."""
    names = ("vision_config", "audio_config", "audio_encoder_config")
    others = any(getattr(config, name, None) for name in names)
    return others or config.get_text_config(decoder=True) is not config


def other_part_reason(config: Any) -> str:
    """Return why the language part cannot be taken alone; empty if it can, or is all there is."""
    if not has_other_parts(config) or config.model_type in _READERS:
        return ""
    if getattr(config, "is_encoder_decoder", None):
        return "it is an encoder-decoder model, and only decoder-only chat models are"
    return (
        f"models of the type {config.model_type} also read images or sound, and it is not known "
        "that their language part reads text alone"
    )


def language_config(config: Any) -> Any:
    """Return the configuration of the language part, which may be all there is."""
    text = config.get_text_config(decoder=True)
    if text is config:
        return config
    text = copy.deepcopy(text)
    text.tie_word_embeddings = config.tie_word_embeddings
    if (quantised := getattr(config, "quantization_config", None)) is not None:
        text.quantization_config = quantised
    kind = _ALONE.get(text.model_type)
    if kind is None:
        return text
    from transformers import CONFIG_MAPPING

    told = {name: value for name, value in text.to_dict().items() if name != "model_type"}
    rope = dict(told.pop("rope_parameters", None) or {})
    told["rope_parameters"] = {
        name: "default" if value == "mrope" else value
        for name, value in rope.items()
        if not name.startswith("mrope_")
    }
    return CONFIG_MAPPING[kind](**told)
