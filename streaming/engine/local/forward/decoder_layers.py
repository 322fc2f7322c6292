"""What the layers of a model built like Llama compute, apart from attention's own sums."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from streaming.engine.local.forward.linear import Linear, Norm


class Before(nn.Module):
    """The part of a layer before attention: the products, and the turning by position."""

    def __init__(
        self, product: Linear, heads: int, kv_heads: int, d: int, cache: torch.dtype,
        query_norm: Norm | None, key_norm: Norm | None,
    ) -> None:  # fmt: skip
        super().__init__()
        self._product, self._cache = product, cache
        self._heads, self._kv_heads, self._d = heads, kv_heads, d
        self._query_norm, self._key_norm = query_norm, key_norm

    def forward(self, x: Tensor, angles: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return queries [n, kv_heads, group, d], and keys and values [n, kv_heads, d] for the
        cache, of x [n, hidden] and angles [n, 1, d / 2]."""
        heads, kv_heads, d = self._heads, self._kv_heads, self._d
        y = self._product(x).float().view(-1, heads + 2 * kv_heads, d)
        turning = y[:, : heads + kv_heads]
        if self._query_norm is not None and self._key_norm is not None:
            turning[:, :heads] = self._query_norm(turning[:, :heads])
            turning[:, heads:] = self._key_norm(turning[:, heads:])
        torch.view_as_complex(turning.view(-1, heads + kv_heads, d // 2, 2)).mul_(angles)
        fresh = y[:, heads:].to(self._cache)
        query = y[:, :heads].view(-1, kv_heads, heads // kv_heads, d)
        return query, fresh[:, :kv_heads], fresh[:, kv_heads:]


class After(nn.Module):
    """The part of a layer after attention. `norms` are of what attention adds to x, and of what
    the second half of the layer adds."""

    def __init__(
        self, output: Linear, gate_up: Linear, down: Linear, activation: str,
        norms: tuple[Norm, Norm] | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self._output, self._gate_up, self._down = output, gate_up, down
        self._activation, self._norms = activation, norms

    def forward(self, x: Tensor, seen: Tensor) -> Tensor:
        """Return the layer's result [n, hidden] of x [n, hidden], which is changed, and of what
        attention saw [n, kv_heads, group, d]."""
        x = x.add_(self.added(seen.flatten(1).to(x.dtype)))
        gate, up = self._gate_up(x).chunk(2, dim=-1)
        if self._activation == "silu":
            gate = functional.silu(gate)
        else:
            gate = functional.gelu(gate, approximate="tanh")
        y = self._down(gate.mul_(up))
        return x.add_(y if self._norms is None else self._norms[1](y))

    def added(self, seen: Tensor) -> Tensor:
        """Return what attention adds to x [n, hidden], of what it saw [n, heads * d]."""
        y: Tensor = self._output(seen)
        return y if self._norms is None else self._norms[0](y)


class Layer(nn.Module):
    """A layer in two parts, between which attention reads the cache."""

    before: Before
    after: After

    def __init__(self, before: Before, after: After) -> None:
        super().__init__()
        self.before, self.after = before, after


@dataclass(frozen=True, slots=True)
class Sight:
    """What a layer sees, and how its positions turn: the index of its window among those of the
    model, and that of its angles."""

    window: int
    angles: int


class Decode(nn.Module):
    """All layers, for steps that only decode. `attend` is the kernel of attention, see
    `EmbeddingBagKernel`; `sights` has an entry for each layer."""

    def __init__(
        self, layers: Sequence[Layer], sights: Sequence[Sight], attend: nn.Module, scale: float
    ) -> None:
        super().__init__()
        self._layers, self._sights = nn.ModuleList(layers), sights
        self._attend, self._scale = attend, scale

    def forward(
        self, x: Tensor, angles: Tensor, key_mapping: Tensor, value_mapping: Tensor,
        keys: Sequence[Tensor], values: Sequence[Tensor],
        calls: Sequence[Sequence[Sequence[Tensor]]],
    ) -> Tensor:  # fmt: skip
        """Return the last layer's [n, hidden] of x [n, hidden] and angles [sets, n, 1, d / 2].

        The mappings are as of `BlockSlots.slot_mapping`, `keys` and `values` those of all layers;
        `calls` has for each window and each kernel call which rows of x it reads for, and its
        further arguments.
        """
        layers: Iterable[Any] = self._layers
        turned = angles.unbind(0)
        for layer, sight, layer_keys, layer_values in zip(
            layers, self._sights, keys, values, strict=True
        ):
            query, fresh_keys, fresh_values = layer.before(x, turned[sight.angles])
            layer_keys.view(-1).put_(key_mapping, fresh_keys)
            layer_values.view(-1).put_(value_mapping, fresh_values)
            query = query * self._scale
            seen = [
                self._attend(query.index_select(0, rows), layer_keys, layer_values, *others)
                for rows, *others in calls[sight.window]
            ]
            x = layer.after(x, seen[0] if len(seen) == 1 else torch.cat(seen))
        return x
