"""The architectures of GGUF files that can be converted, and what their keys are in transformers.

For what a file does not say llama.cpp's defaults count (its `src/models`; `conversion` has what is
written); the tests compare each architecture with transformers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from streaming.engine.models.gguf.facts import Facts


@dataclass(frozen=True, slots=True)
class Family:
    """How one architecture is converted to transformers' `model_type`.

    - `keys`: keys that are copied, with their names in the configuration
    - `fixed`: values of the configuration that no key says
    - `norm`: the key of the norms' epsilon, and its name in the configuration
    - `permuted`: the rows of queries and keys were reordered for llama.cpp
    - `offset`: what was added to the weights of norms
    - `partial`: the position may rotate only a part of each head
    - `more`: adds what the remaining keys say
    """

    model_type: str
    keys: Mapping[str, str] = field(default_factory=dict)
    fixed: Mapping[str, Any] = field(default_factory=dict)
    norm: tuple[str, str] = ("attention.layer_norm_rms_epsilon", "rms_norm_eps")
    permuted: bool = False
    offset: float = 0.0
    partial: bool = False
    more: Callable[[Facts, dict[str, Any]], None] = lambda facts, config: None


def _biases(facts: Facts, config: dict[str, Any]) -> None:
    config["attention_bias"] = facts.has("blk.0.attn_q.bias")
    config["mlp_bias"] = facts.has("blk.0.ffn_down.bias")


def _llama(facts: Facts, config: dict[str, Any]) -> None:
    experts = facts.take("expert_count", 0)
    if experts:
        config["model_type"] = "mixtral"
        config["num_local_experts"] = experts
        config["num_experts_per_tok"] = facts.count("expert_used_count")
    else:
        _no_experts(facts)
        _biases(facts, config)


def _no_experts(facts: Facts, config: dict[str, Any] | None = None) -> None:
    if facts.take("expert_count", 0):
        raise facts.refusal("it has experts, which models of its architecture are not read with")


def _plain(facts: Facts, config: dict[str, Any]) -> None:
    _no_experts(facts)
    _biases(facts, config)


def _qwen2(facts: Facts, config: dict[str, Any]) -> None:
    _no_experts(facts)
    config["use_sliding_window"] = False


def _qwen_moe(facts: Facts, config: dict[str, Any]) -> None:
    config["num_experts"] = facts.count("expert_count")
    config["num_experts_per_tok"] = facts.count("expert_used_count")
    config["moe_intermediate_size"] = facts.count("expert_feed_forward_length")
    config["use_sliding_window"] = False
    config.setdefault("intermediate_size", config["moe_intermediate_size"])  # no layer has it
    if config["model_type"] == "qwen2_moe":
        config["shared_expert_intermediate_size"] = facts.count("expert_shared_feed_forward_length")
    for key, only in (
        ("expert_weights_norm", config["norm_topk_prob"]),
        ("expert_weights_scale", 1.0),
    ):
        if facts.take(key, only) != only:
            raise facts.refusal(f"{facts.header.architecture}.{key} is not {only}")


def _scaled_like(facts: Facts, config: dict[str, Any], layers: int) -> None:
    """Set the scale of the attention scores. Gemma's largest models scale by hidden size / heads
    instead of the heads' own size; no key says so, and llama.cpp, too, knows them by their number
    of `layers`."""
    large = config["num_hidden_layers"] == layers
    whole = config["hidden_size"] // config["num_attention_heads"]
    config["query_pre_attn_scalar"] = whole if large else config["head_dim"]


def _gemma2(facts: Facts, config: dict[str, Any]) -> None:
    _scaled_like(facts, config, 46)
    config["sliding_window"] = facts.take("attention.sliding_window", 4096)
    config["attn_logit_softcapping"] = facts.take("attn_logit_softcapping", 50.0)
    config["final_logit_softcapping"] = facts.take("final_logit_softcapping", 30.0)
    config["layer_types"] = _pattern(facts, config, 2)


def _gemma3(facts: Facts, config: dict[str, Any]) -> None:
    _scaled_like(facts, config, 62)
    config["final_logit_softcapping"] = facts.take("final_logit_softcapping")
    window = facts.take("attention.sliding_window")
    base = facts.take("rope.freq_base_swa", 10_000.0)
    config["rope_parameters"] = {
        "full_attention": config["rope_parameters"],
        "sliding_attention": {"rope_type": "default", "rope_theta": base},
    }
    if window:
        config["sliding_window"] = window
        config["layer_types"] = _pattern(facts, config, 6)
    else:
        config["layer_types"] = ["full_attention"] * config["num_hidden_layers"]


def _pattern(facts: Facts, config: dict[str, Any], usual: int) -> list[str]:
    """Return the layers' types: of every `usual` layers all slide but the last one, unless the file
    says so for each layer, or has another period."""
    layers = config["num_hidden_layers"]
    said = facts.take_list("attention.sliding_window_pattern")
    if said is not None and len(said) > 1:
        if len(said) != layers:
            raise facts.refusal("it does not say for each of its layers whether it slides")
        slides = [bool(each) for each in said]
    else:
        every = int(said[0]) if said else usual
        slides = [bool(every and (at + 1) % every) for at in range(layers)]
    return ["sliding_attention" if each else "full_attention" for each in slides]


def _phi3(facts: Facts, config: dict[str, Any]) -> None:
    # Files of before May 2024 have none, though the models do.
    config["sliding_window"] = facts.need("attention.sliding_window") or None
    if (config["sliding_window"] or 0) >= config["max_position_embeddings"]:
        config["sliding_window"] = None
    config["original_max_position_embeddings"] = config["rope_parameters"].get(
        "original_max_position_embeddings", config["max_position_embeddings"]
    )
    _no_experts(facts)


def _granite(facts: Facts, config: dict[str, Any]) -> None:
    _no_experts(facts)
    _biases(facts, config)
    usual = config["head_dim"] ** -0.5
    config["attention_multiplier"] = facts.take("attention.scale") or usual
    config["embedding_multiplier"] = facts.take("embedding_scale") or 1.0
    config["residual_multiplier"] = facts.take("residual_scale") or 1.0
    config["logits_scaling"] = facts.take("logit_scale") or 1.0


def _olmo2(facts: Facts, config: dict[str, Any]) -> None:
    config["attention_bias"] = False
    window = facts.take("attention.sliding_window")
    if window:  # OLMo 3: layers that slide are turned without scaling
        config["model_type"] = "olmo3"
        config["sliding_window"] = window
        config["layer_types"] = _pattern(facts, config, 4)
        base = config["rope_parameters"]["rope_theta"]
        config["rope_parameters"] = {
            "full_attention": config["rope_parameters"],
            "sliding_attention": {"rope_type": "default", "rope_theta": base},
        }


def _cohere(facts: Facts, config: dict[str, Any]) -> None:
    config["use_qk_norm"] = facts.has("blk.0.attn_q_norm.weight")
    config["attention_bias"] = facts.has("blk.0.attn_q.bias")


def _cohere2(facts: Facts, config: dict[str, Any]) -> None:
    config["sliding_window"] = facts.count("attention.sliding_window")
    config["layer_types"] = _pattern(facts, config, 4)
    config["attention_bias"] = facts.has("blk.0.attn_q.bias")


def _gpt_oss(facts: Facts, config: dict[str, Any]) -> None:
    config["num_local_experts"] = facts.count("expert_count")
    config["num_experts_per_tok"] = facts.count("expert_used_count")
    width = facts.take("expert_feed_forward_length", config.get("intermediate_size"))
    config["intermediate_size"] = width
    config["sliding_window"] = facts.count("attention.sliding_window")
    config["layer_types"] = _pattern(facts, config, 2)
    if config["rope_parameters"]["rope_type"] == "yarn":
        config["rope_parameters"]["truncate"] = False  # as its makers publish it; no key says it


def _seed_oss(facts: Facts, config: dict[str, Any]) -> None:
    config["attention_bias"] = facts.has("blk.0.attn_q.bias")
    config["attention_out_bias"] = facts.has("blk.0.attn_output.bias")
    config["mlp_bias"] = facts.has("blk.0.ffn_down.bias")


def _exaone4(facts: Facts, config: dict[str, Any]) -> None:
    window = facts.take("attention.sliding_window")
    config["sliding_window"] = window or None
    config["sliding_window_pattern"] = 4 if window else None
    if window:
        config["layer_types"] = _pattern(facts, config, 4)
    else:
        config["layer_types"] = ["full_attention"] * config["num_hidden_layers"]


def _stablelm(facts: Facts, config: dict[str, Any]) -> None:
    config["use_qkv_bias"] = facts.has("blk.0.attn_q.bias")
    parallel = not facts.has("blk.0.ffn_norm.weight")
    facts.take("use_parallel_residual")  # what has a second norm is not
    config["use_parallel_residual"] = parallel


_LAYER_NORM = "attention.layer_norm_epsilon"
_NORM_TOPK = {"norm_topk_prob": True}

FAMILIES: dict[str, Family] = {
    "arcee": Family("arcee", permuted=True, fixed={"hidden_act": "relu2"}, more=_plain),
    "cohere2": Family(
        "cohere2", {"logit_scale": "logit_scale"}, norm=(_LAYER_NORM, "layer_norm_eps"),
        more=_cohere2,
    ),
    "command-r": Family(
        "cohere", {"logit_scale": "logit_scale"}, norm=(_LAYER_NORM, "layer_norm_eps"), more=_cohere
    ),
    "ernie4_5": Family("ernie4_5"),
    "exaone4": Family("exaone4", more=_exaone4),
    "gemma": Family("gemma", offset=1.0),
    "gemma2": Family("gemma2", offset=1.0, more=_gemma2),
    "gemma3": Family("gemma3_text", offset=1.0, more=_gemma3),
    "glm4": Family("glm4", partial=True, more=_biases),
    "gpt-oss": Family("gpt_oss", fixed={"attention_bias": True}, more=_gpt_oss),
    "granite": Family("granite", permuted=True, more=_granite),
    "llama": Family("llama", permuted=True, more=_llama),
    "mistral3": Family("mistral", permuted=True, fixed={"sliding_window": None}, more=_no_experts),
    "nemotron": Family(
        "nemotron", norm=(_LAYER_NORM, "norm_eps"), offset=1.0, partial=True,
        fixed={"hidden_act": "relu2"}, more=_biases,
    ),
    "olmo2": Family("olmo2", more=_olmo2),
    "phi3": Family("phi3", partial=True, more=_phi3),
    "qwen2": Family("qwen2", more=_qwen2),
    "qwen2moe": Family("qwen2_moe", fixed={"norm_topk_prob": False}, more=_qwen_moe),
    "qwen3": Family("qwen3", more=_qwen2),
    "qwen3moe": Family("qwen3_moe", fixed=_NORM_TOPK, more=_qwen_moe),
    "seed_oss": Family("seed_oss", more=_seed_oss),
    "smollm3": Family("smollm3", permuted=True, more=_plain),
    "stablelm": Family(
        "stablelm", norm=(_LAYER_NORM, "layer_norm_eps"), partial=True, more=_stablelm
    ),
}  # fmt: skip
"""By `general.architecture`."""
