"""The forward pass of any model that transformers can run, over the slot cache.

The model sees the cache as transformers' own `Cache`. A step says beforehand which rows it
touches; `update` then writes the new keys and values where they belong and returns those that the
step may see. The model gets masks for each kind of its layers, for rows shorter than the longest
see other rows' length, and slots of a ring hold tokens of any age.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from enum import Enum, auto
from typing import Any

import torch
from torch import Tensor, nn
from transformers.cache_utils import Cache, DummyLayer

from streaming.engine.local.attention.cache import SlotCache
from streaming.engine.local.attention.positions import by_own_length
from streaming.engine.local.attention.span import Span
from streaming.engine.local.forward.precision import Precision
from streaming.engine.local.forward.self_check import (
    least_likeness,
    likeness,
    read_and_decode,
    require,
    sample,
)
from streaming.engine.local.forward.transformers_cache import CachePosition, SlotsLayer, first_seen
from streaming.engine.models.layer_kinds import (
    CHUNKED,
    NOTHING,
    LayerKind,
    has_masks_by_kind,
    layer_kinds,
)
from streaming.engine.models.support import cache_argument


class Together(Enum):
    """How rows that decode share a pass."""

    BY_KIND = auto()  # the model takes a mask [B, 1, n, length] for each kind of layer
    PADDED = auto()  # it takes which keys are anybody's [B, length], and makes biases of them
    ALONE = auto()  # its code asks how long a row is: each has a pass of its own


_BY_KIND = {
    "biogpt", "codegen", "falcon", "gptj", "gpt_neox_japanese", "mpt", "stablelm", "xglm",
}  # fmt: skip
"""Of those whose attention is not transformers' interface: they take masks and positions as it
does."""

_BIASED_BY_MASK = {"bloom", "falcon"}
"""They number the keys for ALiBi (Press et al. 2021, arXiv:2108.12409) by a mask of two
dimensions. mpt counts them from the last one: that differs from a row's own by a constant, which
no softmax notices."""


def together(model: Any, context: int) -> Together:
    """Return how a model's rows may share a pass, for rows of up to `context` tokens."""
    config = model.config.get_text_config(decoder=True)
    if config.model_type in _BIASED_BY_MASK and getattr(config, "alibi", True):
        return Together.PADDED
    if not model._supports_attention_backend and config.model_type not in _BY_KIND:
        return Together.ALONE
    if getattr(config, "attn_temperature_tuning", False) and config.floor_scale < context:
        return Together.ALONE  # queries are scaled by the length of the cache
    return Together.BY_KIND


class TransformersModel:
    """A causal language model of transformers, as it is. `cache` has slots for each of its layers,
    see `layer_kinds`."""

    is_exact = False  # its kernels sum in an order that depends on how much there is to sum

    def __init__(self, model: Any, cache: SlotCache, context: int) -> None:
        self.device: torch.device = model.device
        self._model = model
        self._position = CachePosition()
        self._kinds = layer_kinds(model.config)
        layers: list[Any] = [
            DummyLayer()  # type: ignore[no-untyped-call]
            if kind.kind == NOTHING
            else SlotsLayer(self._position, cache, slots, kind)
            for kind, slots in zip(self._kinds, cache.slots, strict=True)
        ]
        self._kept = {cache_argument(type(model)): Cache(layers=layers)}
        accepted = inspect.signature(type(model).forward).parameters
        self._takes_positions = "position_ids" in accepted
        self._by_kind = has_masks_by_kind(model.config)
        self._masked = {  # by the name that the model's code has for it
            layer.mask: slots for layer, slots in zip(self._kinds, cache.slots, strict=True)
            if layer.kind != NOTHING
        }  # fmt: skip
        self._kind_of = {layer.mask: layer for layer in self._kinds if layer.kind != NOTHING}
        self._boolean_mask = model.config._attn_implementation == "sdpa"
        self._together = together(model, context)
        self._lengths = by_own_length(model, context)

    @property
    def turns_at(self) -> int | None:
        """Return the length in tokens beyond which a row is read with other positions than a
        shorter one, and is read again when it becomes so long. None: there is no such length."""
        return self._lengths.turns_at if self._lengths else None

    def step(
        self, tokens: Sequence[int], positions: Sequence[int], spans: Sequence[Span]
    ) -> Tensor:
        """Return the logits as `Decoder.step` does, by one pass for the rows that decode, and one
        for each span."""
        outputs = []
        if self._together is Together.ALONE:
            each = enumerate(zip(tokens, positions, strict=True))
            outputs += [self._read(Span(row, [token], at)) for row, (token, at) in each]
        elif tokens:
            outputs.append(self._decode(tokens, positions))
        outputs += [self._read(span) for span in spans]
        return outputs[0] if len(outputs) == 1 else torch.cat(outputs)

    def check(self, rows: int, precision: Precision) -> None:
        """Raise EngineError if steps of so many rows compute something else than the model alone,
        without our cache and masks."""
        texts = sample(self._model.config.get_text_config(decoder=True).vocab_size)
        least = least_likeness(precision).whole
        for text, found in zip(texts, read_and_decode(self.step, rows, texts), strict=True):
            alone = self._alone(text)[-2:]
            for which, name in enumerate(("read in chunks", "decoded beside another")):
                if likeness(found[which], alone[which]) < least:
                    where = self._where_it_differs(text, least)
                    what = f"transformers' pass over our cache, {name}{where},"
                    require(what, found[which], alone[which], least)

    def _where_it_differs(self, text: Sequence[int], least: float) -> str:
        """From which layer on, if a text alone shows it."""
        count = len(self._kinds)
        lists = (each for each in self._model.modules() if isinstance(each, nn.ModuleList))
        layers = next((each for each in lists if len(each) == count), nn.ModuleList())
        outputs: list[list[Tensor]] = []

        def note(_: Any, __: Any, found: Any) -> None:
            outputs[-1].append((found[0] if isinstance(found, tuple) else found)[0, -1])

        hooks = [layer.register_forward_hook(note) for layer in layers]
        try:
            outputs.append([])
            self._alone(text)
            whole = outputs[-1]
            outputs.append([])
            read_and_decode(self.step, 1, [text])
        finally:
            for hook in hooks:
                hook.remove()
        last = outputs[-1][-count:]
        for number, (ours, theirs) in enumerate(zip(last, whole, strict=True)):
            if likeness(ours, theirs) < least:
                return f", from layer {number} ({self._kinds[number].kind}) on"
        return ""

    def _alone(self, text: Sequence[int]) -> Tensor:
        """The logits [n, vocabulary] of a text that the model reads at once."""
        ids = torch.tensor([text], device=self.device)
        if self._lengths:
            self._lengths.now = torch.tensor([len(text)], device=self.device)
        logits: Tensor = self._model(input_ids=ids, use_cache=False).logits[0]
        return logits.float()

    def _decode(self, tokens: Sequence[int], positions: Sequence[int]) -> Tensor:
        length = max(positions) + 1
        at = torch.tensor(positions, device=self.device)
        self._position.decode(at, length)
        ids = torch.tensor(tokens, device=self.device)[:, None]
        if self._together is Together.PADDED:
            mask: Any = (torch.arange(length, device=self.device) <= at[:, None]).long()
        else:
            mask = self._masks(at, length)
        return self._forward(ids, at[:, None], mask, at + 1)

    def _masks(self, at: Tensor, length: int) -> Any:
        """For rows at positions `at` [B], of which the longest has `length` tokens."""
        masks = {}
        for name, slots in self._masked.items():
            indices = torch.arange(min(length, slots.room), device=self.device)
            # The newest token that such a slot can hold.
            held = at[:, None] - (at[:, None] - indices) % slots.room
            masks[name] = self._mask(at[:, None], held[:, None], self._kind_of[name])
        return self._mask_argument(masks)

    def _read(self, span: Span) -> Tensor:
        start, end = span.start, span.start + len(span.tokens)
        self._position.read(span.row, start, end)
        at = torch.arange(start, end, device=self.device)
        ids = torch.tensor(span.tokens, device=self.device)[None, :]
        mask = None
        if self._together is Together.BY_KIND:
            masks = {}
            for name, slots in self._masked.items():
                first = first_seen(slots, start)
                held = torch.arange(first, end, device=self.device)
                masks[name] = self._mask(at[None], held[None, None], self._kind_of[name])
            mask = self._mask_argument(masks)
        total = torch.tensor([max(end, span.total)], device=self.device)
        return self._forward(ids, at[None, :], mask, total)

    def _mask(self, at: Tensor, held: Tensor, kind: LayerKind) -> Tensor:
        """[B, 1, n, length]: what the tokens at positions `at` [B, n] see of those at positions
        `held` [B, 1, length] (below 0: nobody's)."""
        at = at[:, :, None]
        visible = (held >= 0) & (held <= at)
        if kind.kind == CHUNKED:
            visible &= held >= at // kind.window * kind.window
        elif kind.window:
            visible &= held > at - kind.window
        visible = visible[:, None]
        if self._boolean_mask:
            return visible
        dtype = self._model.dtype
        mask = torch.zeros(visible.shape, dtype=dtype, device=self.device)
        return mask.masked_fill_(~visible, torch.finfo(dtype).min)

    def _mask_argument(self, masks: dict[str, Tensor]) -> Any:
        """As the model takes them."""
        return masks if self._by_kind else next(iter(masks.values()))

    def _forward(self, ids: Tensor, positions: Tensor, mask: Any, lengths: Tensor) -> Tensor:
        """ids [B, n], positions [B, n], `lengths` [B] of the rows when all is read; the last
        token's logits."""
        arguments: dict[str, Any] = dict(self._kept)
        if self._takes_positions:
            arguments["position_ids"] = positions
        if self._lengths:
            self._lengths.now = lengths
        output = self._model(
            input_ids=ids, attention_mask=mask, use_cache=True, logits_to_keep=1, **arguments
        )
        logits: Tensor = output.logits[:, -1]
        return logits.float()


def windows_of(config: Any) -> Iterator[int]:
    """Yield the window of each layer, for `SlotCache`."""
    return (kind.window for kind in layer_kinds(config))
