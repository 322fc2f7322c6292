"""Where and in which number format the model computes: CHATSTREAM_DEVICE and CHATSTREAM_DTYPE."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from streaming.engine.base import EngineError
from streaming.engine.faults import told_by
from streaming.engine.local.attention.embedding_bag import can_bag
from streaming.engine.local.forward import linear

AUTO = "auto"


@dataclass(frozen=True, slots=True)
class Precision:
    """`name` is what people set and see. Activations, the cache, and attention where prompts are
    read have torch's own formats; the weights of the matrix products have that of `activations`,
    or 8 bits (`is_int8`)."""

    name: str
    activations: torch.dtype
    cache: torch.dtype
    reading: torch.dtype
    is_int8: bool = False


_FLOATS = {
    name: Precision(name, dtype, dtype, dtype)
    for name, dtype in (
        ("float32", torch.float32),
        ("bfloat16", torch.bfloat16),
        ("float16", torch.float16),
    )
}
NAMES = (AUTO, *_FLOATS, "int8")


def choose_device(name: str) -> torch.device:
    """Return the device of this name; `auto` is CUDA, then Apple's MPS, then the CPU. Raises
    EngineError if it cannot be used."""
    if name == AUTO:
        if torch.cuda.is_available():
            return torch.device("cuda")
        if torch.backends.mps.is_available():
            return torch.device("mps")
        return torch.device("cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = told_by(error)
        raise EngineError(f"CHATSTREAM_DEVICE={name} cannot be used here: {reason}") from error
    return device


def choose_precision(name: str, device: torch.device, *, packable: bool) -> Precision:
    """Return the formats that `name` stands for on this device; `packable` says that the model
    runs in our own pass. Raises EngineError for what cannot be had here."""
    precision = _named(name, device, packable)
    if packable and can_bag(device) and precision.name != "float32":
        # Of the formats of 16 bits, the more exact one: keys and values are far from its bounds.
        reading = torch.bfloat16 if _multiplies_bfloat16() else torch.float32
        return replace(precision, cache=torch.float16, reading=reading)
    return precision


def _named(name: str, device: torch.device, packable: bool) -> Precision:
    """`auto` is int8 where the CPU multiplies it and the model's weights can be packed
    (`packable`), else what the hardware multiplies fastest among the floats.

    It follows from what the hardware can do, never from a timing: a seeded answer that goes on
    after a crash must not change its numbers.
    """
    if name == "int8":
        if device.type != "cpu":
            raise EngineError(f"CHATSTREAM_DTYPE=int8 is for the CPU, and this is {device}.")
        if not linear.can_int8():
            raise EngineError("CHATSTREAM_DTYPE=int8 needs an x86 CPU and torch's fbgemm.")
        if not packable:
            raise EngineError("CHATSTREAM_DTYPE=int8 is for models built like Llama.")
        return _int8()
    if name != AUTO:
        try:
            return _FLOATS[name]
        except KeyError:
            allowed = ", ".join(NAMES)
            raise EngineError(f"CHATSTREAM_DTYPE={name} is not one of {allowed}.") from None
    if device.type == "cuda":
        return _FLOATS["bfloat16" if torch.cuda.is_bf16_supported() else "float16"]
    if device.type == "mps":
        return _FLOATS["float16"]
    if packable and linear.has_vnni() and linear.can_int8():
        return _int8()
    return _FLOATS[without_int8()]


def without_int8() -> str:
    """Return what `auto` stands for on a CPU whose 8 bits are too coarse for a model."""
    return "bfloat16" if _multiplies_bfloat16() else "float32"


def _int8() -> Precision:
    return Precision("int8", torch.float32, torch.float32, torch.float32, is_int8=True)


def _multiplies_bfloat16() -> bool:
    probes = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, probe, lambda: False)() for probe in probes)
