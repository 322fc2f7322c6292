"""A transformers model's weights, in the form in which our own pass takes them.

The model cannot be used afterwards: each of its parts is emptied when it has been taken, so that
no more than one is in memory twice.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

from streaming.engine.local.attention.interface import AttentionConfig
from streaming.engine.local.forward.decoder_layers import After, Before, Layer
from streaming.engine.local.forward.linear import Linear, Norm, pack
from streaming.engine.local.forward.parts_check import PartsCheck
from streaming.engine.local.forward.precision import Precision
from streaming.engine.models.architecture import (
    Architecture,
    activation_of,
    architecture_of,
    sights_of,
    turned_by,
    turnings_of,
)
from streaming.engine.models.layer_kinds import layer_kinds


@dataclass(frozen=True, slots=True)
class Shape:
    """The numbers that describe a model. `between` is the width between the two products of a
    layer's second half, and `activation` is that of its gate; scores are multiplied with `scale`;
    `end_ids` end an answer, as the model declares; `windows` and `sights` as of `sights_of`."""

    vocabulary: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    between: int
    activation: str
    scale: float
    parameters: int
    end_ids: list[int]
    windows: list[int]
    sights: list[tuple[int, int]]

    @property
    def config(self) -> SimpleNamespace:
        """Return the same, named as in transformers' configurations."""
        return SimpleNamespace(
            vocab_size=self.vocabulary,
            num_hidden_layers=self.layers,
            num_attention_heads=self.heads,
            num_key_value_heads=self.kv_heads,
            head_dim=self.head_dim,
        )

    def attention_config(self, precision: Precision, device: torch.device) -> AttentionConfig:
        """Return what attention over this model's cache must know."""
        return AttentionConfig(
            self.kv_heads, self.heads // self.kv_heads, self.head_dim, self.scale,
            self.windows, [window for window, _ in self.sights],
            precision.cache, precision.reading, precision.activations, device,
        )  # fmt: skip


def _as_it_is(module: nn.Module) -> None:
    """Of a model whose parameters are all there."""


class Weights:
    """The weights of a model built like Llama, for positions below `context`. Its parameters may be
    on the `meta` device: then `fill` gives a module its own just before they are taken. `check`
    compares each part before the model loses it."""

    def __init__(
        self, model: Any, precision: Precision, context: int, device: torch.device,
        check: PartsCheck | None = None, fill: Callable[[nn.Module], None] | None = None,
    ) -> None:  # fmt: skip
        config, attend = model.config, model.model.layers[0].self_attn
        self._architecture = architecture_of(config)
        kinds = layer_kinds(config)
        turnings = turnings_of(config)
        windows, sights = sights_of(kinds, turnings, context)
        self._precision, self._device, self._check = precision, device, check
        self._fill = fill or _as_it_is
        self._epsilon: float = config.rms_norm_eps
        self.shape = Shape(
            config.vocab_size, config.num_hidden_layers, config.num_attention_heads,
            config.num_key_value_heads, attend.head_dim, config.intermediate_size,
            activation_of(config), attend.scaling, parameters_of(model), end_ids_of(model),
            windows, sights,
        )  # fmt: skip
        # Made anew, for on the meta device its frequencies are no numbers.
        rotary = type(model.model.rotary_emb)(config).to(device)
        self.angles = self._take_angles(rotary, turnings, context)
        if check:
            check.begin(rotary, self.angles, self.shape.scale, kinds, self.shape.sights)
        self.head = self._take_head(model)
        self.embedding = self._take_embedding(model.model.embed_tokens)
        self.layers = [self._take(layer) for layer in model.model.layers]

    def _take_angles(self, rotary: Any, turnings: list[str], context: int) -> Tensor:
        """Return the angles by which numbers d and d + 1 of a head are turned, as complex numbers
        [turnings, context, d / 2]: so the product is one operation. transformers turns d and
        d + half of the head instead; `_paired` puts these side by side, which no product of a
        query and a key notices."""
        at = torch.arange(context, device=self._device)[None]
        like = torch.zeros(1, device=self._device)
        found = []
        for name in turnings:
            cos, sin = turned_by(rotary, like, at, name)
            half = cos.shape[-1] // 2
            found.append(torch.complex(cos[0, :, :half].float(), sin[0, :, :half].float()))
        return torch.stack(found)

    def _take_head(self, model: Any) -> Linear:
        """Take the head first, while there is nothing else: it is by far the largest."""
        norm, head = model.model.norm, model.lm_head
        self._fill(norm)
        self._fill(head)
        packed = self._pack(head, norm=norm)
        if self._check:
            self._check.head(norm, head, packed)
        head._parameters.clear()
        return packed

    def _take_embedding(self, module: Any) -> Tensor:
        self._fill(module)
        embedding = self._float(module.weight)
        if scale := getattr(module, "scalar_embed_scale", None):
            embedding = embedding * torch.tensor(scale, dtype=embedding.dtype)
            module.embed_scale = torch.tensor(scale)  # on the meta device it is no number
        if self._check:
            self._check.embedding(module, embedding)
        module._parameters.clear()
        return embedding

    def _take(self, layer: Any) -> Layer:
        self._fill(layer)
        attend, mlp = layer.self_attn, layer.mlp
        shape = self.shape
        heads, kv_heads, d = shape.heads, shape.kv_heads, shape.head_dim
        before = Before(
            self._pack(
                attend.q_proj, attend.k_proj, attend.v_proj, paired=2, norm=layer.input_layernorm
            ),
            heads, kv_heads, d, self._precision.cache,
            self._take_norm(attend, "q_norm"), self._take_norm(attend, "k_norm"),
        )  # fmt: skip
        built = self._architecture
        after = After(
            self._pack(attend.o_proj),
            self._pack(mlp.gate_proj, mlp.up_proj, norm=getattr(layer, built.pre_norm)),
            self._pack(mlp.down_proj), shape.activation, self._post_norms(layer, built),
        )  # fmt: skip
        taken = Layer(before, after)
        if self._check:
            self._check.layer(layer, taken)
        layer._modules.clear()  # so that no more than one layer is there twice
        return taken

    def _take_norm(self, attend: Any, name: str) -> Norm | None:
        norm = getattr(attend, name, None)
        if norm is None:
            return None
        weight = norm.weight.detach().to(self._device, torch.float32)
        return Norm(self._paired(weight + self._architecture.norm_offset), self._epsilon)

    def _post_norms(self, layer: Any, built: Architecture) -> tuple[Norm, Norm] | None:
        if built.post_norms is None:
            return None
        first, second = (self._norm(getattr(layer, name)) for name in built.post_norms)
        return first, second

    def _norm(self, norm: Any) -> Norm:
        if offset := self._architecture.norm_offset:
            return Norm(self._float(norm.weight.detach().float() + offset), self._epsilon)
        return Norm(self._float(norm.weight), self._epsilon)

    def _paired(self, weight: Tensor) -> Tensor:
        """Return the outputs (first dimension) of whole heads in the order in which `angles` turn
        them."""
        heads = weight.view(-1, 2, self.shape.head_dim // 2, *weight.shape[1:])
        return heads.transpose(1, 2).flatten(0, 2)

    def _float(self, weight: Tensor) -> Tensor:
        return weight.detach().to(self._device, self._precision.activations)

    def _product(self, weight: Tensor) -> Tensor:
        """Return a product's weight; for 8 bits as it is, since these are made in one go, which
        loses nothing that `_float` would keep."""
        return weight.detach() if self._precision.is_int8 else self._float(weight)

    def _pack(self, *modules: Any, paired: int = 0, norm: Any = None) -> Linear:
        """Return several products of the same activations as one; the first `paired` of them are
        `_paired`."""
        weights = [self._product(module.weight) for module in modules]
        biases = [self._float(module.bias) for module in modules if module.bias is not None]
        for parameters in (weights, biases):
            parameters[:paired] = [self._paired(each) for each in parameters[:paired]]
        if biases and len(biases) < len(modules):
            raise ValueError("some of the products have a bias and others none")
        bias = torch.cat(biases) if biases else None
        weight = weights[0] if len(weights) == 1 else torch.cat(weights)
        before = norm and self._norm(norm)
        return pack(weight, bias, int8=self._precision.is_int8, norm=before)


def parameters_of(model: Any) -> int:
    """Return how many numbers a transformers model has."""
    return sum(parameter.numel() for parameter in model.parameters())


def end_ids_of(model: Any) -> list[int]:
    """Return the tokens that end an answer, as a transformers model declares them."""
    declared = getattr(model.generation_config, "eos_token_id", None)
    return [declared] if isinstance(declared, int) else list(declared or ())
