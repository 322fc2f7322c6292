"""Matrix products with weights that are laid out once, when the model is loaded.

Each is called with activations [n, inputs] and returns [n, outputs] in the same format. Where
they are normalised first, that is part of the product: with 8 bits it then costs next to nothing.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

Linear = nn.Module

_ROWS_EXPECTED = 16  # oneDNN lays weights out for about so many rows
_jit: Any = torch.jit  # says nothing about its types
_NUMBERS_AT_ONCE = 1 << 22
_TINY = 1e-12  # instead of a division by zero


@dataclass(frozen=True, slots=True)
class Norm:
    """Root mean square normalisation (Zhang and Sennrich 2019, arXiv:1910.07467)."""

    weight: Tensor  # [inputs]
    epsilon: float

    def __call__(self, x: Tensor) -> Tensor:
        if x.dtype is torch.float32 and x.device.type == "cpu":
            return (x * self.factor(x)).mul_(self.weight)  # torch's own is slow there
        return functional.rms_norm(x, self.weight.shape, self.weight, self.epsilon)

    def factor(self, x: Tensor) -> Tensor:
        """Return 1 / root mean square [..., 1] of float32 activations [..., inputs]."""
        length = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
        mean = length.square_().div_(self.weight.shape[0])
        factor: Tensor = mean.add_(self.epsilon).rsqrt_()
        return factor


def pack(
    weight: Tensor, bias: Tensor | None, *, int8: bool = False, norm: Norm | None = None
) -> Linear:
    """Return the fastest form of a product with `weight` [outputs, inputs] on its device, of
    activations that `norm` normalises."""
    if int8:
        return Int8Linear(weight, bias, norm)
    prepacked = weight.device.type == "cpu" and _can_prepack(weight.dtype)
    linear: Linear = (PrepackedLinear if prepacked else PlainLinear)(weight, bias)
    return linear if norm is None else Normed(linear, norm)


class Normed(nn.Module):
    """A product of activations that are normalised first."""

    def __init__(self, linear: Linear, norm: Norm) -> None:
        super().__init__()
        self._linear, self._norm = linear, norm

    def forward(self, x: Tensor) -> Tensor:
        """Return the product [n, outputs] of activations x [n, inputs]."""
        result: Tensor = self._linear(self._norm(x))
        return result


class PlainLinear(nn.Module):
    """A product by torch's own kernel."""

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        super().__init__()
        self._weight, self._bias = weight.contiguous(), bias

    def forward(self, x: Tensor) -> Tensor:
        """Return the product [n, outputs] of activations x [n, inputs]."""
        return functional.linear(x, self._weight, self._bias)


class PrepackedLinear(nn.Module):
    """oneDNN's own layout. Without it the weights are laid out anew in every single product,
    which takes as long as the product itself when there are few rows. Its operation cannot be
    recorded (see `torchscript`): one of its arguments is of a type that graphs do not have.

    A single row goes as two: oneDNN has another kernel for it, which sums in another order, and
    an answer alone would not be the one in a crowd."""

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        super().__init__()
        self._weight = torch.ops.mkldnn._reorder_linear_weight(weight.contiguous(), _ROWS_EXPECTED)
        self._bias = bias

    def forward(self, x: Tensor) -> Tensor:
        """Return the product [n, outputs] of activations x [n, inputs]."""
        alone = not _jit.is_tracing() and x.shape[0] == 1
        if alone:
            x = x.repeat(2, 1)
        result: Tensor = torch.ops.mkldnn._linear_pointwise(
            x, self._weight, self._bias, "none", [], ""
        )
        return result[:1] if alone else result


class Int8Linear(nn.Module):
    """Weights and activations of 8 bits, sums of 32: half the memory traffic of bfloat16, and
    four times the multiplications of float32 where the CPU has VNNI.

    Symmetric scales, one for each output of the weights and one for each row of activations
    (Dettmers et al. 2022, "LLM.int8()", arXiv:2208.07339, without its outlier columns; Xiao et
    al. 2023, "SmoothQuant", arXiv:2211.10438, its O1). A row's scale is its own, so an answer
    does not depend on who is answered beside it.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None, norm: Norm | None = None) -> None:
        super().__init__()
        self._weight = prepacked(*in_8_bits(weight))
        self._bias = None if bias is None else bias.float()
        self._norm = norm
        # Without VNNI two products are summed in 16 bits, which 7-bit activations cannot overflow.
        self._scale = 1 / (127 if has_vnni() else 63)

    def forward(self, x: Tensor) -> Tensor:
        """Return the product [n, outputs] of activations x [n, inputs]."""
        norm, factor = self._norm, None
        if norm is not None:
            factor = norm.factor(x)  # to be multiplied with at the end, like the scale
            x = x * norm.weight
        largest = x.abs().amax(-1, keepdim=True).clamp_(min=_TINY)  # vector_norm is slower
        result: Tensor = _int8_product()(x / largest, self._scale, 128, self._weight)
        result.mul_(largest if factor is None else largest.mul_(factor))
        return result if self._bias is None else result.add_(self._bias)


def in_8_bits(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Return `weight` [outputs, inputs] as whole numbers, and the scale that each output's are to
    be multiplied with. Some outputs at a time, for in between they are of 32 bits."""
    scales = torch.empty(len(weight))
    whole = torch.empty(weight.shape, dtype=torch.int8)
    at_once = max(1, _NUMBERS_AT_ONCE // weight.shape[1])
    for first in range(0, len(weight), at_once):
        some = slice(first, first + at_once)
        part = weight[some].float()
        scales[some] = (part.abs().amax(dim=1) / 127).clamp_(min=_TINY)
        whole[some] = (part / scales[some, None]).round_()
    return whole, scales


def prepacked(whole: Tensor, scales: Tensor) -> Any:
    """Return the result of `in_8_bits` in the layout of the product."""
    zeros = torch.zeros(len(scales), dtype=torch.int64)
    with warnings.catch_warnings():
        # torch means to remove quantized tensors some day; `can_int8` says when it has.
        warnings.filterwarnings("ignore", message="torch.quantize_per_tensor")
        quantized = torch._make_per_channel_quantized_tensor(whole, scales.double(), zeros, 0)
    return torch.ops.quantized.linear_prepack(quantized, None)


def unpacked(weight: Any) -> tuple[Tensor, Tensor]:
    """Return the whole numbers and scales that were `prepacked`."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="torch.quantize_per_tensor")
        quantized, _ = torch.ops.quantized.linear_unpack(weight)
        return quantized.int_repr(), quantized.q_per_channel_scales().float()


@functools.cache
def _int8_product() -> Callable[..., Tensor]:
    product: Callable[..., Tensor]
    product = torch.ops.quantized.linear_with_input_q_dq_qweight_dq_output_fp32.default
    return product


@functools.cache
def has_vnni() -> bool:
    """Return whether the CPU multiplies bytes and sums in 32 bits in one instruction."""
    return bool(getattr(torch.cpu, "_is_vnni_supported", lambda: False)())


@functools.cache
def can_int8() -> bool:
    """Return whether this torch has an 8-bit product for this CPU: told by trying one."""
    try:
        product = Int8Linear(torch.eye(8), None)(torch.ones(2, 8))
    except (RuntimeError, AttributeError, NotImplementedError):
        return False
    return torch.allclose(product, torch.ones(2, 8), atol=0.05)


@functools.cache
def _can_prepack(dtype: torch.dtype) -> bool:
    try:
        product = PrepackedLinear(torch.eye(8, dtype=dtype), None)(torch.ones(2, 8, dtype=dtype))
    except (RuntimeError, AttributeError, NotImplementedError):
        return False
    return torch.allclose(product.float(), torch.ones(2, 8), atol=0.05)
