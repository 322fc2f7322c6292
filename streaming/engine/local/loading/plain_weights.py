"""Turns weights of few bits into plain ones, which our own pass can take and pack anew."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from streaming.engine.models.quantised import method_of


def loading_arguments(config: Any) -> dict[str, Any]:
    """Return the arguments with which `from_pretrained` makes plain weights at once."""
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


def to_plain(model: Any) -> Any:
    """Return the model with plain weights, where its method allows that."""
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
    """Whether a tensor is of a class of its own that can be dequantised, as torchao's are."""
    return type(parameter.data) is not Tensor and hasattr(parameter, "dequantize")


def is_plain(model: nn.Module) -> bool:
    """Return whether each matrix product of a model built like Llama is one with its module's
    `weight` alone: no scales beside it, no adapter around it, no hook before or after."""
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
