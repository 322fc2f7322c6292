"""Tells from a configuration how a checkpoint's weights are quantised, and whether transformers can
read them here. Most become plain weights, which our own pass can pack anew."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from streaming.engine.base import EngineError


@dataclass(frozen=True, slots=True)
class Method:
    """A way to quantise: the PyPI `packages` that transformers needs to read it, by the module that
    each brings, and whether the weights become plain ones when they are loaded."""

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
"""The methods that were tried on a CPU and answer as the plain weights do. For others transformers
says itself what it lacks."""


def quantisation_of(config: Any) -> dict[str, Any] | None:
    """Return what a configuration says of quantised weights; None if they are plain."""
    told = getattr(config, "quantization_config", None)
    if told is None:
        text = config.get_text_config() if hasattr(config, "get_text_config") else None
        told = getattr(text, "quantization_config", None)
    if told is None:
        return None
    return dict(told) if isinstance(told, dict) else dict(told.to_dict())


def method_of(config: Any) -> str:
    """Return the method by which the weights are quantised; empty if they are plain."""
    told = quantisation_of(config)
    if told is None:
        return ""
    if told.get("load_in_8bit") or told.get("load_in_4bit"):
        return "bitsandbytes"
    return str(getattr(told.get("quant_method"), "value", told.get("quant_method")))


def becomes_plain(config: Any) -> bool:
    """Return whether the weights, once loaded, are plain ones."""
    method = method_of(config)
    return not method or (method in _METHODS and _METHODS[method].plain)


def refuse_unreadable(config: Any, where: Path | str) -> None:
    """Raise EngineError if the weights of the model in the folder `where` are quantised by a method
    that transformers does not know, or that needs a package which is not installed."""
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
    """Return the PyPI packages that a method needs, and those of them that are not installed."""
    needed = _METHODS[method].packages if method in _METHODS else {}
    return [*needed.values()], [each for module, each in needed.items() if not _is_there(module)]


def methods() -> dict[str, bool]:
    """Return the methods that were tried, and whether the weights of each become plain ones."""
    return {name: method.plain for name, method in _METHODS.items()}


def _is_there(module: str) -> bool:
    return importlib.util.find_spec(module) is not None
