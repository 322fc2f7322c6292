"""transformers used as the project's seed text describes: a forward pass for each response and
token, each with a cache of its own, in turn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from benchmarks.systems.base import Stream
from benchmarks.systems.ours import in_turn
from benchmarks.systems.transformers_batching import TransformersSystem
from streaming.engine.base import ChatMessage
from streaming.engine.models.support import cache_argument


class OneEach(TransformersSystem):
    """transformers' model, with a forward pass for each response and token."""

    name = "one pass per response, transformers"

    def answer(self, prompts: Sequence[str], max_tokens: int) -> list[Stream]:
        """Answer the prompts in turn, one token each, by greedy decoding."""
        import torch
        from transformers import DynamicCache

        model: Any = self.model
        cache = cache_argument(type(model))
        caches = [DynamicCache(config=model.config) for _ in prompts]

        @torch.inference_mode()
        def forward(row: int, tokens: Sequence[int]) -> int:
            ids = torch.tensor([tokens], device=model.device)
            kept = {cache: caches[row]}
            output = model(ids, use_cache=True, logits_to_keep=1, **kept)
            return int(output.logits[0, -1].argmax())

        rows = [self.prompts.encode([ChatMessage("user", each)]) for each in prompts]
        return in_turn(rows, forward, max_tokens)
