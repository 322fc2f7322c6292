"""What the forward pass asks of attention: `plan` once per step, then `attend` once per layer.

Three implementations, of which `choice` takes one when the cache is made: embedding bags on a CPU
(`embedding_bag_attention`), FlashAttention on CUDA (`flash_attention`), and torch's own kernels
everywhere else (`dense`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor

from streaming.engine.local.attention.cache import SlotCache
from streaming.engine.local.attention.slots import Slots
from streaming.engine.local.attention.span import Span


@dataclass(frozen=True, slots=True)
class AttentionConfig:
    """What attention must know of a model and of its number formats.

    `group` query heads share each of `kv_heads` key heads (Ainslie et al. 2023,
    arXiv:2305.13245); scores are multiplied with `scale`. `windows` are the numbers of newest
    tokens that layers see (0: all), each once; `layer_windows` has the index of each layer's.
    """

    kv_heads: int
    group: int
    head_dim: int
    scale: float
    windows: Sequence[int]
    layer_windows: Sequence[int]
    cache_dtype: torch.dtype  # of keys and values in the cache
    prefill_dtype: torch.dtype  # in which attention over prompts is computed
    activation_dtype: torch.dtype
    device: torch.device


@dataclass(frozen=True, slots=True)
class RecordingInputs:
    """The arguments of a recording of all layers (`Decode`), after x and the angles. A recording
    is made for `calls` kernel calls per layer."""

    calls: int
    arguments: tuple[Any, ...]


class AttentionPlan(ABC):
    """What is computed once per step: where its tokens are written, and how they are read."""

    @abstractmethod
    def attend(self, layer: int, query: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """Write the step's keys and values [n, kv_heads, d] to the cache, and return what its
        queries [n, kv_heads, group, d] see there: the same shape."""

    @property
    @abstractmethod
    def last_tokens(self) -> Tensor | None:
        """Return the index [B + spans] in the step of each sequence's last token; None if these
        are all tokens of the step."""

    def recording_inputs(self) -> RecordingInputs | None:
        """Return the inputs with which a recording of all layers computes this step; None if it
        must go layer by layer."""
        return None


Run = Callable[[Tensor, Tensor, AttentionPlan], Tensor]
"""A forward pass: token ids [n], positions [n] and their plan to the last layer's [n, hidden]."""


class DecodePass(Protocol):
    """A faster way to run a forward pass for steps that only decode."""

    def step(self, tokens: Sequence[int], positions: Sequence[int]) -> Tensor:
        """Return the last layer's [B, hidden] for one token of each of the rows 0 to B-1."""


class Attention(ABC):
    """Attention of a model's layers over its cache, which has slots of class `slots_class`."""

    slots_class: ClassVar[type[Slots]]
    is_exact: ClassVar[bool] = False
    """Whether what a token sees is the same bit by bit, whatever else is in the step."""
    takes_recordings: ClassVar[bool] = False
    """Whether plans have `recording_inputs`."""

    def __init__(self, cache: SlotCache, config: AttentionConfig) -> None:
        self.cache, self.config = cache, config

    def allocate(self) -> None:
        """Take memory for the cache, if it has none yet."""
        config = self.config
        self.cache.allocate(
            config.kv_heads, config.head_dim, config.head_dim, config.cache_dtype, config.device
        )

    @abstractmethod
    def plan(
        self, positions: Sequence[int], spans: Sequence[Span], spare: int = 0
    ) -> AttentionPlan:
        """Plan a step: one token at `positions[i]` of each row i, then the tokens of the spans,
        then `spare` tokens that belong to no row. The cache has its memory."""

    def decode_pass(self, run: Run) -> DecodePass | None:
        """Return a faster way to `run` steps that only decode, if this attention has one."""
        return None
