"""Rotary positions that depend on how long a text is (longrope): each row's by its own length.

LongRoPE, Ding et al. 2024, arXiv:2402.13753, has two sets of frequencies: texts that are longer
than those of the first training are turned by the second one, from their first token on.
transformers chooses one set for all that is in a pass, by the longest position there.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


class ByOwnLength(nn.Module):
    """A model's `rotary` for rows of lengths `now` [B] in tokens: rows longer than `turns_at` are
    turned by the set for long texts."""

    def __init__(self, rotary: nn.Module, turns_at: int) -> None:
        super().__init__()
        self._rotary = rotary
        self.turns_at = turns_at
        self.now: Tensor = torch.zeros(0, dtype=torch.int64)

    def forward(self, x: Tensor, position_ids: Tensor, *args: Any, **kwargs: Any) -> Any:
        """Return tensors [B, n, d] for positions [B, n], as the model's own does."""
        is_long = self.now > self.turns_at
        if is_long.all() or not is_long.any():
            return self._of(x, position_ids, bool(is_long.all()), args, kwargs)
        short, long = (self._of(x, position_ids, which, args, kwargs) for which in (False, True))
        choose = is_long[:, None, None]
        return tuple(torch.where(choose, a, b) for a, b in zip(long, short, strict=True))

    def _of(self, x: Tensor, positions: Tensor, is_long: bool, args: Any, kwargs: Any) -> Any:
        """With one more position, by which transformers chooses the set."""
        if not is_long:
            positions = positions.clamp(max=self.turns_at - 1)
        chosen = torch.full_like(positions[:, :1], self.turns_at if is_long else 0)
        turned = self._rotary(x, torch.cat((positions, chosen), 1), *args, **kwargs)
        return tuple(part[:, :-1] for part in turned)


def by_own_length(model: Any, context: int) -> ByOwnLength | None:
    """Have the model's rotary positions follow each row's own length, if they depend on it within
    a context of so many tokens."""
    length = original_length(model.config)
    if length is None or context <= length:
        return None
    base = model.get_decoder() if hasattr(model, "get_decoder") else model.model
    rotary = base.rotary_emb = ByOwnLength(base.rotary_emb, length)
    return rotary


def original_length(config: Any) -> int | None:
    """Return the length in tokens beyond which a model's longrope turns all positions otherwise;
    None if it has none."""
    config = config.get_text_config(decoder=True)
    rope = getattr(config, "rope_parameters", None) or {}
    if rope.get("rope_type") != "longrope":
        return None
    own = rope.get("original_max_position_embeddings")
    return own or getattr(config, "original_max_position_embeddings", None)
