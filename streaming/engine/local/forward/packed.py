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

from streaming.engine.local.attention.block_slots import BLOCK_SIZE, BlockSlots
from streaming.engine.local.attention.cache import SlotCache
from streaming.engine.local.attention.embedding_bag import EmbeddingBagKernel
from streaming.engine.local.attention.embedding_bag_attention import (
    MAX_CALLS,
    EmbeddingBagAttention,
)
from streaming.engine.local.attention.torchscript import recorded, recorded_methods
from streaming.engine.local.forward.decoder_layers import Decode, Layer, Sight
from streaming.engine.local.forward.precision import Precision
from streaming.engine.local.forward.weights import Shape, Weights

_METHODS = {1: "in_one", 2: "in_two"}
"""By the number of kernel calls in which a layer reads the decoding rows."""


class RecordedPass(nn.Module):
    """All that has weights between the embedding and the logits, with a method for each number of
    kernel calls in which a layer reads the decoding rows."""

    def __init__(self, layers: Sequence[Layer], head: nn.Module, shape: Shape) -> None:
        super().__init__()
        sights = [Sight(*sight) for sight in shape.sights]
        self.decode = Decode(layers, sights, EmbeddingBagKernel(), shape.scale)
        self.head = head

    def in_one(self, *inputs: Any) -> Tensor:
        """Return what `Decode.forward` does, recorded for one call."""
        result: Tensor = self.decode(*inputs)
        return result

    def in_two(self, *inputs: Any) -> Tensor:
        """Return what `Decode.forward` does, recorded for two calls."""
        result: Tensor = self.decode(*inputs)
        return result

    def logits(self, x: Tensor) -> Tensor:
        """Return the logits [n, vocabulary] of the last layer's x [n, hidden]."""
        result: Tensor = self.head(x)
        return result


@dataclass(frozen=True, slots=True)
class PackedLayer:
    """What a layer computes before attention and after it, see `decoder_layers`."""

    before: Callable[[Tensor, Tensor], tuple[Tensor, Tensor, Tensor]]
    after: Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True, slots=True)
class Packed:
    """What the decoder runs. `angles` [turnings, context, d / 2] and `embedding` [vocabulary,
    hidden] are tables; `decode` has an entry for each number of kernel calls, where attention
    takes recordings. `recording` is the one that all of it but the tables comes from, None where
    there is none."""

    shape: Shape
    angles: Tensor
    embedding: Tensor
    head: Callable[[Tensor], Tensor]
    layers: list[PackedLayer]
    decode: dict[int, Callable[..., Tensor]]
    recording: Any = None

    @property
    def context(self) -> int:
        """Return the number of positions that there are angles for."""
        return self.angles.shape[1]


def pack_weights(weights: Weights, precision: Precision, *, records_decoding: bool) -> Packed:
    """Return a model's weights with what can be recorded of it; `records_decoding`: attention
    takes a recording of all layers, see `Attention.takes_recordings`."""
    shape, head = weights.shape, weights.head
    layers = _recorded_apart(weights)
    packed_layers = [PackedLayer(layer.before, layer.after) for layer in layers]
    decode: dict[int, Callable[..., Tensor]] = {}
    if records_decoding:
        # Of recorded halves: of others a graph would have the parts' arguments in an order of its
        # own.
        module = RecordedPass(layers, head, shape)
        graph = recorded_methods(module, dict(_examples(weights, precision)))
        if graph is not None:
            with contextlib.suppress(AttributeError, RuntimeError):  # of another torch
                return from_recording(graph, shape, weights.angles, weights.embedding)
        decode = dict.fromkeys(_METHODS, module.decode)
    return Packed(shape, weights.angles, weights.embedding, head, packed_layers, decode)


def from_recording(recording: Any, shape: Shape, angles: Tensor, embedding: Tensor) -> Packed:
    """Return what a recording of `RecordedPass` has. Raises AttributeError or RuntimeError if it
    lacks something."""
    layers = [getattr(recording.decode._layers, str(at)) for at in range(shape.layers)]
    packed = [PackedLayer(_forward(layer.before), _forward(layer.after)) for layer in layers]
    decode = {calls: getattr(recording, name) for calls, name in _METHODS.items()}
    return Packed(shape, angles, embedding, recording.logits, packed, decode, recording)


def _forward(part: Any) -> Callable[..., Any]:
    """Of a part of a recording; torch lets parts be called by this way only."""
    method: Callable[..., Any] = part._c._get_method("forward")
    return method


def _examples(weights: Weights, precision: Precision) -> Iterator[tuple[str, tuple[Any, ...]]]:
    """For each method of `RecordedPass`. No graph knows how many rows the cache has, nor how
    long."""
    shape, device = weights.shape, torch.device("cpu")
    for calls, name in _METHODS.items():
        cache = SlotCache(shape.layers, MAX_CALLS, BLOCK_SIZE, BlockSlots)
        attention = EmbeddingBagAttention(cache, shape.attention_config(precision, device))
        attention.allocate()
        inputs = attention.example_plan(calls).recording_inputs()
        assert inputs is not None
        at = torch.zeros(calls, dtype=torch.int64)
        x, angles = weights.embedding[:calls].clone(), weights.angles[:, at][:, :, None]
        yield name, (x, angles, *inputs.arguments)
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
