"""Which of the implementations of attention a model's own pass has."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from streaming.engine.local.attention.dense import DenseAttention
from streaming.engine.local.attention.embedding_bag import can_bag
from streaming.engine.local.attention.embedding_bag_attention import EmbeddingBagAttention
from streaming.engine.local.attention.flash import can_flash
from streaming.engine.local.attention.flash_attention import FlashAttention
from streaming.engine.local.attention.interface import Attention


def choose_attention(
    device: torch.device, cache_dtype: torch.dtype, head_dim: int, windows: Sequence[int]
) -> type[Attention]:
    """Return the fastest attention for keys and values of `head_dim` numbers in this format on
    this device, in layers that see these `windows` (0: all tokens)."""
    if can_bag(device):
        return EmbeddingBagAttention
    flashes = not any(windows) and can_flash(device, cache_dtype, head_dim)
    return FlashAttention if flashes else DenseAttention
