"""The check of our own pass, part by part, while it is made of a transformers model."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Sequence
from typing import Any, Concatenate, ParamSpec

import torch
from torch import Tensor

from streaming.engine.base import EngineError
from streaming.engine.local.forward.decoder_layers import Layer
from streaming.engine.local.forward.precision import Precision
from streaming.engine.local.forward.self_check import (
    Step,
    least_likeness,
    read_and_decode,
    require,
    sample,
)
from streaming.engine.models.architecture import architecture_of, turned_by, turnings_of
from streaming.engine.models.layer_kinds import LayerKind

P = ParamSpec("P")


def _timed(method: Callable[Concatenate[PartsCheck, P], None]) -> Callable[..., None]:
    """Return a check that adds the time it takes to `seconds`."""

    @functools.wraps(method)
    def timed(self: PartsCheck, *args: P.args, **kwargs: P.kwargs) -> None:
        began = time.perf_counter()
        try:
            method(self, *args, **kwargs)
        except EngineError as error:
            if self._precision.is_int8:
                raise TooCoarse(str(error), error.code) from error
            raise
        self.seconds += time.perf_counter() - began

    return timed


class TooCoarse(EngineError):
    """Weights of 8 bits do not compute what the model does. In more bits they may."""


class PartsCheck:
    """Compares each part of our own pass with the transformers module that it is made of, on the
    same numbers, as long as that still has its weights; then steps of the whole with the parts.

    Only one layer's weights are needed at a time. `seconds` is the time that all of it has taken.
    """

    def __init__(self, config: Any, precision: Precision) -> None:
        self.seconds = 0.0
        self._config, self._precision = config, precision
        self._least = least_likeness(precision)
        self._texts = sample(config.vocab_size)
        self._x: list[Tensor] = []
        self._number = 0

    def begin(
        self, rotary: Any, angles: Tensor, scale: float, kinds: Sequence[LayerKind],
        sights: Sequence[tuple[int, int]],
    ) -> None:  # fmt: skip
        """Set what all layers share: transformers' `rotary`, our `angles` and `scale`, and of the
        layers `kinds` as theirs and `sights` as ours."""
        self._rotary, self._angles, self._scale = rotary, angles, scale
        self._kinds, self._sights = kinds, sights
        self._turnings = turnings_of(self._config)

    @_timed
    def embedding(self, theirs: Any, ours: Tensor) -> None:
        """Compare the embedding of the sample's tokens."""
        for text in self._texts:
            ids = torch.tensor(text, device=ours.device)
            self._x.append(ours[ids])
            there = theirs(ids.to(theirs.weight.device))
            require("the embedding of our own pass", self._x[-1], there, self._least.part)

    @_timed
    def head(self, norm: Any, theirs: Any, ours: Callable[[Tensor], Tensor]) -> None:
        """Compare the logits of random numbers, for the norm leaves no others."""
        generator = torch.Generator().manual_seed(1)
        x = torch.randn(4, norm.weight.shape[0], generator=generator).to(norm.weight)
        there = theirs(norm(x))
        mine = ours(x.to(self._angles.device, self._precision.activations))
        require("the head of our own pass", mine, there, self._least.part)
        self._head = ours

    @_timed
    def layer(self, theirs: Any, ours: Layer) -> None:
        """Compare the next layer: what its attention and its second half add to their input."""
        self._kind = self._kinds[self._number]
        self._turned = self._angles[self._sights[self._number][1]]
        name = f"layer {self._number} ({self._kind.kind}) of our own pass"
        self._biases(name, theirs, ours)
        x = self._x[0]  # one text tells
        (seen, after), (their_seen, there) = self._ours(ours, x), self._theirs(theirs, x)
        require(f"the attention of {name}", seen, their_seen, self._least.attention)
        mine, other = after - x - seen, there - x - their_seen
        require(f"the second half of {name}", mine, other, self._least.part)
        self._x = [after, *(self._ours(ours, x)[1] for x in self._x[1:])]
        self._number += 1

    def _biases(self, name: str, theirs: Any, ours: Layer) -> None:
        """Of nothing the products make their biases, which rounding leaves alone."""
        nothing = torch.zeros_like(self._x[0][:1])
        attend = theirs.self_attn
        like = next(theirs.parameters())
        query, keys, values = ours.before(nothing.clone(), self._turned[:1, None])
        for what, found, product, norm in (
            ("queries", query, attend.q_proj, getattr(attend, "q_norm", None)),
            ("keys", keys, attend.k_proj, getattr(attend, "k_norm", None)),
            ("values", values, attend.v_proj, None),
        ):
            there = product(nothing.to(like)).view(-1, attend.head_dim)
            there = norm(there) if norm is not None else there
            mine = found.reshape(-1, attend.head_dim)
            if what != "values":  # their pairs of numbers stand side by side, see `Weights`
                mine = mine.view(len(mine), -1, 2).transpose(1, 2).flatten(1)
            self._same(f"the bias of the {what} of {name}", mine, there)
        self._same(f"the biases of {name}", self._ours(ours, nothing)[1],
                   self._theirs(theirs, nothing)[1])  # fmt: skip

    def _same(self, what: str, ours: Tensor, theirs: Tensor) -> None:
        if ours.any() or theirs.any():
            require(what, ours, theirs, self._least.part)

    @_timed
    def whole(self, step: Step, rows: int) -> None:
        """Compare steps that read chunks and decode with all parts one after the other."""
        wanted = [self._head(x)[-2:] for x in self._x]
        for found, there in zip(read_and_decode(step, rows, self._texts), wanted, strict=True):
            for which, name in enumerate(("read in chunks", "decoded beside another")):
                what = f"our own pass, {name},"
                require(what, found[which], there[which], self._least.whole)

    def _theirs(self, layer: Any, x: Tensor) -> tuple[Tensor, Tensor]:
        """What attention adds, and the layer's result: [n, hidden]."""
        like = next(layer.parameters())  # it may be on another device than ours
        count = len(x)
        at = torch.arange(count, device=x.device)[None]
        turning = self._kind.mask if self._turnings[0] else ""
        turned = tuple(part.to(like) for part in turned_by(self._rotary, x.float(), at, turning))
        at = at.to(like.device)
        mask = ~self._unseen(count, like.device)[None, None]
        if self._config._attn_implementation != "sdpa":
            nothing = torch.zeros(mask.shape, dtype=like.dtype, device=like.device)
            mask = nothing.masked_fill(~mask, torch.finfo(like.dtype).min)
        seen: list[Tensor] = []
        post_norms = architecture_of(self._config).post_norms
        adds = getattr(layer, post_norms[0]) if post_norms else layer.self_attn
        hook = adds.register_forward_hook(lambda _, __, found: seen.append(_first(found)))
        try:
            found = layer(
                x[None].to(like), attention_mask=mask, position_ids=at, position_embeddings=turned
            )
        finally:
            hook.remove()
        return seen[0][0].to(x.device, torch.float32), _first(found)[0].to(x.device, torch.float32)

    def _ours(self, layer: Layer, x: Tensor) -> tuple[Tensor, Tensor]:
        """As `_theirs`."""
        count = len(x)
        query, keys, values = layer.before(x.clone(), self._turned[:count, None])
        scores = torch.einsum("nhgd,mhd->hgnm", query.float(), keys.float()) * self._scale
        weights = scores.masked_fill(self._unseen(count, x.device), -torch.inf).softmax(-1)
        seen = torch.einsum("hgnm,mhd->nhgd", weights, values.float()).to(x.dtype)
        added = layer.after.added(seen.flatten(1))
        return added.float(), layer.after(x.clone(), seen)

    def _unseen(self, count: int, device: torch.device) -> Tensor:
        """What the queries [count] do not see of the keys [count], as transformers has it."""
        at = torch.arange(count, device=device)  # some devices have no triangles of truth values
        unseen = at > at[:, None]
        if window := self._kind.window:
            unseen |= at <= at[:, None] - window
        return unseen


def _first(found: Any) -> Tensor:
    """Of what a module returns."""
    result: Tensor = found[0] if isinstance(found, tuple) else found
    return result
