"""transformers used as the project's seed text describes: a forward pass for each response and
token, each with a cache of its own, in turn."""

from __future__ import annotations

import gc
from collections.abc import Sequence
from typing import Any

from benchmarks.options import Options
from benchmarks.systems.base import Stream, System
from benchmarks.systems.ours import in_turn
from benchmarks.systems.transformers_batching import TransformersModel
from streaming.engine.base import ChatMessage


class OneEach(System):
    name = "one pass per response, transformers"

    def __init__(self, options: Options) -> None:
        self._loaded = TransformersModel(options)

    def start(self) -> None:
        self._loaded.load()

    def close(self) -> None:
        self._loaded.unload()
        gc.collect()

    def answer(self, prompts: Sequence[str], max_tokens: int) -> list[Stream]:
        import torch
        from transformers import DynamicCache

        model: Any = self._loaded.model
        caches = [DynamicCache(config=model.config) for _ in prompts]

        @torch.inference_mode()
        def forward(row: int, tokens: Sequence[int]) -> int:
            ids = torch.tensor([tokens], device=model.device)
            output = model(ids, past_key_values=caches[row], use_cache=True, logits_to_keep=1)
            return int(output.logits[0, -1].argmax())

        rows = [self._loaded.prompts.encode([ChatMessage("user", each)]) for each in prompts]
        return in_turn(rows, forward, max_tokens)
