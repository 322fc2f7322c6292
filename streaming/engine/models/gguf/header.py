"""Reads what stands before the weights of a GGUF file: metadata and the table of tensors.

The `gguf` package's own reader makes an object of every token of the vocabulary: 11 s and 700 MB
for 262,144 tokens. Here arrays are skipped, and read when somebody asks for them: 0.2 s. The
format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from streaming.engine.base import EngineError
from streaming.engine.models.gguf.cursor import ARRAY, SCALARS, STRING, Cursor

_MAGIC = b"GGUF"
_VERSIONS = (2, 3)
_MOST_DIMENSIONS = 4  # GGML_MAX_DIMS
_ALIGNMENT = 32  # bytes, unless general.alignment says another one
_PART = re.compile(r"-(\d{5})-of-(\d{5})\.gguf$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Array:
    """Where an array's values are in the file: `count` values of `kind` (the format's number of a
    type), from byte `offset` on."""

    kind: int
    count: int
    offset: int


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """An entry of the table of tensors.

    `shape` is in torch's order: the last dimension's numbers lie side by side. `kind` is the
    format's number of a quantisation. `offset` and `size` are bytes; the offset is that in the
    file.
    """

    name: str
    shape: tuple[int, ...]
    kind: int
    offset: int
    size: int


@dataclass(frozen=True, slots=True)
class Header:
    """What stands before the weights of a GGUF file. `metadata` has scalars and strings as Python's
    values, and arrays as `Array`."""

    path: Path
    metadata: dict[str, Any]
    tensors: dict[str, StoredTensor]

    @property
    def architecture(self) -> str:
        """Return the model's architecture as llama.cpp names it, such as `llama`."""
        return str(self.metadata["general.architecture"])

    def values(self, key: str) -> list[Any] | None:
        """Return an array's values, and a scalar as a list of one; None if the file lacks the
        key."""
        found = self.metadata.get(key)
        if found is None or not isinstance(found, Array):
            return None if found is None else [found]
        with self.path.open("rb") as file:
            file.seek(found.offset)
            cursor = Cursor(file, self.path, found.offset)
            if found.kind == STRING:
                return [cursor.string(errors="replace") for _ in range(found.count)]
            return [_short(each) for each in cursor.numbers(found.kind, found.count)]


def read_header(path: Path) -> Header:
    """Read the header of a GGUF file.

    Raises EngineError if the file is no GGUF, is damaged or cut short, is of another version than 2
    or 3, or is no model of its own; an OSError passes through.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        cursor = Cursor(file, path, 0)
        tensors, entries = _begin(cursor, size)
        metadata: dict[str, Any] = {}
        for _ in range(entries):
            key = cursor.string()
            if key in metadata:
                raise cursor.damaged(f"it says {key} twice")
            metadata[key] = _value(cursor, key)
        _check_kind(path, metadata)
        table = [_entry(cursor) for _ in range(tensors)]
    alignment = metadata.get("general.alignment", _ALIGNMENT)
    if not isinstance(alignment, int) or alignment < 1 or alignment & (alignment - 1):
        raise cursor.damaged(f"its alignment is {alignment}")
    start = -(-cursor.at // alignment) * alignment
    found: dict[str, StoredTensor] = {}
    for name, shape, kind, offset in table:
        if name in found:
            raise cursor.damaged(f"it has the tensor {name} twice")
        found[name] = StoredTensor(
            name, shape, kind, start + offset, _bytes(cursor, name, shape, kind)
        )
    end = max((each.offset + each.size for each in found.values()), default=start)
    if end > size:
        raise EngineError(
            f"{path} is cut short: it has {size:,} bytes, and its table of tensors speaks of "
            f"{end:,}. Download it again.",
            "model_corrupt",
        )
    return Header(path, metadata, found)


def dequantizable() -> dict[int, tuple[str, int, int]]:
    """Return the tensor formats that can be read, by their numbers in the file: the name, and how
    many numbers and bytes a block has."""
    import gguf
    from gguf.quants import _type_traits

    plain = (gguf.GGMLQuantizationType.F32, gguf.GGMLQuantizationType.F16)
    return {
        int(kind): (kind.name, *gguf.GGML_QUANT_SIZES[kind]) for kind in (*plain, *_type_traits)
    }


def _begin(cursor: Cursor, size: int) -> tuple[int, int]:
    """Read the beginning; return how many tensors and how many entries of metadata follow."""
    path = cursor.path
    if size < 4 or cursor.file.read(4) != _MAGIC:
        raise EngineError(f"{path} is not a GGUF file.", "model_corrupt")
    cursor.file.seek(0)
    _, version = cursor.unpack("<4sI")
    if version not in _VERSIONS:
        if int.from_bytes(version.to_bytes(4, "little"), "big") in _VERSIONS:
            raise EngineError(
                f"{path} is a GGUF file for machines that store the high byte of a number first "
                "(big-endian). There is one for usual machines where it comes from.",
                "model_unsupported",
            )
        raise EngineError(
            f"{path} is a GGUF file of version {version}; read are the versions 2 and 3.",
            "model_unsupported",
        )
    tensors, entries = cursor.unpack("<QQ")
    return tensors, entries


def _value(cursor: Cursor, key: str) -> Any:
    (kind,) = cursor.unpack("<I")
    if kind == STRING:
        return cursor.string()
    if kind in SCALARS:
        return _short(cursor.numbers(kind, 1)[0])
    if kind != ARRAY:
        raise cursor.damaged(f"{key} has a value of the unknown kind {kind}")
    inner, count = cursor.unpack("<IQ")
    found = Array(inner, count, cursor.at)
    if inner == STRING:
        cursor.skip_strings(count)
    elif inner in SCALARS:
        cursor.need(np.dtype(SCALARS[inner]).itemsize * count)
    else:
        raise cursor.damaged(f"{key} is an array of the unknown kind {inner}")
    return found


def _short(value: Any) -> Any:
    """Return a number as Python's; of a 32-bit one the shortest that rounds to it: models are made
    with 0.000001, and not with 0.0000009999999974752427."""
    return float(str(value)) if isinstance(value, np.float32) else value.item()


def _check_kind(path: Path, metadata: dict[str, Any]) -> None:
    """Raise EngineError if the file is not one whole language model, whatever its architecture."""

    def refusal(what: str) -> EngineError:
        return EngineError(f"{path} cannot be served: {what}.", "model_unsupported")

    architecture, kind = metadata.get("general.architecture"), metadata.get("general.type", "model")
    if any(key.startswith("adapter.") for key in metadata) or kind == "adapter":
        raise refusal("it is an adapter (LoRA), and the model that it changes is another file")
    if architecture == "clip" or kind == "mmproj":
        raise refusal(
            "it is the part of a model that looks at images or listens (mmproj), and the language "
            "model is another file"
        )
    if kind != "model":
        raise refusal(f"it says that it is of the type {kind}, not a model")
    if not isinstance(architecture, str) or not architecture:
        raise EngineError(f"{path} does not say its architecture.", "model_corrupt")
    part = _PART.search(path.name)
    parts = metadata.get("split.count", 1)
    if parts != 1 or (part and int(part[2]) > 1):
        which = f"part {int(part[1])} of {int(part[2])}" if part else f"one of {parts} parts"
        raise refusal(
            f"it is {which} of a model; put them together with `llama-gguf-split --merge`"
        )


def _entry(cursor: Cursor) -> tuple[str, tuple[int, ...], int, int]:
    name = cursor.string()
    (count,) = cursor.unpack("<I")
    if not 1 <= count <= _MOST_DIMENSIONS:
        raise cursor.damaged(f"its tensor {name} has {count} dimensions")
    *dimensions, kind, offset = cursor.unpack(f"<{count}QIQ")
    return name, tuple(reversed(dimensions)), kind, offset


def _bytes(cursor: Cursor, name: str, shape: tuple[int, ...], kind: int) -> int:
    """Return how many bytes a tensor takes. Raises EngineError if its format cannot be read."""
    known = dequantizable()
    if kind not in known:
        import gguf

        try:
            said = gguf.GGMLQuantizationType(kind).name
        except ValueError:
            said = f"number {kind}"
        raise EngineError(
            f"{cursor.path} cannot be served: its tensor {name} has the format {said}, which the "
            "installed gguf package cannot read.",
            "model_unsupported",
        )
    _, block, size = known[kind]
    if min(shape) < 1 or shape[-1] % block:
        raise cursor.damaged(f"its tensor {name} has the shape {list(shape)}")
    return math.prod(shape) // block * size
