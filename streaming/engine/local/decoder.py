"""The forward pass of models built like Llama, over the slot cache, in as few operations as it
takes: all tokens of a step go through the matrix products together, whoever they belong to.

The architecture: Touvron et al. 2023, "LLaMA", arXiv:2302.13971; rotary positions: Su et al.
2021, arXiv:2104.09864. The weights, and the angles of the rotary positions, come from a loaded
transformers model, whose layers are emptied meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from streaming.engine.local import attention
from streaming.engine.local.bags import PARTS, Attend, BagRows, Bags, BlockSlots
from streaming.engine.local.cache import Places, SlotCache
from streaming.engine.local.layers import After, Before, Decode, Layer
from streaming.engine.local.linear import Linear, Norm, pack
from streaming.engine.local.precision import Precision
from streaming.engine.local.recording import recorded, unplanned

_MODEL_TYPES = {"llama", "mistral", "qwen2", "qwen3"}


def fits(config: Any) -> bool:
    """Whether a model of this configuration is one that this pass computes exactly."""
    rope = getattr(config, "rope_parameters", None) or {}
    layer_types = set(getattr(config, "layer_types", None) or ())
    head_dim = getattr(config, "head_dim", None)
    return (
        config.model_type in _MODEL_TYPES
        and config.hidden_act in ("silu", "swish")
        and rope.get("rope_type", "default") in ("default", "linear", "llama3", "yarn")
        and rope.get("partial_rotary_factor", 1.0) == 1.0
        and layer_types <= {"full_attention"}
        and (config.model_type != "mistral" or not getattr(config, "sliding_window", None))
        and (head_dim or config.hidden_size // config.num_attention_heads) % 2 == 0
    )


@dataclass(frozen=True, slots=True)
class Span:
    """`tokens` to be read into `row` from position `start`."""

    row: int
    tokens: Sequence[int]
    start: int


@dataclass(frozen=True, slots=True)
class _Pieces:
    """Of a layer, recorded."""

    before: Callable[[Tensor, Tensor], tuple[Tensor, Tensor, Tensor]]
    after: Callable[[Tensor, Tensor], Tensor]


class Decoder:
    """`model` is a transformers model that `fits`; it is of no use afterwards."""

    def __init__(self, model: Any, cache: SlotCache, precision: Precision, context: int) -> None:
        config = model.config
        self._cache, self._precision = cache, precision
        self._heads, self._kv_heads = config.num_attention_heads, config.num_key_value_heads
        attend = model.model.layers[0].self_attn
        self._head_dim: int = attend.head_dim
        self._scale: float = attend.scaling
        self._epsilon: float = config.rms_norm_eps
        self.device: torch.device = model.device
        self._bags: Bags | None = None
        if isinstance(cache.slots[0], BlockSlots):
            group = self._heads // self._kv_heads
            self._bags = Bags(self._kv_heads, group, self._head_dim, context)
        self._angles = self._take_angles(model.model.rotary_emb, context)
        self._embedding = self._float(model.model.embed_tokens.weight)
        self._head = self._pack(model.lm_head, norm=model.model.norm)
        taken = [self._take(layer) for layer in model.model.layers]
        self._layers = [self._record(layer) for layer in taken]
        self._decode = self._record_decode(taken, self._bags) if self._bags else {}

    def step(
        self, tokens: Sequence[int], positions: Sequence[int], spans: Sequence[Span]
    ) -> Tensor:
        """One token for each of the rows 0..B-1, and spans of prompts for other rows.

        `positions[i]` is where `tokens[i]` stands in row i. Returns the float32 logits
        [B + spans, vocabulary] that follow each of those tokens and each span's last one.
        """
        device = self.device
        ids = [*tokens, *(token for span in spans for token in span.tokens)]
        at = [*positions]
        lengths = [position + 1 for position in positions]
        if self._bags:
            rows: list[attention.Rows | BagRows] = list(
                self._bags.rows_of(lengths, self._precision.cache)
            )
        else:
            rows = list(attention.rows_of(lengths, self._precision.cache, device))
        reading = []
        last = list(range(len(tokens)))
        for span in spans:
            end = span.start + len(span.tokens)
            for start in range(span.start, end, attention.READ_TOKENS):
                count = min(attention.READ_TOKENS, end - start)
                reading.append(
                    attention.reading_of(
                        len(at), span.row, start, count, self._heads // self._kv_heads,
                        self._precision.reading, device, len(self._angles),
                    )
                )  # fmt: skip
                at += range(start, start + count)
            last.append(len(at) - 1)
        where = torch.tensor(at, device=device)
        x = functional.embedding(torch.tensor(ids, device=device), self._embedding)
        with unplanned():
            x = self._through_layers(x, where, len(tokens), rows, reading)
        if spans:
            x = x[torch.tensor(last, device=device)]
        logits: Tensor = self._head(x)
        return logits.float()

    def _through_layers(
        self,
        x: Tensor,
        where: Tensor,
        decoding: int,
        rows: Sequence[attention.Rows | BagRows],
        reading: Sequence[attention.Reading],
    ) -> Tensor:
        """x [n, hidden] at positions `where` [n], of which the first `decoding` decode."""
        kv_heads, d = self._kv_heads, self._head_dim
        parts = [*rows, *reading]
        angles = self._angles[where][:, None]
        places = Places(torch.arange(decoding, device=self.device), where[:decoding])
        self._cache.allocate(kv_heads, d, d, self._precision.cache, self.device)
        if not reading and (decode := self._decode.get(len(rows))):
            result: Tensor = decode(*self._told(x, angles, places, rows))
            return result
        for layer, slots in zip(self._layers, self._cache.slots, strict=True):
            query, keys, values = layer.before(x, angles)
            slots.write(keys, values, places, reading)
            seen = [part.attend(query, slots, self._scale) for part in parts]
            joined = seen[0] if len(seen) == 1 else torch.cat([part.to(x.dtype) for part in seen])
            x = layer.after(x, joined)
        return x

    def _told(
        self, x: Tensor, angles: Tensor, places: Places, rows: Sequence[attention.Rows | BagRows]
    ) -> tuple[Any, ...]:
        """What `Decode` is told."""
        slots = [each for each in self._cache.slots if isinstance(each, BlockSlots)]
        bags = [each for each in rows if isinstance(each, BagRows)]
        return (
            x, angles, *slots[0].numbers_of(places),
            [each.keys for each in slots], [each.values for each in slots],
            tuple((torch.arange(each.first, each.last), *each.told) for each in bags),
        )  # fmt: skip

    # --- recording ---

    def _record(self, layer: Layer) -> _Pieces:
        x = self._embedding[:2].clone()
        group = self._heads // self._kv_heads
        seen = torch.zeros(2, self._kv_heads, group, self._head_dim, device=self.device)
        before = recorded(layer.before, x, self._angles[:2, None])
        return _Pieces(before, recorded(layer.after, x, seen))

    def _record_decode(self, layers: Sequence[Layer], bags: Bags) -> dict[int, Callable[..., Any]]:
        """By the number of parts that the decoding rows are read in."""
        whole, dtype = Decode(layers, Attend(), self._scale), self._precision.cache
        self._cache.allocate(self._kv_heads, self._head_dim, self._head_dim, dtype, self.device)
        found = {}
        for count in range(1, min(PARTS, self._cache.slots[0].rows) + 1):
            where = torch.zeros(count, dtype=torch.int64)
            rows = [bags.part(row, [1], dtype) for row in range(count)]
            places, x = Places(torch.arange(count), where), self._embedding[:count].clone()
            angles = self._angles[where][:, None]
            found[count] = recorded(whole, *self._told(x, angles, places, rows))
        self._cache.reset()
        return found

    # --- taking the weights over ---

    def _take_angles(self, rotary: Any, context: int) -> Tensor:
        """By which numbers d and d + 1 of a head are turned, as complex numbers [context, d / 2]:
        so the product is one operation. transformers turns d and d + half of the head instead;
        `_paired` puts these side by side, which no product of a query and a key notices."""
        at = torch.arange(context, device=self.device)[None]
        cos, sin = rotary(torch.zeros(1, device=self.device), at)
        half = cos.shape[-1] // 2
        return torch.complex(cos[0, :, :half].float(), sin[0, :, :half].float())

    def _take(self, layer: Any) -> Layer:
        attend, mlp = layer.self_attn, layer.mlp
        heads, kv_heads, d = self._heads, self._kv_heads, self._head_dim
        before = Before(
            self._pack(
                attend.q_proj, attend.k_proj, attend.v_proj, paired=2, norm=layer.input_layernorm
            ),
            heads, kv_heads, d, self._precision.cache,
            self._take_norm(attend, "q_norm"), self._take_norm(attend, "k_norm"),
        )  # fmt: skip
        after = After(
            self._pack(attend.o_proj),
            self._pack(mlp.gate_proj, mlp.up_proj, norm=layer.post_attention_layernorm),
            self._pack(mlp.down_proj),
        )
        layer._modules.clear()  # so that no more than one layer is there twice
        return Layer(before, after)

    def _take_norm(self, attend: Any, name: str) -> Norm | None:
        norm = getattr(attend, name, None)
        if norm is None:
            return None
        return Norm(self._paired(norm.weight.detach().float()), self._epsilon)

    def _paired(self, weight: Tensor) -> Tensor:
        """The outputs (first dimension) of whole heads, in the order that `_angles` turn them."""
        heads = weight.view(-1, 2, self._head_dim // 2, *weight.shape[1:])
        return heads.transpose(1, 2).flatten(0, 2)

    def _float(self, weight: Tensor) -> Tensor:
        return weight.detach().to(self._precision.activations)

    def _pack(self, *modules: Any, paired: int = 0, norm: Any = None) -> Linear:
        """Several products of the same activations are one; the first ones may be `_paired`."""
        weights = [self._float(module.weight) for module in modules]
        biases = [module.bias for module in modules if module.bias is not None]
        for parameters in (weights, biases):
            parameters[:paired] = [self._paired(each) for each in parameters[:paired]]
        if biases and len(biases) < len(modules):
            raise ValueError("some of the products have a bias and others none")
        bias = torch.cat([self._float(bias) for bias in biases]) if biases else None
        weight = weights[0] if len(weights) == 1 else torch.cat(weights)
        before = norm and Norm(self._float(norm.weight), self._epsilon)
        return pack(weight, bias, int8=self._precision.is_int8, norm=before)
