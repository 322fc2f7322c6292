"""The forward pass of models built like Llama, over the slot cache, in as few operations as it
takes: all tokens of a step go through the matrix products together, whoever they belong to.

The architecture: Touvron et al. 2023, "LLaMA", arXiv:2302.13971; rotary positions: Su et al.
2021, arXiv:2104.09864.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from streaming.engine.local.attention import dense, flash
from streaming.engine.local.attention.cache import Places, SlotCache
from streaming.engine.local.attention.embedding_bag_attention import (
    BagRows,
    Bags,
    BlockSlots,
    Replay,
)
from streaming.engine.local.attention.flash import TokenSlots
from streaming.engine.local.attention.span import Span as Span
from streaming.engine.local.attention.splits import GELU_SHARED_FROM, Columns, spare_rows
from streaming.engine.local.attention.torchscript import unplanned
from streaming.engine.local.forward.decoder_layers import Sight
from streaming.engine.local.forward.graphs import DecodeGraphs
from streaming.engine.local.forward.packed import Packed, told
from streaming.engine.local.forward.precision import Precision


@dataclass(frozen=True, slots=True)
class Seeing:
    """What the rows and the spans of a step see in the layers of one window."""

    rows: Sequence[dense.Rows | BagRows]
    reading: list[dense.Reading | Replay]


class Decoder:
    """`packed` is for this precision, and for positions below `context`."""

    def __init__(
        self, packed: Packed, cache: SlotCache, precision: Precision, context: int
    ) -> None:
        self._cache, self._precision, shape = cache, precision, packed.shape
        self._heads, self._kv_heads, self._head_dim = shape.heads, shape.kv_heads, shape.head_dim
        self._scale, self._windows = shape.scale, shape.windows
        self._sights = [Sight(*sight) for sight in shape.sights]
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
        shared_from = GELU_SHARED_FROM if shape.activation == "gelu" else None
        self._rounding = (
            Columns(shape.between, shape.between, shared_from),
            Columns(turned, self._head_dim // 2),
        )

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
        seeing = [Seeing(self._rows_of(lengths, window), []) for window in self._windows]
        last = list(range(len(tokens)))
        for span in spans:
            for window, seen in zip(self._windows, seeing, strict=True):
                seen.reading.extend(self._reading_of(span, len(at), window))
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
            x = self._through_layers(x, where, len(tokens), seeing, spare)
        if spans or spare:
            x = x[torch.tensor(last, device=device)]
        logits: Tensor = self._head(x)
        return logits.float()

    @property
    def is_exact(self) -> bool:
        """Whether a token's numbers depend on nothing but its text: then what was generated must
        be read again as it was generated, and is no beginning of a prompt."""
        return self._bags is not None

    def _rows_of(self, lengths: Sequence[int], window: int) -> Sequence[dense.Rows | BagRows]:
        if self._bags:
            return list(self._bags.rows_of(lengths, self._precision.cache, window))
        return list(dense.rows_of(lengths, self._precision.cache, self.device, window))

    def _reading_of(self, span: Span, first: int, window: int) -> Iterator[dense.Reading | Replay]:
        """How a span is read whose first token is number `first` of the step."""
        end = span.start + len(span.tokens)
        prompt = end - span.generated if self._bags else end
        for start in range(span.start, prompt, dense.READ_TOKENS):
            yield dense.reading_of(
                first + start - span.start, span.row, start,
                min(dense.READ_TOKENS, prompt - start), self._heads // self._kv_heads,
                self._precision.reading, self.device, self._cache.slots[0].room, window,
            )  # fmt: skip
        if self._bags and span.generated:
            yield from self._bags.replays_of(
                first + prompt - span.start, span.row, prompt, span.generated,
                self._precision.cache, window,
            )  # fmt: skip

    def _through_layers(
        self, x: Tensor, where: Tensor, decoding: int, seeing: Sequence[Seeing], spare: int
    ) -> Tensor:
        """x [n, hidden] at positions `where` [n], of which the first `decoding` decode, and the
        last `spare` are nobody's; `seeing` by the number of the window."""
        rows, reading = seeing[0].rows, seeing[0].reading
        angles = self._angles[:, where][:, :, None]
        places = Places(torch.arange(decoding, device=self.device), where[:decoding])
        if not (reading or spare) and (decode := self._decode.get(len(rows))):
            slots_of_all = [each for each in self._cache.slots if isinstance(each, BlockSlots)]
            bags = [[each for each in seen.rows if isinstance(each, BagRows)] for seen in seeing]
            return decode(*told(x, angles, places, slots_of_all, bags))
        parts = [[*seen.rows, *seen.reading] for seen in seeing]
        for layer, sight, slots in zip(self._layers, self._sights, self._cache.slots, strict=True):
            query, keys, values = layer.before(x, angles[sight.angles])
            slots.write(keys, values, places, reading)
            self._cache.progress += 1
            seen = [part.attend(query, slots, self._scale) for part in parts[sight.window]]
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
        angles = self._angles[:, positions][:, :, None]
        for layer, sight, slots in zip(self._layers, self._sights, self._cache.slots, strict=True):
            assert isinstance(slots, TokenSlots)
            query, keys, values = layer.before(x, angles[sight.angles])
            slots.put(keys, values, layout.places)
            x = layer.after(x, flash.attend(query, slots, layout, self._scale))
        return x
