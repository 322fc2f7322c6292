"""Runs the engine's ModelRunner step by step, and computes the least time that a step could take.

The only module here that reaches below the engine's public face: the parts that need single
steps, logits or number formats come here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from streaming.engine.local.forward.decoder import Span  # the package comes before torch
from streaming.engine.local.forward.precision import choose_device
from streaming.engine.local.prompts.prompt import PromptBuilder
from streaming.engine.local.runner import ModelRunner
from streaming.engine.models.store import ensure_model

import torch  # isort: skip
from torch import Tensor  # isort: skip

_CHUNK = 512


def model_folder(model: str) -> Path:
    """Return the folder of a model by its name, as CHATSTREAM_MODEL; it is fetched if need be."""
    import os

    cache = os.environ.get("CHATSTREAM_CACHE_DIR")
    return Path(ensure_model(model or None, Path(cache) if cache else None).path)


@dataclass(frozen=True)
class ModelShape:
    """The sizes of a model that the floor of a step follows from. `parameters` counts tied weights
    once."""

    parameters: int
    layers: int
    heads: int
    kv_heads: int
    head_size: int
    hidden: int
    inner: int

    @classmethod
    def of(cls, model: str) -> ModelShape:
        """Return the sizes of a model by its configuration; no weights are loaded."""
        from transformers import AutoConfig, AutoModelForCausalLM

        config = AutoConfig.from_pretrained(model_folder(model))
        auto: Any = AutoModelForCausalLM
        with torch.device("meta"):
            parameters = sum(each.numel() for each in auto.from_config(config).parameters())
        return cls(
            parameters=parameters,
            layers=config.num_hidden_layers,
            heads=config.num_attention_heads,
            kv_heads=getattr(config, "num_key_value_heads", None) or config.num_attention_heads,
            head_size=getattr(config, "head_dim", None)
            or config.hidden_size // config.num_attention_heads,
            hidden=config.hidden_size,
            inner=getattr(config, "intermediate_size", None) or 4 * config.hidden_size,
        )

    def step_bytes(self, rows: int, context: float) -> float:
        """Return the bytes that a decode step must read in bfloat16: every weight once, and the
        keys and values of `rows` responses of `context` tokens each."""
        kept = 2 * self.layers * self.kv_heads * self.head_size
        return 2 * (self.parameters + rows * context * kept)

    def operations(self, tokens: float, context: float) -> float:
        """Return the operations for `tokens` tokens that each attend to `context` tokens: 2 for
        each weight, 4 for each number of a head of each token that is attended to."""
        attention = 4 * self.layers * self.heads * self.head_size * context
        return tokens * (2 * self.parameters + attention)

    def step_floor(self, rows: int, context: float, read: float, rate: float) -> float:
        """Return the least seconds of a decode step: those of reading or those of arithmetic,
        whichever is more. `read` in bytes a second, `rate` in operations a second."""
        memory = self.step_bytes(rows, context) / read
        return max(memory, self.operations(rows, context) / rate)


class BareEngine:
    """A model's runner with `rows` rows of `context` tokens; steps are called one by one."""

    def __init__(self, model: str, dtype: str, rows: int, context: int) -> None:
        from transformers import AutoTokenizer

        self.folder = model_folder(model)
        device = choose_device("auto")
        self.runner = ModelRunner(self.folder, device, dtype, rows, context)
        self.format = self.runner.precision.name
        self.prompts = PromptBuilder(AutoTokenizer.from_pretrained(str(self.folder)))
        self.stop_ids = self.prompts.stop_ids(self.runner.end_ids)

    def read(self, row: int, tokens: Sequence[int], chunk: int = _CHUNK) -> Tensor:
        """Prefill a row from its beginning; return the last token's logits [1, vocabulary]."""
        logits = None
        with torch.inference_mode():
            for start in range(0, len(tokens), chunk):
                span = Span(row, list(tokens[start : start + chunk]), start)
                logits = self.runner.step([], [], [span])
        if logits is None:
            raise ValueError("no tokens to read")
        return logits

    def step(self, tokens: Sequence[int], positions: Sequence[int]) -> Tensor:
        """Decode one token for each of the rows 0 to B-1 in one pass; return logits
        [B, vocabulary]."""
        with torch.inference_mode():
            return self.runner.step(list(tokens), list(positions))

    def pass_of_one(self, row: int, token: int, position: int) -> Tensor:
        """Decode one token of one row in a pass of its own; return logits [1, vocabulary]."""
        with torch.inference_mode():
            return self.runner.step([], [], [Span(row, [token], position)])


def wait_for(device: torch.device) -> None:
    """Wait until a device has done all that it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
