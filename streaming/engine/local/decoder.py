"""The forward pass of models built like Llama, over the slot cache, in as few operations as it
takes: all tokens of a step go through the matrix products together, whoever they belong to.

The architecture: Touvron et al. 2023, "LLaMA", arXiv:2302.13971; rotary positions: Su et al.
2021, arXiv:2104.09864.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from streaming.engine.layer_kinds import FULL, SLIDING, layer_kinds
from streaming.engine.local import attention, flash
from streaming.engine.local.bags import BagRows, Bags, BlockSlots, Replay
from streaming.engine.local.cache import Places, SlotCache
from streaming.engine.local.flash import TokenSlots
from streaming.engine.local.graphs import DecodeGraphs
from streaming.engine.local.packed import Packed, told
from streaming.engine.local.precision import Precision
from streaming.engine.local.recording import unplanned
from streaming.engine.local.span import Span as Span
from streaming.engine.local.splits import Columns, spare_rows

_MODEL_TYPES = {"llama", "mistral", "qwen2", "qwen3"}


def fits(config: Any, context: int) -> bool:
    """Whether a model of this configuration is one that this pass computes exactly, for rows of
    so many tokens."""
    return not misfit(config, context)


def misfit(config: Any, context: int) -> str:
    """What this pass does not compute of such a model; empty if it fits."""
    if config.model_type not in _MODEL_TYPES:
        return f"models of the type {config.model_type} are not built like Llama"
    try:
        kinds = layer_kinds(config)
    except (ValueError, AttributeError):  # see `check_supported`
        return "the kinds of its layers cannot be told"
    if config.hidden_act not in ("silu", "swish"):
        return f"its activation is {config.hidden_act}"
    rope = getattr(config, "rope_parameters", None) or {}
    rope_type = rope.get("rope_type", "default")
    if rope_type not in ("default", "linear", "llama3", "yarn"):
        return f"its positions are of the kind {rope_type}"
    if rope.get("partial_rotary_factor", 1.0) != 1.0:
        return "its positions turn a part of each head only"
    for kind in kinds:
        if kind.kind == SLIDING and kind.window < context:
            return f"layers see {kind.window} tokens only, and {context} are served"
        if kind.kind not in (FULL, SLIDING):
            return f"it has layers of the kind {kind.kind}"
    head_dim = getattr(config, "head_dim", None)
    if (head_dim or config.hidden_size // config.num_attention_heads) % 2:
        return "its heads have an odd size"
    return ""


class Decoder:
    """`packed` is for this precision, and for positions below `context`."""

    def __init__(
        self, packed: Packed, cache: SlotCache, precision: Precision, context: int
    ) -> None:
        self._cache, self._precision, shape = cache, precision, packed.shape
        self._heads, self._kv_heads, self._head_dim = shape.heads, shape.kv_heads, shape.head_dim
        self._scale = shape.scale
        self._angles, self._embedding, self._head = packed.angles, packed.embedding, packed.head
        self._layers, self._decode = packed.layers, packed.decode
        self.device: torch.device = self._embedding.device
        self._bags: Bags | None = None
        self._graphs: DecodeGraphs | None = None
        if isinstance(cache.slots[0], BlockSlots):
            group = self._heads // self._kv_heads
            self._bags = Bags(self._kv_heads, group, self._head_dim, context)
        elif isinstance(cache.slots[0], TokenSlots):
            self._graphs = DecodeGraphs(self._pass, cache, self.device)
        turned = (self._heads + self._kv_heads) * self._head_dim // 2
        self._rounding = (
            Columns(shape.between, shape.between), Columns(turned, self._head_dim // 2)
        )  # fmt: skip

    def step(
        self, tokens: Sequence[int], positions: Sequence[int], spans: Sequence[Span]
    ) -> Tensor:
        """One token for each of the rows 0..B-1, and spans of prompts for other rows.

        `positions[i]` is where `tokens[i]` stands in row i. Returns the float32 logits
        [B + spans, vocabulary] that follow each of those tokens and each span's last one. With
        `is_exact` they are the same bit by bit, whatever else is in the step, wherever prompts are
        cut, whatever the number of threads.
        """
        self._allocate()
        if self._graphs:
            return self._flash(self._graphs, tokens, positions, spans)
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
        reading: list[attention.Reading | Replay] = []
        last = list(range(len(tokens)))
        for span in spans:
            reading += self._reading_of(span, len(at))
            at += range(span.start, span.start + len(span.tokens))
            last.append(len(at) - 1)
        spare = 0
        if self.is_exact:
            spare = spare_rows(len(at), torch.get_num_threads(), self._rounding)
        ids += [0] * spare
        at += [0] * spare
        where = torch.tensor(at, device=device)
        x = functional.embedding(torch.tensor(ids, device=device), self._embedding)
        with unplanned():
            x = self._through_layers(x, where, len(tokens), rows, reading, spare)
        if spans or spare:
            x = x[torch.tensor(last, device=device)]
        logits: Tensor = self._head(x)
        return logits.float()

    @property
    def is_exact(self) -> bool:
        """Whether a token's numbers depend on nothing but its text: then what was generated must
        be read again as it was generated, and is no beginning of a prompt."""
        return self._bags is not None

    def _reading_of(self, span: Span, first: int) -> Iterator[attention.Reading | Replay]:
        """How a span is read whose first token is number `first` of the step."""
        end = span.start + len(span.tokens)
        prompt = end - span.generated if self._bags else end
        for start in range(span.start, prompt, attention.READ_TOKENS):
            yield attention.reading_of(
                first + start - span.start, span.row, start,
                min(attention.READ_TOKENS, prompt - start), self._heads // self._kv_heads,
                self._precision.reading, self.device, self._cache.slots[0].room,
            )  # fmt: skip
        if self._bags and span.generated:
            yield from self._bags.replays_of(
                first + prompt - span.start, span.row, prompt, span.generated,
                self._precision.cache,
            )  # fmt: skip

    def _through_layers(
        self,
        x: Tensor,
        where: Tensor,
        decoding: int,
        rows: Sequence[attention.Rows | BagRows],
        reading: Sequence[attention.Reading | Replay],
        spare: int,
    ) -> Tensor:
        """x [n, hidden] at positions `where` [n], of which the first `decoding` decode, and the
        last `spare` are nobody's."""
        parts = [*rows, *reading]
        angles = self._angles[where][:, None]
        places = Places(torch.arange(decoding, device=self.device), where[:decoding])
        if not (reading or spare) and (decode := self._decode.get(len(rows))):
            slots_of_all = [each for each in self._cache.slots if isinstance(each, BlockSlots)]
            bags = [each for each in rows if isinstance(each, BagRows)]
            return decode(*told(x, angles, places, slots_of_all, bags))
        for layer, slots in zip(self._layers, self._cache.slots, strict=True):
            query, keys, values = layer.before(x, angles)
            slots.write(keys, values, places, reading)
            self._cache.progress += 1
            seen = [part.attend(query, slots, self._scale) for part in parts]
            if spare:
                seen.append(torch.zeros_like(query[:spare]))
            joined = seen[0] if len(seen) == 1 else torch.cat([part.to(x.dtype) for part in seen])
            x = layer.after(x, joined)
        return x

    def _allocate(self) -> None:
        d = self._head_dim
        self._cache.allocate(self._kv_heads, d, d, self._precision.cache, self.device)

    # --- on CUDA ---

    def _flash(
        self, graphs: DecodeGraphs, tokens: Sequence[int], positions: Sequence[int],
        spans: Sequence[Span],
    ) -> Tensor:  # fmt: skip
        """As `step`."""
        if spans:
            layout = flash.layout_of(positions, spans, self._cache.slots[0].max_len, self.device)
            ids = [*tokens, *(token for span in spans for token in span.tokens)]
            at = [*positions]
            for span in spans:
                at += range(span.start, span.start + len(span.tokens))
            told = torch.tensor([ids, at], device=self.device)
            x = self._pass(told[0], told[1], layout)
            x = x.index_select(0, layout.queries[1:] - 1)
        else:
            x = graphs.step(tokens, positions)
        logits: Tensor = self._head(x)
        return logits.float()

    def _pass(self, tokens: Tensor, positions: Tensor, layout: flash.Layout) -> Tensor:
        """The last layer's [n, hidden] for tokens [n] at `positions` [n]."""
        x = functional.embedding(tokens, self._embedding)
        angles = self._angles[positions][:, None]
        for layer, slots in zip(self._layers, self._cache.slots, strict=True):
            assert isinstance(slots, TokenSlots)
            query, keys, values = layer.before(x, angles)
            slots.put(keys, values, layout.places)
            x = layer.after(x, flash.attend(query, slots, layout, self._scale))
        return x
