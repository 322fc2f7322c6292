"""Makes a folder of a GGUF file that transformers can read: a configuration, a tokenizer, and
instead of weights a note of where the file is.

Nothing is unpacked: tensors are read from the file when the model is loaded.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from streaming.engine.base import EngineError
from streaming.engine.faults import told_by
from streaming.engine.models.gguf.configuration import configuration_of
from streaming.engine.models.gguf.header import Header, read_header
from streaming.engine.models.gguf.tokenizer import check_tokenizer, end_ids_of, tokenizer_of
from streaming.engine.models.manifest import status_of
from streaming.engine.progress import progress_display

POINTER = "gguf.json"

_SAMPLING = {
    "temp": "temperature", "top_k": "top_k", "top_p": "top_p", "min_p": "min_p",
    "penalty_repeat": "repetition_penalty",
}  # fmt: skip
"""Keys below `general.sampling.`, and their names in transformers' generation_config.json."""


def write_gguf_folder(
    source: Path, target: Path, *, within: bool = False, progress: bool = True
) -> None:
    """Write the configuration and the tokenizer of the GGUF file `source` into the existing folder
    `target`.

    `within`: the file lies in that folder and moves with it. Raises EngineError, within a second
    and from the header alone, if the file is damaged or cannot be converted as a whole; an OSError
    of the disk passes through.
    """
    header = read_header(source)
    config = {**configuration_of(header), **_ends(header)}
    check_tokenizer(header)
    with progress_display(f"Reading what {source.name} says of itself", enabled=progress):
        from streaming.engine.models.gguf.recipes import (
            recipes_of,  # brings torch, which takes seconds
        )

        recipes_of(header, config)
        tokenizer = tokenizer_of(header)
        several = isinstance(tokenizer.chat_template, dict)
        tokenizer.save_pretrained(target, save_jinja_files=not several)
    _write(target / "config.json", {**config, "dtype": "bfloat16"})
    _write(target / "generation_config.json", {**_ends(header), **_sampling(header)})
    note: dict[str, Any] = {"file": source.name} if within else {
        "file": str(source), "status": status_of(source.stat())
    }  # fmt: skip
    _write(target / POINTER, note)


def is_gguf_folder(folder: Path) -> bool:
    """Return whether a folder was written by `write_gguf_folder`."""
    return (folder / POINTER).is_file()


def open_gguf(folder: Path) -> Any:
    """Open the tensors of the model in a folder that `write_gguf_folder` has written, as a
    `TensorSource`. Raises EngineError if the file is gone or has changed."""
    from streaming.engine.models.gguf.recipes import recipes_of
    from streaming.engine.models.gguf.tensors import GgufSource

    try:
        said = json.loads((folder / POINTER).read_text(encoding="utf-8"))
        path = folder / said["file"]  # an absolute path is that path
        status = status_of(path.stat())
        if said.get("status", status) != status:
            raise EngineError(f"{path} has changed; start again.", "model_corrupt")
        header = read_header(path)
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = told_by(error)
        raise EngineError(
            f"The GGUF file that {folder} speaks of cannot be read: {reason}.", "model_unavailable"
        ) from error
    return GgufSource(header, *recipes_of(header, config), status)


def _ends(header: Header) -> dict[str, Any]:
    """Return the ids of the tokens that begin a text, pad it and end an answer."""
    found: dict[str, Any] = {}
    for name, key in (("bos_token_id", "bos"), ("pad_token_id", "padding")):
        found[name] = header.metadata.get(f"tokenizer.ggml.{key}_token_id")
    ends = end_ids_of(header)
    found["eos_token_id"] = ends[0] if len(ends) == 1 else ends or None
    return found


def _sampling(header: Header) -> dict[str, Any]:
    """Return how the model's makers sample it; nothing if the file does not say."""
    found = {
        name: value
        for key, name in _SAMPLING.items()
        if (value := header.metadata.get(f"general.sampling.{key}")) is not None
    }
    return {"do_sample": True, **found} if found else {}


def _write(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=1), encoding="utf-8")
