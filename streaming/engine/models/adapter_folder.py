"""Finds a LoRA adapter by CHATSTREAM_ADAPTER: a folder as PEFT writes it, or a Hub id."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from streaming.engine.base import EngineError
from streaming.engine.faults import told_by
from streaming.engine.progress import progress_display

CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"


def ensure_adapter(name: str | None, progress: bool = True) -> Path | None:
    """Make sure that the adapter is on this machine; return its folder, or None without a name.

    Raises EngineError, in one sentence for people, if it cannot be had or is no LoRA adapter.
    """
    text = (name or "").strip()
    if not text:
        return None
    path = Path(text).expanduser()
    if path.is_dir():
        folder = path.resolve()
    elif path.exists() or path.is_absolute() or text.startswith((".", "~")):
        raise EngineError(f"CHATSTREAM_ADAPTER={text} is no folder.", "model_unavailable")
    else:
        folder = _fetched(text, progress)
    if not (folder / CONFIG).is_file():
        raise EngineError(
            f"CHATSTREAM_ADAPTER={text} is no adapter: it has no {CONFIG}.", "model_unavailable"
        )
    if not (folder / WEIGHTS).is_file():
        raise EngineError(
            f"The adapter {text} has no {WEIGHTS}, and other formats are not loaded.",
            "model_unsupported",
        )
    return folder


def refuse_adapter_as_model(folder: Path, name: str) -> None:
    """Raise EngineError if a folder that is to be a model holds an adapter alone."""
    if not (folder / CONFIG).is_file() or (folder / "config.json").is_file():
        return
    base = read_config(folder).get("base_model_name_or_path")
    raise EngineError(
        f"{name} is an adapter and no model: set CHATSTREAM_ADAPTER to it, and CHATSTREAM_MODEL to "
        f"the model that it was made for{f' ({base})' if base else ''}.",
        "model_unavailable",
    )


def refuse_adapter_beside(model: Path, adapter: Path | None) -> None:
    """Raise EngineError if a model's folder holds an adapter that is not the one to be merged: it
    is not known whether the model alone was meant."""
    if (model / CONFIG).is_file() and (adapter is None or adapter != model.resolve()):
        raise EngineError(
            f"The folder {model} holds a model and an adapter ({CONFIG}): set CHATSTREAM_ADAPTER "
            "to this folder, too, to have both, or take the adapter out of it.",
            "model_unsupported",
        )


def read_config(folder: Path) -> dict[str, Any]:
    """Return an adapter's configuration. Raises EngineError if it cannot be read."""
    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        if not isinstance(config, dict):
            raise ValueError("it is no table")
    except (OSError, ValueError) as error:
        raise EngineError(f"{folder / CONFIG} cannot be read: {error}", "model_corrupt") from error
    return config


def _fetched(name: str, progress: bool) -> Path:
    from huggingface_hub import snapshot_download

    try:
        with progress_display(f"Looking up {name} on the Hugging Face Hub", enabled=progress):
            return Path(snapshot_download(name, allow_patterns=[CONFIG, WEIGHTS]))
    except Exception as error:
        first = told_by(error)
        raise EngineError(
            f"The adapter {name} could not be fetched from the Hugging Face Hub ({first}); check "
            "the name and the connection, or set CHATSTREAM_ADAPTER to a folder.",
            "model_unavailable",
        ) from error
