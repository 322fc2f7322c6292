"""Sources of a model's tensors, which are read one at a time: a checkpoint is never in memory as a
whole.

A source knows nothing of layers and of our formats; its reader converts each tensor, and lets it go
before it asks for the next one.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from streaming.engine.base import EngineError
from streaming.engine.faults import told_by
from streaming.engine.models.gguf.folder import is_gguf_folder, open_gguf

INDEX = "model.safetensors.index.json"
SINGLE = "model.safetensors"


class TensorSource(Protocol):
    """The tensors of a model by their names in its checkpoint. `names`, `shape` and `dtype` come
    from headers and cost nothing; `read` may be called from several threads."""

    def names(self) -> Collection[str]:
        """Return the names of all tensors."""

    def shape(self, name: str) -> tuple[int, ...]:
        """Return the shape of what `read` returns. Raises KeyError for an unknown name."""

    def dtype(self, name: str) -> torch.dtype:
        """Return the format of what `read` returns without `wanted`. Raises KeyError for an unknown
        name."""

    def read(self, name: str, wanted: torch.dtype | None = None) -> Tensor:
        """Return a tensor on the CPU that belongs to the caller.

        `wanted` is the format that it will have in the end: a source that dequantises may return
        it, so that a larger one is never in memory. Raises EngineError if the file cannot be read
        or is not what its header said.
        """


DTYPES = {
    "F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16,
    "I64": torch.int64, "I32": torch.int32, "I16": torch.int16, "I8": torch.int8,
    "U64": torch.uint64, "U32": torch.uint32, "U16": torch.uint16, "U8": torch.uint8,
    "BOOL": torch.bool, "F8_E4M3": torch.float8_e4m3fn, "F8_E5M2": torch.float8_e5m2,
    "F8_E8M0": torch.float8_e8m0fnu, "C64": torch.complex64,
}  # fmt: skip
"""By their names in safetensors: https://github.com/huggingface/safetensors, `Dtype`."""


class SafetensorsSource:
    """The tensors of safetensors files. They are read, not mapped: pages of a mapped file count as
    memory of the process, and one that is cut short meanwhile ends it.

    Raises EngineError if a file is missing, cut short, or not what it says.
    """

    def __init__(self, files: Sequence[Path]) -> None:
        self._files: dict[str, Any] = {}
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._dtypes: dict[str, torch.dtype] = {}
        for path in files:
            self._open(path)

    def _open(self, path: Path) -> None:
        from safetensors import SafetensorError, safe_open

        try:
            header = _header(path)
            opened = safe_open(str(path), framework="pt", backend="pread")
        except (SafetensorError, OSError, ValueError) as error:
            raise _damaged(path, error) from error
        for name, entry in header.items():
            if name in self._files:
                raise _damaged(path, ValueError(f"{name} is in another file, too"))
            if entry["dtype"] not in DTYPES:
                raise _damaged(path, ValueError(f"{name} has the format {entry['dtype']}"))
            self._files[name] = path, opened
            self._shapes[name] = tuple(entry["shape"])
            self._dtypes[name] = DTYPES[entry["dtype"]]

    def names(self) -> Collection[str]:
        """Return the names of all tensors in the files."""
        return self._files.keys()

    def shape(self, name: str) -> tuple[int, ...]:
        """Return a tensor's shape. Raises KeyError for an unknown name."""
        return self._shapes[name]

    def dtype(self, name: str) -> torch.dtype:
        """Return a tensor's format in its file. Raises KeyError for an unknown name."""
        return self._dtypes[name]

    def read(self, name: str, wanted: torch.dtype | None = None) -> Tensor:
        """Read a tensor in the format that it has in its file, whatever is `wanted`. Raises
        EngineError if the file is damaged."""
        path, opened = self._files[name]
        try:
            tensor: Tensor = opened.get_tensor(name)
        except Exception as error:  # of safetensors, of the disk, or of torch
            raise _damaged(path, error) from error
        return tensor


def open_tensors(folder: Path) -> TensorSource:
    """Open the tensors of the model in a folder; only headers are read.

    Raises EngineError if there are none, or if a file is missing, cut short or damaged.
    """
    if is_gguf_folder(folder):
        source: TensorSource = open_gguf(folder)
        return source
    return SafetensorsSource(safetensors_files(folder))


def has_weights(folder: Path) -> bool:
    """Return whether all files are there that hold the model's weights."""
    try:
        return bool(safetensors_files(folder))
    except EngineError:
        return False


def safetensors_files(folder: Path) -> list[Path]:
    """Return the files that hold the model's weights: the single one, or those of the index. Raises
    EngineError if there are none, or not all."""
    index = folder / INDEX
    if (folder / SINGLE).is_file():  # as transformers does: it comes first
        return [folder / SINGLE]
    if not index.is_file():
        raise EngineError(
            f"The folder {folder} has no {SINGLE} and no {INDEX}, so there are no weights to load.",
            "model_corrupt",
        )
    try:
        named = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
        if not named or not all(isinstance(each, str) for each in named):
            raise ValueError("it names no files")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise _damaged(index, error) from error
    foreign = sorted(name for name in named if Path(name).name != name)
    if foreign:
        raise _damaged(index, ValueError(f"it names {foreign[0]}, which is not in the folder"))
    lacking = sorted(name for name in named if not (folder / name).is_file())
    if lacking:
        raise EngineError(
            f"The model in {folder} is not complete: {INDEX} names {_few(lacking)}, and "
            f"{'it is' if len(lacking) == 1 else 'they are'} not there.",
            "model_corrupt",
        )
    return [folder / name for name in sorted(named)]


def _header(path: Path) -> dict[str, Any]:
    """Return names, formats and shapes of a file, before safetensors' own reader checks it. Raises
    ValueError if it is cut short."""
    with path.open("rb") as file:
        start = file.read(8)
        if len(start) < 8:
            raise ValueError("it is cut short")
        (length,) = struct.unpack("<Q", start)
        if length > min(100_000_000, path.stat().st_size - 8):  # the format's own bound
            raise ValueError("it is cut short, or no safetensors file")
        header = json.loads(file.read(length))
    if not isinstance(header, dict):
        raise ValueError("its header is no table")
    header.pop("__metadata__", None)
    return header


def _damaged(path: Path, error: Exception) -> EngineError:
    reason = told_by(error)
    return EngineError(f"The file {path} is damaged or incomplete: {reason}.", "model_corrupt")


def _few(names: Sequence[str], most: int = 5) -> str:
    left = len(names) - most
    return ", ".join(names[:most]) + (f" and {left} more" if left > 0 else "")
