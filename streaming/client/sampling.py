"""What goes with one prompt as keyword arguments: sampling parameters and instructions."""

from __future__ import annotations

from typing import Any, TypedDict

from streaming.protocol.thinking_params import ReasoningEffort


class Sampling(TypedDict, total=False):
    """Sampling parameters; what is absent takes the server's default."""

    max_tokens: int
    temperature: float
    top_p: float
    top_k: int
    seed: int
    repetition_penalty: float
    stop: str | list[str]
    ignore_eos: bool
    reasoning_effort: ReasoningEffort
    enable_thinking: bool
    chat_template_kwargs: dict[str, Any]


class Asking(Sampling, total=False):
    """What a prompt may bring along: sampling parameters, and the conversation's instructions from
    then on. An empty text: it has none; None: the account's hold; absent: as before."""

    instructions: str | None
