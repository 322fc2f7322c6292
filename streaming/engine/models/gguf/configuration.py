"""Makes a transformers configuration of a GGUF file's header, or says why it cannot."""

from __future__ import annotations

from typing import Any

from streaming.engine.base import EngineError
from streaming.engine.models.gguf.facts import Facts
from streaming.engine.models.gguf.families import FAMILIES, Family
from streaming.engine.models.gguf.header import Header
from streaming.engine.models.gguf.rope import rope_of


def family_of(header: Header) -> Family:
    """Return how the header's architecture is converted. Raises EngineError if it is not one of
    FAMILIES."""
    try:
        return FAMILIES[header.architecture]
    except KeyError:
        raise EngineError(
            f"{header.path} cannot be served: GGUF files of the architecture "
            f"{header.architecture} are not read, only of {', '.join(sorted(FAMILIES))}. A folder "
            "or a Hub id with safetensors may work.",
            "model_unsupported",
        ) from None


def configuration_of(header: Header) -> dict[str, Any]:
    """Return the content of a config.json. Raises EngineError with the reason if there is none."""
    family, facts = family_of(header), Facts(header)
    _check_plain(facts)
    heads = facts.count("attention.head_count")
    hidden = facts.count("embedding_length")
    size = facts.take("attention.key_length") or hidden // heads
    if facts.take("attention.value_length", size) != size:
        raise facts.refusal("its values are not as long as its keys")
    table = header.tensors.get("token_embd.weight")
    if table is None:
        raise facts.refusal("it lacks the tensor token_embd.weight")
    key, name = family.norm
    config: dict[str, Any] = {
        "model_type": family.model_type,
        "vocab_size": table.shape[0],
        "max_position_embeddings": facts.count("context_length"),
        "hidden_size": hidden,
        "num_hidden_layers": facts.count("block_count"),
        "num_attention_heads": heads,
        "num_key_value_heads": facts.take("attention.head_count_kv") or heads,
        "head_dim": size,
        name: facts.need(key),
        "tie_word_embeddings": not facts.has("output.weight"),
        **family.fixed,
    }
    if (width := facts.take("feed_forward_length")) is not None:
        config["intermediate_size"] = width
    for key, name in family.keys.items():
        config[name] = facts.need(key)
    config["rope_parameters"] = rope_of(facts, config, partial=family.partial)
    family.more(facts, config)
    facts.finish()
    return config


def _check_plain(facts: Facts) -> None:
    """Raise EngineError for keys that have another value than the only one that can be
    converted."""
    metadata, prefix = facts.header.metadata, f"{facts.header.architecture}."
    if metadata.get(f"{prefix}attention.causal", True) is not True:
        raise facts.refusal("its tokens also see what comes after them, so it does not generate")
    if metadata.get(f"{prefix}nextn_predict_layers", 0):
        raise facts.refusal("it has layers that guess several tokens at once (MTP)")
    rows = facts.header.tensors.get("token_embd.weight")
    said = metadata.get(f"{prefix}vocab_size")
    if said is not None and rows is not None and said != rows.shape[0]:
        raise facts.refusal(f"it speaks of {said} tokens and has {rows.shape[0]}")
