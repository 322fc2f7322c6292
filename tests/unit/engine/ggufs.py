"""Tiny random models of transformers, written as GGUF files in the way llama.cpp writes them.

What is written was compared with llama.cpp itself: for each of these models its library computes
the logits that transformers computes (but for gpt-oss's YaRN, whose bounds it rounds).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch

F32 = gguf.GGMLQuantizationType.F32
VOCABULARY = 300
BOS, EOS = 256, 257
TEMPLATE = (
    "{% for message in messages %}{{ message.role }}: {{ message.content }}\n{% endfor %}assistant:"
)

_SMALL = {
    "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 4, "head_dim": 16,
    "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": VOCABULARY,
    "max_position_embeddings": 512, "bos_token_id": BOS, "eos_token_id": EOS, "pad_token_id": EOS,
}  # fmt: skip


@dataclass(frozen=True)
class Case:
    """`config` for transformers' `model_type`, and the `keys` that say the same in a file of
    `architecture`. `permuted`: queries and keys are turned; `plus`: 1 is added to norms."""

    architecture: str
    model_type: str
    config: dict[str, Any] = field(default_factory=dict)
    keys: dict[str, Any] = field(default_factory=dict)
    permuted: bool = False
    plus: bool = False
    norm: str = "rms_norm_eps"
    extra: Callable[[gguf.GGUFWriter, Any], None] = lambda writer, config: None


def write(
    case: Case, path: Path, kind: gguf.GGMLQuantizationType = F32,
    change: Callable[[gguf.GGUFWriter, dict[str, np.ndarray[Any, Any]]], None] = (
        lambda writer, tensors: None
    ),
) -> Any:  # fmt: skip
    """Write the file, and return the model in float32. `change` may add keys, and change the
    tensors by their names."""
    config, model = made(case)
    writer = gguf.GGUFWriter(path, case.architecture)
    _write_keys(writer, case, config)
    _write_vocabulary(writer)
    case.extra(writer, config)
    tensors = _tensors(case, config, model)
    change(writer, tensors)
    for name, tensor in tensors.items():
        small = tensor.ndim > 1 and not name.endswith("_norm.weight") and "gate_inp" not in name
        tensor = np.ascontiguousarray(tensor, np.float32)
        if kind == F32 or not small:
            writer.add_tensor(name, tensor)
        else:
            writer.add_tensor(name, gguf.quantize(tensor, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return model


def made(case: Case) -> tuple[Any, Any]:
    from transformers import AutoConfig, AutoModelForCausalLM

    auto: Any = AutoModelForCausalLM
    config: Any = AutoConfig.for_model(case.model_type, **{**_SMALL, **case.config})
    torch.manual_seed(0)
    model = auto.from_config(config).eval().float()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 1:
                parameter.add_(torch.randn_like(parameter) * 0.2)
            else:
                parameter.copy_(torch.randn_like(parameter) * 0.15)
    return config, model


def _write_keys(writer: gguf.GGUFWriter, case: Case, config: Any) -> None:
    rope = config.rope_parameters.get("full_attention", config.rope_parameters)
    size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    if case.norm == "rms_norm_eps":
        writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    else:
        writer.add_layer_norm_eps(getattr(config, case.norm))
    writer.add_key_length(size)
    writer.add_value_length(size)
    writer.add_rope_freq_base(rope["rope_theta"])
    writer.add_rope_dimension_count(int(size * rope.get("partial_rotary_factor", 1.0)))
    writer.add_vocab_size(config.vocab_size)
    for key, value in case.keys.items():
        add(writer, f"{case.architecture}.{key}", value)


def add(writer: gguf.GGUFWriter, key: str, value: Any) -> None:
    kinds: list[tuple[type, Any]] = [
        (bool, writer.add_bool), (int, writer.add_uint32), (float, writer.add_float32),
        (str, writer.add_string), (list, writer.add_array),
    ]  # fmt: skip
    next(call for kind, call in kinds if isinstance(value, kind))(key, value)


def _write_vocabulary(writer: gguf.GGUFWriter) -> None:
    """The bytes, a merge of two of them, and two control tokens."""
    from transformers.convert_slow_tokenizer import bytes_to_unicode

    tokens = [*bytes_to_unicode().values(), "<bos>", "<eos>", "he"]
    tokens += [f"[PAD{at}]" for at in range(len(tokens), VOCABULARY)]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types([1] * 256 + [3, 3, 1] + [5] * (VOCABULARY - 259))
    writer.add_token_merges(["h e"])
    writer.add_bos_token_id(BOS)
    writer.add_eos_token_id(EOS)
    writer.add_chat_template(TEMPLATE)


def _tensors(case: Case, config: Any, model: Any) -> dict[str, np.ndarray[Any, Any]]:
    architectures = {name: kind for kind, name in gguf.MODEL_ARCH_NAMES.items()}
    names = gguf.get_tensor_name_map(architectures[case.architecture], config.num_hidden_layers)
    state = dict(model.state_dict())
    for tied in (model._tied_weights_keys or ()) if config.tie_word_embeddings else ():
        del state[tied]
    found: dict[str, np.ndarray[Any, Any]] = {}
    for name, tensor in state.items():
        numbers = tensor.numpy()
        if ".experts." in name:
            found |= _experts(case, name, numbers)
            continue
        stem, leaf = name.rsplit(".", 1)
        if leaf not in ("weight", "bias"):
            stem, leaf = name, "weight"
        if case.permuted and stem.endswith(("q_proj", "k_proj")):
            query = stem.endswith("q_proj")
            heads = config.num_attention_heads if query else config.num_key_value_heads
            halves = numbers.reshape(heads, 2, -1, *numbers.shape[1:])
            numbers = halves.swapaxes(1, 2).reshape(numbers.shape)
        if case.plus and name.endswith("norm.weight"):
            numbers = numbers + 1
        if name.endswith("shared_expert_gate.weight"):
            numbers = numbers.reshape(-1)
        found[f"{names.get_name(stem)}.{leaf}"] = numbers
    return found


def _experts(
    case: Case, name: str, numbers: np.ndarray[Any, Any]
) -> dict[str, np.ndarray[Any, Any]]:
    layer, leaf = f"blk.{name.split('.')[2]}", name.split(".experts.")[1]
    gate, up, down = (f"{layer}.ffn_{part}_exps" for part in ("gate", "up", "down"))
    if case.model_type != "gpt_oss":
        if leaf == "down_proj":
            return {f"{down}.weight": numbers}
        half = numbers.shape[1] // 2
        return {f"{gate}.weight": numbers[:, :half], f"{up}.weight": numbers[:, half:]}
    kind = "bias" if leaf.endswith("_bias") else "weight"
    numbers = numbers.swapaxes(1, 2) if kind == "weight" else numbers
    if leaf.startswith("down"):
        return {f"{down}.{kind}": numbers}
    return {f"{gate}.{kind}": numbers[:, ::2], f"{up}.{kind}": numbers[:, 1::2]}


# --- rotary positions ---

_LLAMA3 = {
    "rope_type": "llama3", "rope_theta": 10000.0, "factor": 8.0, "low_freq_factor": 1.0,
    "high_freq_factor": 4.0, "original_max_position_embeddings": 8192,
}  # fmt: skip
_YARN = {
    "rope_type": "yarn", "rope_theta": 10000.0, "factor": 4.0,
    "original_max_position_embeddings": 128,
}  # fmt: skip
_YARN_KEYS = {
    "rope.scaling.type": "yarn", "rope.scaling.factor": 4.0,
    "rope.scaling.original_context_length": 128,
}  # fmt: skip
_LINEAR = {"rope_type": "linear", "rope_theta": 10000.0, "factor": 4.0}
_LINEAR_KEYS = {"rope.scaling.type": "linear", "rope.scaling.factor": 4.0}
_LONGROPE = {
    "rope_type": "longrope", "rope_theta": 10000.0, "original_max_position_embeddings": 128,
    "short_factor": [1.0 + 0.05 * at for at in range(8)],
    "long_factor": [1.0 + 0.7 * at for at in range(8)],
}  # fmt: skip


def _write_frequencies(writer: gguf.GGUFWriter, config: Any) -> None:
    """By what frequencies are divided, from transformers' own."""
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

    scaled, _ = ROPE_INIT_FUNCTIONS["llama3"](config, torch.device("cpu"))
    size, base = config.head_dim, config.rope_parameters["rope_theta"]
    plain = 1.0 / base ** (torch.arange(0, size, 2) / size)
    writer.add_tensor("rope_freqs.weight", (plain / scaled).numpy().astype(np.float32))


def _write_longrope(writer: gguf.GGUFWriter, config: Any) -> None:
    rope = config.rope_parameters
    for name in ("long", "short"):
        numbers = np.array(rope[f"{name}_factor"], np.float32)
        writer.add_tensor(f"rope_factors_{name}.weight", numbers)
    original = rope["original_max_position_embeddings"]
    scale = np.log(config.max_position_embeddings / original)
    writer.add_float32(
        f"{writer.arch}.rope.scaling.attn_factor", float(np.sqrt(1 + scale / np.log(original)))
    )


_EXPERTS = {"num_experts_per_tok": 2}
_EXPERT_KEYS = {"expert_count": 4, "expert_used_count": 2}
_WINDOW = {"sliding_window": 16}
_WINDOW_KEY = {"attention.sliding_window": 16}
_FULL = {"sliding_window": None, "layer_types": ["full_attention"] * 4}

CASES: dict[str, Case] = {
    "llama": Case("llama", "llama", permuted=True),
    "llama-3.1": Case(
        "llama", "llama", {"rope_parameters": _LLAMA3, "max_position_embeddings": 16384},
        permuted=True, extra=_write_frequencies,
    ),
    "llama-biases": Case("llama", "llama", {"attention_bias": True, "mlp_bias": True},
                         permuted=True),
    "llama-linear": Case("llama", "llama", {"rope_parameters": _LINEAR}, _LINEAR_KEYS,
                         permuted=True),
    "llama-yarn": Case("llama", "llama", {"rope_parameters": _YARN}, _YARN_KEYS, permuted=True),
    "mixtral": Case("llama", "mixtral", {**_EXPERTS, "num_local_experts": 4}, _EXPERT_KEYS,
                    permuted=True),
    "mistral3": Case("mistral3", "mistral", {"sliding_window": None}, permuted=True),
    "qwen2": Case("qwen2", "qwen2", {"tie_word_embeddings": True}),
    "qwen2-yarn": Case("qwen2", "qwen2", {"rope_parameters": _YARN}, _YARN_KEYS),
    "qwen3": Case("qwen3", "qwen3", {"head_dim": 32}),
    "qwen2moe": Case(
        "qwen2moe", "qwen2_moe",
        {**_EXPERTS, "num_experts": 4, "moe_intermediate_size": 32,
         "shared_expert_intermediate_size": 64},
        {**_EXPERT_KEYS, "expert_feed_forward_length": 32,
         "expert_shared_feed_forward_length": 64},
    ),
    "qwen3moe": Case(
        "qwen3moe", "qwen3_moe",
        {**_EXPERTS, "num_experts": 4, "moe_intermediate_size": 32, "norm_topk_prob": True},
        {**_EXPERT_KEYS, "expert_feed_forward_length": 32},
    ),
    "gemma": Case("gemma", "gemma", plus=True),
    "gemma2": Case(
        "gemma2", "gemma2", {**_WINDOW, "query_pre_attn_scalar": 16},
        {**_WINDOW_KEY, "attn_logit_softcapping": 50.0, "final_logit_softcapping": 30.0},
        plus=True,
    ),
    "gemma3": Case(
        "gemma3", "gemma3_text",
        {**_WINDOW, "query_pre_attn_scalar": 16, "num_hidden_layers": 7,
         "rope_parameters": {
             "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1e6},
             "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0}}},
        {**_WINDOW_KEY, "rope.scaling.type": "linear", "rope.scaling.factor": 8.0}, plus=True,
    ),
    "phi3": Case(
        "phi3", "phi3", {"sliding_window": None},
        {"attention.sliding_window": 0, "rope.scaling.original_context_length": 512},
    ),
    "phi3-longrope": Case(
        "phi3", "phi3",
        {"sliding_window": None, "original_max_position_embeddings": 128,
         "rope_parameters": _LONGROPE},
        {"attention.sliding_window": 0, "rope.scaling.original_context_length": 128},
        extra=_write_longrope,
    ),
    "granite": Case(
        "granite", "granite",
        {"attention_multiplier": 0.2, "embedding_multiplier": 3.0, "residual_multiplier": 0.3,
         "logits_scaling": 2.0},
        {"attention.scale": 0.2, "embedding_scale": 3.0, "residual_scale": 0.3,
         "logit_scale": 2.0},
        permuted=True,
    ),
    "stablelm": Case("stablelm", "stablelm", keys={"use_parallel_residual": False},
                     norm="layer_norm_eps"),
    "olmo2": Case("olmo2", "olmo2"),
    "olmo3": Case(
        "olmo2", "olmo3",
        {**_WINDOW, "layer_types": ["sliding_attention"] * 3 + ["full_attention"]},
        {**_WINDOW_KEY, "attention.sliding_window_pattern": [True, True, True, False]},
    ),
    "smollm3": Case("smollm3", "smollm3", permuted=True),
    "command-r": Case("command-r", "cohere", {"logit_scale": 0.25},
                      {"logit_scale": 0.25, "rope.scaling.type": "none"}, norm="layer_norm_eps"),
    "cohere2": Case(
        "cohere2", "cohere2", {**_WINDOW, "logit_scale": 0.25},
        {**_WINDOW_KEY, "logit_scale": 0.25, "rope.scaling.type": "none"}, norm="layer_norm_eps",
    ),
    "nemotron": Case("nemotron", "nemotron", norm="norm_eps", plus=True),
    "gpt-oss": Case(
        "gpt-oss", "gpt_oss",
        {**_EXPERTS, **_WINDOW, "num_local_experts": 4,
         "rope_parameters": {**_YARN, "truncate": False, "beta_fast": 32.0, "beta_slow": 1.0}},
        {**_EXPERT_KEYS, **_YARN_KEYS, **_WINDOW_KEY, "expert_feed_forward_length": 96,
         "rope.scaling.yarn_beta_fast": 32.0, "rope.scaling.yarn_beta_slow": 1.0},
    ),
    "seed_oss": Case("seed_oss", "seed_oss"),
    "glm4": Case("glm4", "glm4", {"attention_bias": True}),
    "exaone4": Case(
        "exaone4", "exaone4",
        {**_FULL, "sliding_window_pattern": None, "rope_parameters": _LLAMA3,
         "max_position_embeddings": 16384},
        extra=_write_frequencies,
    ),
    "ernie4_5": Case("ernie4_5", "ernie4_5"),
    "arcee": Case("arcee", "arcee", permuted=True),
}  # fmt: skip
