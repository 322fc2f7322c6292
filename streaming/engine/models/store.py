"""Turns a model's name into a local folder that its tensors and its configuration are read from.

A name is empty (the default model), a Hub id, a folder, or a `.gguf` file. For a GGUF file a folder
in the cache has the configuration and the tokenizer, and says where the file is; the default
model's file lies in that folder.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from streaming.engine.base import EngineError
from streaming.engine.faults import told_by
from streaming.engine.models.adapter_folder import refuse_adapter_as_model
from streaming.engine.models.cache import cached, remove_unpacked
from streaming.engine.models.download import DEFAULT_MODEL, WheelModel, fetch_gguf
from streaming.engine.models.gguf.folder import write_gguf_folder
from streaming.engine.models.manifest import is_intact, status_of
from streaming.engine.models.model_name import shown_name
from streaming.engine.progress import progress_display

logger = logging.getLogger("streaming.engine.models")

_HUB_ID = re.compile(r"[\w.-]+(/[\w.-]+)?")
_HUB_FILES = ["*.json", "*.model", "*.txt", "*.jinja"]
_HUB_WEIGHTS = "*.safetensors"
_LAYOUT = 2
"""Version of the folders that are made of GGUF files. Raise it when other files are written.
Folders of layout 1 had no number in their names, and unpacked weights."""


@dataclass(frozen=True, slots=True)
class ModelFolder:
    """A folder that transformers loads, and the model's name for people. `on_hub`: its weights are
    still on the Hub, under this name."""

    path: Path
    display_name: str
    on_hub: bool = False


def default_cache_dir() -> Path:
    """Return the user's cache folder for models."""
    from platformdirs import user_cache_dir

    return Path(user_cache_dir("chatstream"))


def ensure_model(
    name: str | None, cache_dir: Path | None = None, progress: bool = True, *, weights: bool = True
) -> ModelFolder:
    """Make sure that the model is on this machine; return its folder.

    `name` as in the module's docstring; `cache_dir` None: `default_cache_dir`. `weights` false: a
    model on the Hub may come without its weights.

    Takes minutes for a first download and milliseconds afterwards. Raises EngineError, in one
    sentence for people, when the model is unknown, unreachable, damaged, or does not fit.
    """
    cache = Path(cache_dir) if cache_dir is not None else default_cache_dir()
    text = (name or "").strip()
    if not text:
        return _default_model(DEFAULT_MODEL, cache, progress)
    path = Path(text).expanduser()
    if path.is_file():
        if path.suffix.lower() != ".gguf":
            raise EngineError(
                f"CHATSTREAM_MODEL={text} is a file but not a .gguf file.", "model_unavailable"
            )
        return _gguf_model(path.resolve(), cache, progress)
    if path.is_dir():
        if (path / "config.json").is_file():
            return ModelFolder(path.resolve(), shown_name(str(path.resolve())))
        refuse_adapter_as_model(path, text)
        ggufs = sorted(path.glob("*.gguf"))
        if len(ggufs) == 1:
            return _gguf_model(ggufs[0].resolve(), cache, progress)
        raise EngineError(
            f"The folder {text} holds no model: it has no config.json and not exactly one .gguf "
            "file.",
            "model_unavailable",
        )
    is_path = path.is_absolute() or text.startswith((".", "~")) or text.endswith(".gguf")
    if is_path or not _HUB_ID.fullmatch(text):
        raise EngineError(
            f"The model {text} does not exist; CHATSTREAM_MODEL may be a Hugging Face Hub id, a "
            "model folder, a .gguf file, or empty for the bundled small model.",
            "model_unavailable",
        )
    return _hub_model(text, progress, weights)


def _default_model(model: WheelModel, cache: Path, progress: bool) -> ModelFolder:
    former = _former_name(model)

    def build(temporary: Path, target: Path) -> None:
        found = fetch_gguf(model, temporary, progress=progress)
        file = target / found.name
        if found.is_relative_to(temporary):
            os.replace(found, file)
        else:
            shutil.copyfile(found, file)  # an installed wheel may be removed
        write_gguf_folder(file, target, within=True, progress=progress)

    try:
        folder = cached(cache, f"{former}-{_LAYOUT}", build)
    except EngineError as error:
        folder = cache / "models" / former
        if error.code != "model_unavailable" or not is_intact(folder):
            raise
        logger.warning("%s Until then the copy of an earlier version is used.", error)
    else:
        remove_unpacked(cache / "models")
    return ModelFolder(folder, model.display_name)


def _former_name(model: WheelModel) -> str:
    """Return the name of the folder that versions with layout 1 have made of a model."""
    return f"{model.package.replace('_', '-')}-{model.sha256[:12]}"


def _gguf_model(path: Path, cache: Path, progress: bool) -> ModelFolder:
    try:
        with path.open("rb"):
            status = status_of(path.stat())
    except OSError as error:
        raise EngineError(
            f"{path} cannot be read: {error.strerror or error}.", "model_unavailable"
        ) from error
    stem = re.sub(r"[^\w.-]+", "-", path.stem)[:60]
    key = f"{stem}-{_digest(path, *status)}-{_LAYOUT}"

    def build(temporary: Path, target: Path) -> None:
        write_gguf_folder(path, target, progress=progress)

    folder = cached(cache, key, build)
    # The default model's is still used where its successor cannot be fetched.
    remove_unpacked(cache / "models", spared=_former_name(DEFAULT_MODEL))
    return ModelFolder(folder, path.stem)


def _digest(path: Path, *status: int) -> str:
    return hashlib.sha256("\0".join(map(str, (path, *status))).encode()).hexdigest()[:12]


def _hub_model(name: str, progress: bool, weights: bool) -> ModelFolder:
    from huggingface_hub import snapshot_download

    wanted = [*_HUB_FILES, _HUB_WEIGHTS] if weights else _HUB_FILES
    try:
        with progress_display(f"Looking up {name} on the Hugging Face Hub", enabled=progress):
            folder = Path(snapshot_download(name, allow_patterns=wanted, ignore_patterns=["*/*"]))
    except Exception as error:
        first = told_by(error)
        raise EngineError(
            f"The model {name} could not be fetched from the Hugging Face Hub ({first}); check "
            "the name and the connection, or set CHATSTREAM_MODEL to a folder or a .gguf file.",
            "model_unavailable",
        ) from error
    refuse_adapter_as_model(folder, name)
    if not weights:
        from streaming.engine.models.tensor_source import (
            has_weights,  # brings torch, which takes seconds
        )

        return ModelFolder(folder, name, on_hub=not has_weights(folder))
    if not any(folder.glob(_HUB_WEIGHTS)):
        raise EngineError(
            f"The model {name} has no safetensors weights, and other formats are not loaded.",
            "model_unsupported",
        )
    return ModelFolder(folder, name)
