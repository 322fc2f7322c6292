"""What our own pass runs: a model's weights as it takes them, and what is recorded of it.

On a CPU one recording has all of it: the decode graphs, and in them each layer's two halves for
steps that also read prompts. So it can be written to a file, and the next start takes it from
there (`kept`) instead of making it from the model.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from streaming.engine.local.attention.cache import BLOCK, Places
from streaming.engine.local.attention.embedding_bag_attention import (
    PARTS,
    Attend,
    BagRows,
    Bags,
    BlockSlots,
)
from streaming.engine.local.attention.torchscript import recorded, recorded_methods
from streaming.engine.local.forward.decoder_layers import Decode, Layer, Sight
from streaming.engine.local.forward.weights import Shape, Weights

_METHODS = {1: "in_one", 2: "in_two"}
"""By the number of parts."""


class Whole(nn.Module):
    """All that has weights between the embedding and the logits, with a method for each number of
    parts that decoding rows are read in."""

    def __init__(self, layers: Sequence[Layer], head: nn.Module, shape: Shape) -> None:
        super().__init__()
        sights = [Sight(*sight) for sight in shape.sights]
        self.decode, self.head = Decode(layers, sights, Attend(), shape.scale), head

    def in_one(self, *told: Any) -> Tensor:
        """As `Decode.forward`."""
        result: Tensor = self.decode(*told)
        return result

    def in_two(self, *told: Any) -> Tensor:
        """As `Decode.forward`."""
        result: Tensor = self.decode(*told)
        return result

    def logits(self, x: Tensor) -> Tensor:
        """Of the last layer's x [n, hidden]."""
        result: Tensor = self.head(x)
        return result


@dataclass(frozen=True, slots=True)
class Halves:
    """Of a layer: what comes before attention and after it, see `layers`."""

    before: Callable[[Tensor, Tensor], tuple[Tensor, Tensor, Tensor]]
    after: Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True, slots=True)
class Packed:
    """`angles` [turnings, context, d / 2] and `embedding` [vocabulary, hidden] are tables; `decode`
    has an entry for each number of parts, where rows are read as `bags`. `whole` is the recording
    that all of it but the tables comes from, None where there is none."""

    shape: Shape
    angles: Tensor
    embedding: Tensor
    head: Callable[[Tensor], Tensor]
    layers: list[Halves]
    decode: dict[int, Callable[..., Tensor]]
    whole: Any = None

    @property
    def context(self) -> int:
        """For positions below this one."""
        return self.angles.shape[1]


def pack_weights(weights: Weights, *, bags: bool, cache: torch.dtype) -> Packed:
    """Record what can be recorded, for keys and values in the format `cache`."""
    shape, head = weights.shape, weights.head
    layers = _recorded_apart(weights)
    halves = [Halves(layer.before, layer.after) for layer in layers]
    decode: dict[int, Callable[..., Tensor]] = {}
    if bags:
        # Of recorded halves: of others a graph would have the parts' arguments in an order of its
        # own.
        whole = Whole(layers, head, shape)
        graph = recorded_methods(whole, dict(_examples(weights, cache)))
        if graph is not None:
            with contextlib.suppress(AttributeError, RuntimeError):  # of another torch
                return from_recording(graph, shape, weights.angles, weights.embedding)
        decode = dict.fromkeys(_METHODS, whole.decode)
    return Packed(shape, weights.angles, weights.embedding, head, halves, decode)


def from_recording(whole: Any, shape: Shape, angles: Tensor, embedding: Tensor) -> Packed:
    """`whole` is a recording of `Whole`. Raises AttributeError or RuntimeError if it lacks
    something."""
    layers = [getattr(whole.decode._layers, str(at)) for at in range(shape.layers)]
    halves = [Halves(_forward(layer.before), _forward(layer.after)) for layer in layers]
    decode = {parts: getattr(whole, name) for parts, name in _METHODS.items()}
    return Packed(shape, angles, embedding, whole.logits, halves, decode, whole)


def _forward(part: Any) -> Callable[..., Any]:
    """Of a part of a recording; torch lets parts be called by this way only."""
    method: Callable[..., Any] = part._c._get_method("forward")
    return method


def told(
    x: Tensor, angles: Tensor, places: Places, slots: Sequence[BlockSlots],
    rows: Sequence[Sequence[BagRows]],
) -> tuple[Any, ...]:  # fmt: skip
    """What `Decode` is told; `rows` by the number of the window."""
    return (
        x, angles, *slots[0].numbers_of(places),
        [each.keys for each in slots], [each.values for each in slots],
        tuple(
            tuple((torch.arange(each.first, each.last), *each.told) for each in of_window)
            for of_window in rows
        ),
    )  # fmt: skip


def _examples(weights: Weights, cache: torch.dtype) -> Iterator[tuple[str, tuple[Any, ...]]]:
    """For each method of `Whole`. No graph knows how many rows the cache has, nor how long."""
    shape, device = weights.shape, torch.device("cpu")
    bags = Bags(shape.kv_heads, shape.heads // shape.kv_heads, shape.head_dim, BLOCK)
    for parts, name in _METHODS.items():
        slots = [BlockSlots(PARTS, BLOCK) for _ in range(shape.layers)]
        for each in slots:
            each.allocate(shape.kv_heads, shape.head_dim, shape.head_dim, cache, device)
        where = torch.zeros(parts, dtype=torch.int64)
        rows = [[bags.part(row, [1], cache) for row in range(parts)] for _ in shape.windows]
        x, angles = weights.embedding[:parts].clone(), weights.angles[:, where][:, :, None]
        yield name, told(x, angles, Places(torch.arange(parts), where), slots, rows)
    yield "logits", (weights.embedding[:2].clone(),)


def _recorded_apart(weights: Weights) -> list[Layer]:
    """Each half of a layer as a graph, where that can be had."""
    shape, device = weights.shape, weights.embedding.device
    x, angles = weights.embedding[:2].clone(), weights.angles[0, :2, None]
    group = shape.heads // shape.kv_heads
    seen = torch.zeros(2, shape.kv_heads, group, shape.head_dim, device=device)
    return [
        Layer(recorded(layer.before, x, angles), recorded(layer.after, x, seen))
        for layer in weights.layers
    ]
