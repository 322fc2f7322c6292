"""Converts a GGUF file's rotary positions (RoPE, Su et al. 2021, arXiv:2104.09864) to transformers'
`rope_parameters`.

A file has one of three: keys for linear scaling or YaRN (Peng et al. 2023, arXiv:2309.00071), a
tensor that the frequencies are divided by (Llama 3.1 to 3.3), or two such tensors, for short and
for long texts (LongRoPE, Ding et al. 2024, arXiv:2402.13753).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from streaming.engine.models.gguf.facts import Facts

_BASE = 10_000.0
_LLAMA3 = {"low_freq_factor": 1.0, "high_freq_factor": 4.0}
_LLAMA3_ORIGINAL = 8192  # tokens, which is what files are written with
_FLOAT32 = 0


def rope_of(facts: Facts, config: dict[str, Any], *, partial: bool) -> dict[str, Any]:
    """Return transformers' `rope_parameters` of a model with this configuration.

    `partial`: the position may rotate only a part of each head. Raises EngineError if positions are
    scaled in an unknown way.
    """
    size = config["head_dim"]
    turned = facts.take("rope.dimension_count", size)
    rope: dict[str, Any] = {
        "rope_type": "default",
        "rope_theta": facts.take("rope.freq_base", _BASE),
    }
    if turned != size:
        if not partial or not 0 < turned < size or turned % 2:
            raise facts.refusal(f"positions turn {turned} of the {size} numbers of a head")
        rope["partial_rotary_factor"] = turned / size
    kind, factor = _kind(facts)
    original = facts.take("rope.scaling.original_context_length")
    magnitude = facts.take("rope.scaling.attn_factor", 1.0)
    short = _factors(facts, "rope_factors_short.weight", turned)
    long = _factors(facts, "rope_factors_long.weight", turned)
    single = _factors(facts, "rope_freqs.weight", turned)
    if (short is None) != (long is None) or (single is not None and short is not None):
        raise facts.refusal("its tensors for rotary positions do not belong together")
    if short is not None and long is not None:
        if kind not in ("linear", "longrope") or factor != 1.0:
            raise facts.refusal(f"it has factors for LongRoPE, and scales positions by {kind}, too")
        return {**rope, **_longrope(config, short, long, original, magnitude)}
    if magnitude != 1.0:
        raise facts.refusal("it scales scores by rope.scaling.attn_factor without LongRoPE")
    if single is not None:
        if factor != 1.0:
            raise facts.refusal(
                f"it has factors for frequencies, and scales positions by {kind}, too"
            )
        return {**rope, **_divided(rope["rope_theta"], single, config)}
    if kind == "yarn":
        return {**rope, **_yarn(facts, factor, original)}
    if kind not in ("none", "linear", "longrope") or (kind == "longrope" and factor != 1.0):
        raise facts.refusal(f"it scales positions by {kind}")
    if kind == "linear" and factor != 1.0:
        return {**rope, "rope_type": "linear", "factor": factor}
    return rope


def _kind(facts: Facts) -> tuple[str, float]:
    """Return the kind of scaling and its factor, as llama.cpp reads them: without a kind it is
    linear, and a factor of 0 is 1."""
    kind = facts.take("rope.scaling.type", "linear")
    old = facts.take("rope.scale_linear")
    factor = facts.take("rope.scaling.factor", old)
    return kind, float(factor or 1.0) if kind != "none" else 1.0


def _factors(facts: Facts, name: str, turned: int) -> np.ndarray[Any, Any] | None:
    """Return the tensor's factors [turned / 2], one for each pair of numbers that is rotated; None
    if the file has no such tensor."""
    tensor = facts.header.tensors.get(name)
    if tensor is None:
        return None
    if tensor.kind != _FLOAT32 or tensor.shape != (turned // 2,):
        raise facts.refusal(f"its tensor {name} is not {turned // 2} plain numbers")
    with facts.header.path.open("rb") as file:
        file.seek(tensor.offset)
        found = np.frombuffer(file.read(tensor.size), "<f4")
    if not (np.isfinite(found).all() and (found > 0).all()):
        raise facts.refusal(f"its tensor {name} has factors that are none")
    return found


def _longrope(
    config: dict[str, Any], short: np.ndarray[Any, Any], long: np.ndarray[Any, Any],
    original: int | None, magnitude: float,
) -> dict[str, Any]:  # fmt: skip
    most = config["max_position_embeddings"]
    original = original or most
    return {
        "rope_type": "longrope",
        "short_factor": _numbers(short),
        "long_factor": _numbers(long),
        "factor": most / original,
        "original_max_position_embeddings": original,
        "attention_factor": magnitude,
    }


def _numbers(values: np.ndarray[Any, Any]) -> list[float]:
    return [float(str(each)) for each in values]


def _divided(base: float, factors: np.ndarray[Any, Any], config: dict[str, Any]) -> dict[str, Any]:
    """Return the parameters of frequencies that are divided by these factors: Llama 3's scaling if
    it gives just these, else LongRoPE with the same factors for short and long texts."""
    if (factors == 1.0).all():
        return {}
    factor = float(str(factors.max()))
    if np.allclose(factors, _llama3(base, len(factors), factor), rtol=1e-5):
        return {
            "rope_type": "llama3", "factor": factor, **_LLAMA3,
            "original_max_position_embeddings": _LLAMA3_ORIGINAL,
        }  # fmt: skip
    return _longrope(config, factors, factors, None, 1.0)


def _llama3(base: float, count: int, factor: float) -> np.ndarray[Any, Any]:
    """Return what Llama 3.1 divides its `count` frequencies by ("The Llama 3 Herd of Models",
    arXiv:2407.21783, and the code published with it): short waves are kept, long ones divided by
    `factor`, those between blended."""
    frequency = base ** -(np.arange(count) / count)
    turns = _LLAMA3_ORIGINAL * frequency / (2 * math.pi)  # within the context of the training
    low, high = _LLAMA3["low_freq_factor"], _LLAMA3["high_freq_factor"]
    kept = np.clip((turns - low) / (high - low), 0.0, 1.0)
    return 1.0 / ((1.0 - kept) / factor + kept)


def _yarn(facts: Facts, factor: float, original: int | None) -> dict[str, Any]:
    if original is None:
        raise facts.refusal("it scales positions by YaRN and does not say from which length")
    for key in ("yarn_attn_factor", "yarn_ext_factor"):
        # llama.cpp multiplies by the first one, transformers takes it instead of its own
        if facts.take(f"rope.scaling.{key}", 1.0) != 1.0:
            raise facts.refusal(f"rope.scaling.{key} is not 1")
    return {
        "rope_type": "yarn",
        "factor": factor,
        "original_max_position_embeddings": original,
        "beta_fast": facts.take("rope.scaling.yarn_beta_fast", 32.0),
        "beta_slow": facts.take("rope.scaling.yarn_beta_slow", 1.0),
    }
