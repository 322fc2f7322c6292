"""Writes a GGUF file as a plain model folder (safetensors, tokenizer, configuration).

Reading GGUF takes about twenty seconds even for a small model; the folder loads in one.
"""

from __future__ import annotations

import importlib
import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from streaming.engine.base import EngineError
from streaming.engine.progress import progress_display

logger = logging.getLogger("streaming.engine.models")


def convert_gguf(source: Path, target: Path, *, progress: bool = True) -> None:
    """Write `source` into the existing folder `target` as bfloat16 safetensors.

    Raises EngineError when the file is not GGUF or its architecture is unknown; an OSError of
    the disk passes through.
    """
    import torch
    import transformers

    auto: Any = transformers  # its annotations do not cover what it accepts
    with source.open("rb") as file:
        if file.read(4) != b"GGUF":
            raise EngineError(f"{source} is not a GGUF file.", "model_corrupt")
    with progress_display(f"Unpacking {source.name} (once)", enabled=progress) as update:
        try:
            location = {"pretrained_model_name_or_path": source.parent, "gguf_file": source.name}
            config = auto.AutoConfig.from_pretrained(**location)
            with torch.device("meta"):
                model = auto.AutoModelForCausalLM.from_config(config)
            # Through transformers' reader rather than `from_pretrained(gguf_file=...)`, which
            # insists on accelerate and leaves a quantization_config that cannot be saved.
            with _reader(update) as load:
                tensors = load(str(source), return_tensors=True, model_to_load=model)["tensors"]
            tokenizer = auto.AutoTokenizer.from_pretrained(**location)
        except OSError:
            raise
        except Exception as error:
            raise EngineError(f"{source} cannot be read: {error}", "model_corrupt") from error
        state = {}
        while tensors:  # one at a time, so that both precisions are never held whole
            name, tensor = tensors.popitem()
            state[name] = tensor.to(torch.bfloat16)
        model.load_state_dict(state, strict=False, assign=True)
        model.tie_weights()
        missing = [name for name, parameter in model.named_parameters() if parameter.is_meta]
        if missing:
            raise EngineError(f"{source} lacks the weights {', '.join(missing[:3])}.")
        model.config.dtype = torch.bfloat16
        if hasattr(model.config, "quantization_config"):
            del model.config.quantization_config
        with without_progress_bars():
            model.save_pretrained(target)
            tokenizer.save_pretrained(target)


@contextmanager
def _reader(update: Any) -> Iterator[Any]:
    """transformers' GGUF reader, its own progress bar replaced by ours."""
    reader: Any = importlib.import_module("transformers.modeling_gguf_pytorch_utils")

    def track(tensors: Iterable[Any], **_: Any) -> Iterator[Any]:
        items = list(tensors)
        for index, item in enumerate(items):
            update(index, len(items))
            yield item

    theirs = reader.tqdm
    reader.tqdm = track
    try:
        yield reader.load_gguf_checkpoint
    finally:
        reader.tqdm = theirs


@contextmanager
def without_progress_bars() -> Iterator[None]:
    """Without transformers' progress bars, which would write over ours."""
    transformers_logging: Any = importlib.import_module("transformers.utils.logging")
    enabled = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        if enabled:
            transformers_logging.enable_progress_bar()
