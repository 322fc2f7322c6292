"""Checkpoints whose weights are of few bits: which ones transformers reads here, and what becomes
of them. Most become plain weights, which our own pass can take and pack anew."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from streaming.engine.base import EngineError


@dataclass(frozen=True, slots=True)
class Method:
    """`packages` are those of PyPI that transformers needs for it, by the module that each
    brings; `plain` says that the weights become plain ones when they are loaded."""

    packages: Mapping[str, str]
    plain: bool = False


_FOREIGN = "hf_quant_config.json"
_ACCELERATE = {"accelerate": "accelerate"}
_METHODS = {
    "compressed-tensors": Method({"compressed_tensors": "compressed-tensors"}, plain=True),
    "fp8": Method(_ACCELERATE, plain=True),
    "mxfp8": Method(_ACCELERATE, plain=True),
    "mxfp4": Method(_ACCELERATE, plain=True),
    "bitsandbytes": Method({"bitsandbytes": "bitsandbytes", **_ACCELERATE}, plain=True),
    "torchao": Method({"torchao": "torchao"}, plain=True),
    "gptq": Method({"gptqmodel": "gptqmodel", "optimum": "optimum", **_ACCELERATE}),
    "awq": Method({"gptqmodel": "gptqmodel", **_ACCELERATE}),
}
"""What was tried on a CPU, and answers as the plain weights do. Of others transformers says itself
what it lacks."""


def quantisation_of(config: Any) -> dict[str, Any] | None:
    """What a configuration says of weights of few bits; None if they are plain."""
    told = getattr(config, "quantization_config", None)
    if told is None:
        text = config.get_text_config() if hasattr(config, "get_text_config") else None
        told = getattr(text, "quantization_config", None)
    if told is None:
        return None
    return dict(told) if isinstance(told, dict) else dict(told.to_dict())


def method_of(config: Any) -> str:
    """How a configuration says that the weights are quantised; empty if they are plain."""
    told = quantisation_of(config)
    if told is None:
        return ""
    if told.get("load_in_8bit") or told.get("load_in_4bit"):
        return "bitsandbytes"
    return str(getattr(told.get("quant_method"), "value", told.get("quant_method")))


def becomes_plain(config: Any) -> bool:
    """Whether the weights, once loaded, are like those of a checkpoint that is not quantised."""
    method = method_of(config)
    return not method or (method in _METHODS and _METHODS[method].plain)


def refuse_unreadable(config: Any, where: Path | str) -> None:
    """Raise EngineError if weights are quantised in a way that transformers does not know, or
    that needs what is not installed."""
    told = Path(where) / _FOREIGN
    if not method_of(config):
        if told.is_file():
            raise EngineError(
                f"The model in {where} cannot be served: {_FOREIGN} says that its weights are "
                "quantised by ModelOpt, which transformers does not read.",
                "model_unsupported",
            )
        return
    from transformers.quantizers.auto import AUTO_QUANTIZER_MAPPING

    method = method_of(config)
    known = {name.removesuffix("_4bit").removesuffix("_8bit") for name in AUTO_QUANTIZER_MAPPING}
    if method not in known:
        import transformers

        raise EngineError(
            f"The model in {where} cannot be served: its weights are quantised in a way that "
            f"transformers {transformers.__version__} does not know ({method}).",
            "model_unsupported",
        )
    if lacking := packages_of(method)[1]:
        raise EngineError(
            f"The model in {where} has weights of the kind {method}, which need "
            f"{' and '.join(lacking)}: pip install {' '.join(lacking)}",
            "model_unsupported",
        )


def packages_of(method: str) -> tuple[list[str], list[str]]:
    """What has to be installed from PyPI for weights of this kind, and what of it is not."""
    needed = _METHODS[method].packages if method in _METHODS else {}
    return [*needed.values()], [each for module, each in needed.items() if not _is_there(module)]


def methods() -> dict[str, bool]:
    """The kinds that were tried, and whether each becomes plain weights."""
    return {name: method.plain for name, method in _METHODS.items()}


def _is_there(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


def arguments_for(config: Any) -> dict[str, Any]:
    """What `from_pretrained` is told so that the weights become plain ones at once."""
    import transformers

    ways: Any = transformers
    method = method_of(config)
    if method == "compressed-tensors":
        return {"quantization_config": ways.CompressedTensorsConfig(dequantize=True)}
    if method in ("fp8", "mxfp8"):
        return {"quantization_config": ways.FineGrainedFP8Config(dequantize=True)}
    if method == "mxfp4":
        return {"quantization_config": ways.Mxfp4Config(dequantize=True)}
    return {}


def made_plain(model: Any) -> Any:
    """The model with plain weights, where its method is one that lets them be had."""
    method = method_of(model.config)
    if method == "bitsandbytes":
        model = model.dequantize()
    for module in model.modules():
        for name, parameter in list(module._parameters.items()):
            if parameter is not None and _is_subclass(parameter):
                plain: Tensor = parameter.dequantize()
                module._parameters[name] = nn.Parameter(plain, requires_grad=False)
    return model


def _is_subclass(parameter: Tensor) -> bool:
    """Whether a tensor keeps its numbers in a way of its own, as torchao's do."""
    return type(parameter.data) is not Tensor and hasattr(parameter, "dequantize")


def is_plain(model: nn.Module) -> bool:
    """Whether each product of a model built like Llama is one with the weights that its module
    shows: no scales beside them, no adapter around them, no code of anybody's before or after."""
    return all(_is_plain(module) for module in model.modules())


def _is_plain(module: nn.Module) -> bool:
    if isinstance(module, nn.Linear | nn.Embedding):
        return type(module) in (nn.Linear, nn.Embedding) and _shows_all(module)
    own = any(parameter is not None for parameter in module._parameters.values())
    return not own or type(module).__module__.startswith("transformers.models.")


def _shows_all(module: nn.Module) -> bool:
    hooks = (module._forward_hooks, module._forward_pre_hooks)
    weight = module._parameters.get("weight")
    return (
        not any(hooks)
        and "forward" not in vars(module)
        and set(module._parameters) <= {"weight", "bias"}
        and not module._buffers
        and weight is not None
        and type(weight.data) is Tensor
        and weight.dtype in (torch.float32, torch.bfloat16, torch.float16)
    )
