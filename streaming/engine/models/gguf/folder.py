"""Makes of a GGUF file a folder that transformers knows its way in: a configuration and a
tokenizer, and instead of weights a note of where the file is.

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
"""By `general.sampling.`, what transformers' generation_config.json calls it."""


def write_gguf_folder(
    source: Path, target: Path, *, within: bool = False, progress: bool = True
) -> None:
    """Write into the existing folder `target` what the GGUF file `source` says of itself.

    `within`: the file lies in that folder, and moves with it. Raises EngineError, from the header
    and within a second, if the file is damaged or not a model that is carried over as a whole; an
    OSError of the disk passes through.
    """
    header = read_header(source)
    config = {**configuration_of(header), **_ends(header)}
    check_tokenizer(header)
    with progress_display(f"Reading what {source.name} says of itself", enabled=progress):
        from streaming.engine.models.gguf.tensors import (
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
    """The tensors of the model in a folder that `write_gguf_folder` has written, as a
    `TensorSource`. Raises EngineError if the file is gone or is another one by now."""
    from streaming.engine.models.gguf.tensors import GgufSource, recipes_of

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
    """Which tokens begin a text, fill up and end an answer."""
    found: dict[str, Any] = {}
    for name, key in (("bos_token_id", "bos"), ("pad_token_id", "padding")):
        found[name] = header.metadata.get(f"tokenizer.ggml.{key}_token_id")
    ends = end_ids_of(header)
    found["eos_token_id"] = ends[0] if len(ends) == 1 else ends or None
    return found


def _sampling(header: Header) -> dict[str, Any]:
    """How its makers sample the model, if the file says it."""
    found = {
        name: value
        for key, name in _SAMPLING.items()
        if (value := header.metadata.get(f"general.sampling.{key}")) is not None
    }
    return {"do_sample": True, **found} if found else {}


def _write(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=1), encoding="utf-8")
