"""What the layers of a model built like Llama compute, apart from attention's own sums."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from streaming.engine.local.linear import Linear, Norm


class Before(nn.Module):
    """Of a layer, what comes before attention: the products, and the turning by position."""

    def __init__(
        self, product: Linear, heads: int, kv_heads: int, d: int, cache: torch.dtype,
        query_norm: Norm | None, key_norm: Norm | None,
    ) -> None:  # fmt: skip
        super().__init__()
        self._product, self._cache = product, cache
        self._heads, self._kv_heads, self._d = heads, kv_heads, d
        self._query_norm, self._key_norm = query_norm, key_norm

    def forward(self, x: Tensor, angles: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """x [n, hidden], angles [n, 1, d / 2] to queries [n, kv_heads, group, d], and keys and
        values [n, kv_heads, d] for the cache."""
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
    """Of a layer, what comes after attention; x is changed."""

    def __init__(self, output: Linear, gate_up: Linear, down: Linear) -> None:
        super().__init__()
        self._output, self._gate_up, self._down = output, gate_up, down

    def forward(self, x: Tensor, seen: Tensor) -> Tensor:
        """x [n, hidden], and what attention saw, [n, kv_heads, group, d]."""
        x = x.add_(self._output(seen.flatten(1).to(x.dtype)))
        gate, up = self._gate_up(x).chunk(2, dim=-1)
        return x.add_(self._down(functional.silu(gate).mul_(up)))


class Layer(nn.Module):
    before: Before
    after: After

    def __init__(self, before: Before, after: After) -> None:
        super().__init__()
        self.before, self.after = before, after


class Decode(nn.Module):
    """All layers, for rows that decode and are read by `parts` calls of `attend`."""

    def __init__(self, layers: Sequence[Layer], attend: nn.Module, scale: float) -> None:
        super().__init__()
        self._layers = nn.ModuleList(layers)
        self._attend, self._scale = attend, scale

    def forward(
        self, x: Tensor, angles: Tensor, at_keys: Tensor, at_values: Tensor,
        keys: Sequence[Tensor], values: Sequence[Tensor], parts: Sequence[Sequence[Tensor]],
    ) -> Tensor:  # fmt: skip
        """x [n, hidden], angles [n, 1, d / 2]; `at_keys` and `at_values` as Places.numbers, all
        layers' keys and values, and for each part which rows of x it has and what `attend` is
        told of them."""
        layers: Iterable[Any] = self._layers
        for layer, layer_keys, layer_values in zip(layers, keys, values, strict=True):
            query, fresh_keys, fresh_values = layer.before(x, angles)
            layer_keys.view(-1).put_(at_keys, fresh_keys)
            layer_values.view(-1).put_(at_values, fresh_values)
            query = query * self._scale
            seen = [
                self._attend(query.index_select(0, of), layer_keys, layer_values, *told)
                for of, *told in parts
            ]
            x = layer.after(x, seen[0] if len(seen) == 1 else torch.cat(seen))
        return x
