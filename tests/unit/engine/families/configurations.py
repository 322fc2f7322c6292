"""Tiny configurations of the families that are served, as transformers has them. Windows and chunks
are of 16 tokens: shorter than most prompts of `serving`."""

from __future__ import annotations

from typing import Any

WINDOW = 16
CONTEXT = 160
_SHAPE: dict[str, Any] = {
    "vocab_size": 199, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3,
    "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 256,
    "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0,
}  # fmt: skip
_HEADS = {"head_dim": 8}
_EVERY_OTHER = {
    "sliding_window": WINDOW,
    "layer_types": ["sliding_attention", "full_attention", "sliding_attention"],
}
_ALL_SLIDE = {"sliding_window": WINDOW, "layer_types": ["sliding_attention"] * 3}
_EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16}
_LATENTS = {
    "q_lora_rank": 16, "kv_lora_rank": 16, "qk_rope_head_dim": 4, "qk_nope_head_dim": 8,
    "v_head_dim": 8, "num_key_value_heads": 4,
}  # fmt: skip
_ROUTED = {
    "n_routed_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16,
    "n_shared_experts": 1, "n_group": 1, "topk_group": 1, "first_k_dense_replace": 1,
}  # fmt: skip
_LONGROPE = {
    "original_max_position_embeddings": 64, "max_position_embeddings": 256,
    "rope_parameters": {
        "rope_type": "longrope", "rope_theta": 10000.0, "short_factor": [1.0, 1.3, 1.7, 2.0],
        "long_factor": [2.0, 4.0, 8.0, 16.0], "original_max_position_embeddings": 64,
        "factor": 4.0,
    },
}  # fmt: skip
_VISION = {
    "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
    "image_size": 28, "patch_size": 14,
}  # fmt: skip


def _gpt2(**changes: Any) -> dict[str, Any]:
    return {
        "vocab_size": 199, "n_embd": 32, "n_layer": 3, "n_head": 4, "n_positions": 256,
        "bos_token_id": 1, "eos_token_id": 2, **changes,
    }  # fmt: skip


def _text(kind: str, **changes: Any) -> dict[str, Any]:
    return {"model_type": kind, **_SHAPE, **changes}


# name: (model type, what differs from _SHAPE, None: nothing of it is taken)
FAMILIES: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("llama", {}),
    "mistral": ("mistral", {"sliding_window": None}),
    "mistral, window": ("mistral", {"sliding_window": WINDOW}),
    "mistral, long window": ("mistral", {"sliding_window": 4096}),
    "ministral": ("ministral", {**_HEADS, **_EVERY_OTHER}),
    "mixtral": ("mixtral", {"num_local_experts": 4, "sliding_window": None}),
    "qwen2": ("qwen2", {}),
    "qwen2, window": (
        "qwen2",
        {"use_sliding_window": True, "sliding_window": WINDOW, "max_window_layers": 1},
    ),
    "qwen2_moe": ("qwen2_moe", {**_EXPERTS, "shared_expert_intermediate_size": 16}),
    "qwen3": ("qwen3", _HEADS),
    "qwen3_moe": ("qwen3_moe", {**_HEADS, **_EXPERTS}),
    "gemma": ("gemma", _HEADS),
    "gemma2": ("gemma2", {**_HEADS, **_EVERY_OTHER, "query_pre_attn_scalar": 8}),
    "gemma3": ("gemma3_text", {**_HEADS, **_EVERY_OTHER, "query_pre_attn_scalar": 8}),
    "gemma4": (
        "gemma4_text",
        {
            **_HEADS,
            **_EVERY_OTHER,
            "num_kv_shared_layers": 0,
            "global_head_dim": 16,
            "hidden_size_per_layer_input": 8,
            "vocab_size_per_layer_input": 199,
        },
    ),
    "gemma4, shared": (
        "gemma4_text",
        {
            **_HEADS,
            "num_hidden_layers": 6,
            "num_kv_shared_layers": 2,
            "global_head_dim": 16,
            "sliding_window": WINDOW,
            "layer_types": ["sliding_attention", "full_attention"] * 3,
            "hidden_size_per_layer_input": 8,
            "vocab_size_per_layer_input": 199,
        },
    ),
    "gemma3n": (
        "gemma3n_text",
        {
            **_HEADS,
            **_EVERY_OTHER,
            "num_kv_shared_layers": 0,
            "hidden_size_per_layer_input": 8,
            "vocab_size_per_layer_input": 199,
            "laurel_rank": 4,
            "altup_num_inputs": 2,
            "activation_sparsity_pattern": [0.0] * 3,
        },
    ),
    "phi": ("phi", {"partial_rotary_factor": 0.5}),
    "phi3": ("phi3", {"sliding_window": None}),
    "phi3, window": ("phi3", {"sliding_window": WINDOW}),
    "phi3, longrope": ("phi3", {"sliding_window": None, **_LONGROPE}),
    "phimoe": ("phimoe", {"num_local_experts": 4, "sliding_window": None}),
    "gpt_oss": ("gpt_oss", {**_HEADS, **_EVERY_OTHER, "num_local_experts": 4}),
    "olmo2": ("olmo2", {}),
    "olmo3": ("olmo3", _EVERY_OTHER),
    "smollm3": ("smollm3", {"no_rope_layers": [1, 0, 1]}),
    "smollm3, window": (
        "smollm3",
        {"no_rope_layers": [1, 0, 1], "use_sliding_window": True, **_EVERY_OTHER},
    ),
    "granite": ("granite", {"embedding_multiplier": 2.0, "logits_scaling": 0.5}),
    "granitemoe": ("granitemoe", {"num_local_experts": 4, "num_experts_per_tok": 2}),
    "granitemoehybrid": (
        "granitemoehybrid",
        {
            "layer_types": ["full_attention"] * 3,
            "num_local_experts": 0,
            "shared_intermediate_size": 48,
            "position_embedding_type": "rope",
            "mamba_n_heads": 4,
            "mamba_d_head": 16,
            "mamba_d_state": 8,
        },
    ),
    "deepseek_v2": ("deepseek_v2", {**_LATENTS, **_ROUTED, "topk_method": "greedy"}),
    "deepseek_v3": ("deepseek_v3", {**_LATENTS, **_ROUTED}),
    "glm4": ("glm4", _HEADS),
    "glm4_moe": ("glm4_moe", {**_HEADS, **_ROUTED}),
    "glm4_moe_lite": (
        "glm4_moe_lite",
        {**_LATENTS, **_ROUTED, "mlp_layer_types": ["dense", "sparse", "sparse"]},
    ),
    "minicpm3": ("minicpm3", _LATENTS),
    "cohere": ("cohere", {"logit_scale": 1.0}),
    "cohere2": ("cohere2", {**_HEADS, **_EVERY_OTHER, "logit_scale": 1.0}),
    "exaone4": ("exaone4", {**_HEADS, **_EVERY_OTHER, "sliding_window_pattern": 2}),
    "ernie4_5": ("ernie4_5", _HEADS),
    "ernie4_5_moe": (
        "ernie4_5_moe",
        {
            "moe_num_experts": 4,
            "moe_k": 2,
            "moe_intermediate_size": 16,
            "moe_num_shared_experts": 1,
            "moe_layer_start_index": 1,
        },
    ),
    "seed_oss": ("seed_oss", _HEADS),
    "hunyuan": ("hunyuan_v1_dense", _HEADS),
    "hunyuan_moe": ("hunyuan_v1_moe", {**_HEADS, "num_experts": 4, "moe_topk": 2}),
    "apertus": ("apertus", {}),
    "minimax_m2": ("minimax_m2", {**_HEADS, "num_local_experts": 4, "num_experts_per_tok": 2}),
    "llama4": (
        "llama4_text",
        {
            **_HEADS,
            "num_hidden_layers": 4,
            "intermediate_size_mlp": 48,
            "num_local_experts": 2,
            "interleave_moe_layer_step": 2,
            "attention_chunk_size": WINDOW,
            "no_rope_layers": [1, 1, 1, 0],
        },
    ),
    "llama4, scaled": (
        "llama4_text",
        {
            **_HEADS,
            "num_hidden_layers": 4,
            "intermediate_size_mlp": 48,
            "num_local_experts": 2,
            "interleave_moe_layer_step": 2,
            "floor_scale": 8,
            "attention_chunk_size": 4096,
            "no_rope_layers": [1, 1, 1, 0],
        },
    ),
    "stablelm": ("stablelm", {"partial_rotary_factor": 0.5}),
    "starcoder2": ("starcoder2", {"sliding_window": WINDOW}),
    "gpt_neox": ("gpt_neox", {"rotary_pct": 0.5}),
    "gpt_neo": (
        "gpt_neo",
        {
            "num_hidden_layers": 4,
            "num_heads": 4,
            "attention_types": [[["global", "local"], 2]],
            "window_size": WINDOW,
        },
    ),
    "doge": ("doge", {"keep_window_size": CONTEXT}),
    "gpt2": ("gpt2", _gpt2()),
    "opt": ("opt", {"ffn_dim": 48, "word_embed_proj_dim": 32}),
    "bloom": ("bloom", {"n_layer": 3, "n_head": 4}),
    "mpt": ("mpt", {"d_model": 32, "n_heads": 4, "n_layers": 3, "max_seq_len": 256}),
    "falcon": ("falcon", {"alibi": False, "new_decoder_architecture": False}),
    "falcon, ALiBi": ("falcon", {"alibi": True}),
    "nemotron": ("nemotron", {}),
    "dots1": ("dots1", {**_HEADS, **_ROUTED, **_EVERY_OTHER}),
    "arcee": ("arcee", {}),
    "helium": ("helium", _HEADS),
    "bitnet": ("bitnet", {}),
    "solar_open": ("solar_open", {**_HEADS, **_ROUTED}),
    "starcoder (gpt_bigcode)": ("gpt_bigcode", _gpt2()),
    "gptj": ("gptj", _gpt2(rotary_dim=4)),
}

WITH_MORE: dict[str, tuple[str, dict[str, Any]]] = {
    "gemma3, vision": (
        "gemma3",
        {
            "text_config": _text("gemma3_text", **_HEADS, **_EVERY_OTHER, query_pre_attn_scalar=8),
            "vision_config": {"model_type": "siglip_vision_model", **_VISION},
            "mm_tokens_per_image": 4,
        },
    ),
    "mistral3": (
        "mistral3",
        {
            "text_config": _text("mistral", sliding_window=None),
            "vision_config": {"model_type": "pixtral", **_VISION},
        },
    ),
    "qwen2_5_vl": (
        "qwen2_5_vl",
        {
            "text_config": _text(
                "qwen2_5_vl_text",
                rope_parameters={
                    "rope_type": "default",
                    "rope_theta": 10000.0,
                    "mrope_section": [1, 1, 2],
                },
            ),
            "vision_config": {
                "depth": 1,
                "hidden_size": 16,
                "num_heads": 2,
                "out_hidden_size": 32,
                "intermediate_size": 16,
            },
        },
    ),
    "qwen2_vl": (
        "qwen2_vl",
        {
            "text_config": _text(
                "qwen2_vl_text",
                rope_parameters={
                    "rope_type": "default",
                    "rope_theta": 10000.0,
                    "mrope_section": [1, 1, 2],
                },
            ),
            "vision_config": {"depth": 1, "embed_dim": 16, "hidden_size": 32, "num_heads": 2},
        },
    ),
    "llava": (
        "llava",
        {
            "text_config": _text("llama"),
            "vision_config": {"model_type": "clip_vision_model", **_VISION},
            "vision_feature_layer": -1,
        },
    ),
    "qwen3_vl": (
        "qwen3_vl",
        {
            "text_config": _text(
                "qwen3_vl_text",
                **_HEADS,
                rope_parameters={
                    "rope_type": "default",
                    "rope_theta": 10000.0,
                    "mrope_section": [2, 1, 1],
                },
            ),
            "vision_config": {
                "depth": 1,
                "hidden_size": 16,
                "num_heads": 2,
                "out_hidden_size": 32,
                "intermediate_size": 16,
                "deepstack_visual_indexes": [0],
            },
        },
    ),
    "llama4, vision": (
        "llama4",
        {
            "text_config": _text(
                "llama4_text",
                **_HEADS,
                intermediate_size_mlp=48,
                num_local_experts=2,
                interleave_moe_layer_step=2,
                attention_chunk_size=WINDOW,
                no_rope_layers=[1, 1, 0],
            ),
            "vision_config": {
                **_VISION,
                "intermediate_size": 64,
                "vision_output_dim": 16,
                "projector_input_dim": 16,
                "projector_output_dim": 16,
            },
        },
    ),
    "gemma4, vision": (
        "gemma4",
        {
            "text_config": _text(
                "gemma4_text",
                **_HEADS,
                **_EVERY_OTHER,
                num_kv_shared_layers=0,
                global_head_dim=16,
                hidden_size_per_layer_input=8,
                vocab_size_per_layer_input=199,
            ),
            "vision_config": {**_VISION, "num_key_value_heads": 2, "head_dim": 8},
        },
    ),
}


def configuration(name: str) -> Any:
    """Of a family of either table."""
    from transformers import CONFIG_MAPPING

    if name in WITH_MORE:
        kind, told = WITH_MORE[name]
        return CONFIG_MAPPING[kind](**told)
    kind, changes = FAMILIES[name]
    return CONFIG_MAPPING[kind](**{**_SHAPE, **changes})
