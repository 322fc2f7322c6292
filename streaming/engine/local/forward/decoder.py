"""The forward pass of models built like Llama, over the slot cache, in as few operations as it
takes: all tokens of a step go through the matrix products together, whoever they belong to.

The architecture: Touvron et al. 2023, "LLaMA", arXiv:2302.13971; rotary positions: Su et al.
2021, arXiv:2104.09864.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from streaming.engine.local.attention.interface import Attention, AttentionPlan
from streaming.engine.local.attention.span import Span as Span
from streaming.engine.local.attention.splits import GELU_SHARED_FROM, Columns, spare_rows
from streaming.engine.local.attention.torchscript import unplanned
from streaming.engine.local.forward.decoder_layers import Sight
from streaming.engine.local.forward.packed import Packed


class Decoder:
    """The layers of `packed` with `attention` over the cache, which is of the same model."""

    def __init__(self, packed: Packed, attention: Attention) -> None:
        shape = packed.shape
        self._attention = attention
        self._sights = [Sight(*sight) for sight in shape.sights]
        self._angles, self._embedding, self._head = packed.angles, packed.embedding, packed.head
        self._layers, self._decode = packed.layers, packed.decode
        self.device: torch.device = self._embedding.device
        self._decode_pass = attention.decode_pass(self._hidden)
        turned = (shape.heads + shape.kv_heads) * shape.head_dim // 2
        shared_from = GELU_SHARED_FROM if shape.activation == "gelu" else None
        self._rounding = (
            Columns(shape.between, shape.between, shared_from),
            Columns(turned, shape.head_dim // 2),
        )

    def step(
        self, tokens: Sequence[int], positions: Sequence[int], spans: Sequence[Span]
    ) -> Tensor:
        """Read one token for each of the rows 0..B-1, and spans of prompts for other rows.

        `positions[i]` is where `tokens[i]` stands in row i. Return the float32 logits
        [B + spans, vocabulary] that follow each of those tokens and each span's last one. With
        `is_exact` they are the same bit by bit, whatever else is in the step, wherever prompts are
        cut, whatever the number of threads.
        """
        self._attention.allocate()
        if self._decode_pass and not spans:
            x = self._decode_pass.step(tokens, positions)
        else:
            x = self._planned(tokens, positions, spans)
        logits: Tensor = self._head(x)
        return logits.float()

    @property
    def is_exact(self) -> bool:
        """Return whether a token's numbers depend on nothing but its text: then what was generated
        must be read again as it was generated, and is no beginning of a prompt."""
        return self._attention.is_exact

    def _planned(
        self, tokens: Sequence[int], positions: Sequence[int], spans: Sequence[Span]
    ) -> Tensor:
        """The last layer's [B + spans, hidden] of each sequence's last token."""
        ids = [*tokens, *(token for span in spans for token in span.tokens)]
        at = [*positions, *(position for span in spans for position in range(span.start, span.end))]
        spare = 0
        if self.is_exact:
            spare = spare_rows(len(at), torch.get_num_threads(), self._rounding)
        plan = self._attention.plan(positions, spans, spare)
        nobody = [0] * spare
        inputs = torch.tensor([[*ids, *nobody], [*at, *nobody]], device=self.device)
        with unplanned():
            x = self._hidden(inputs[0], inputs[1], plan)
        last = plan.last_tokens
        return x if last is None else x.index_select(0, last)

    def _hidden(self, tokens: Tensor, positions: Tensor, plan: AttentionPlan) -> Tensor:
        """The last layer's [n, hidden] for tokens [n] at `positions` [n]."""
        x = functional.embedding(tokens, self._embedding)
        angles = self._angles[:, positions][:, :, None]
        inputs = plan.recording_inputs()
        if inputs and (decode := self._decode.get(inputs.calls)):
            return decode(x, angles, *inputs.arguments)
        for number, (layer, sight) in enumerate(zip(self._layers, self._sights, strict=True)):
            query, keys, values = layer.before(x, angles[sight.angles])
            self._attention.cache.progress += 1
            x = layer.after(x, plan.attend(number, query, keys, values))
        return x
