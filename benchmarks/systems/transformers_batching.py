"""transformers' continuous batching, by its own Python interface, as suits it best here.

No HTTP stands in its way, and it makes no text. Compilation is off: on a CPU its first level was
measured to be far slower. On CUDA it has its graphs, warmed up. The manager is made for each set
of prompts, as `generate_batch` does, and that takes no part in the times.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Sequence
from typing import Any

from benchmarks.options import Options
from benchmarks.systems.base import Stream, System
from streaming.engine.base import ChatMessage
from streaming.engine.local.forward.precision import choose_device, choose_precision
from streaming.engine.local.prompts.prompt import PromptBuilder
from streaming.engine.templates.choice import read_template

_PAGE = 256
PATIENCE_SECONDS = 600


class TransformersSystem(System):
    """transformers' own model and forward pass, in the number format that our engine's `auto`
    takes, unless the options say another that it knows; our own packed formats have no equal
    there, and it runs in bfloat16 then."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self.model: Any = None

    def start(self) -> None:
        """Load the model."""
        import torch
        from transformers import AutoTokenizer

        from benchmarks.bare import model_folder
        from streaming.engine.local.loading.model_loader import load_model

        folder, device = model_folder(self._options.model), choose_device("auto")
        known = ("float32", "bfloat16", "float16")
        dtype = getattr(torch, self._options.dtype) if self._options.dtype in known else None
        if dtype is None:
            dtype = choose_precision("auto", device, packable=False).activations
        self.model = load_model(folder, dtype).to(device)
        template = self._options.chat_template and read_template(self._options.chat_template)
        self.prompts = PromptBuilder(AutoTokenizer.from_pretrained(str(folder)), template)

    def close(self) -> None:
        """Free the model."""
        self.model = None
        gc.collect()


class TransformersBatching(TransformersSystem):
    """transformers' continuous batching, with a paged cache for exactly the prompts that are
    asked."""

    name = "transformers' continuous batching"

    def answer(self, prompts: Sequence[str], max_tokens: int) -> list[Stream]:
        """Answer all prompts at once, by greedy decoding. Raises RuntimeError if one is not
        answered."""
        from transformers import GenerationConfig
        from transformers.generation.configuration_utils import ContinuousBatchingConfig

        inputs = [self.prompts.encode([ChatMessage("user", prompt)]) for prompt in prompts]
        has_cuda = self.model.device.type == "cuda"
        pages = sum((len(tokens) + max_tokens) // _PAGE + 2 for tokens in inputs)
        batching = ContinuousBatchingConfig(
            default_compile_level=0,
            use_cuda_graph=None if has_cuda else False,
            page_size=_PAGE,
            num_blocks=pages + 4,
            max_batch_tokens=2048 if has_cuda else 512,
            auto_switch_to_flash=has_cuda,
        )
        config: Any = GenerationConfig  # without types of its own
        generation = config(do_sample=False, eos_token_id=-1, max_new_tokens=max_tokens)
        with self.model.continuous_batching_context_manager(
            generation_config=generation, continuous_batching_config=batching, warmup=has_cuda
        ) as manager:
            time.sleep(0.5)  # its thread sets its cache up
            shift = time.perf_counter()
            streams = {}
            for tokens in inputs:
                stream = Stream(prompt_tokens=len(tokens))
                name = manager.add_request(
                    tokens, max_new_tokens=max_tokens, record_timestamps=True, eos_token_id=-1
                )
                streams[name] = stream
            left = len(streams)
            while left:
                result = manager.get_result(timeout=PATIENCE_SECONDS)
                if result is None or result.error:
                    raise RuntimeError(f"continuous batching failed: {result and result.error}")
                if not result.is_finished():
                    continue
                stream = streams[result.request_id]
                stream.moments = list(result.timestamps)
                stream.tokens = len(result.generated_tokens)
                stream.ended, stream.status = time.perf_counter(), "done"
                left -= 1
        if any(stream.moments[0] < shift for stream in streams.values()):
            raise RuntimeError("its timestamps are not by the clock that they were by")
        return list(streams.values())
