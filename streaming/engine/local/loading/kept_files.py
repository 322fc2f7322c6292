"""Reads and writes the files of a kept pass: the recording, the weights of its matrix products, and
the tables."""

from __future__ import annotations

import contextlib
import json
import os
import warnings
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from streaming.engine.local.forward import linear
from streaming.engine.local.forward.packed import Packed, from_recording
from streaming.engine.local.forward.precision import Precision
from streaming.engine.local.forward.weights import Shape

FILES = _WHOLE, _TABLES, _SHAPE = "whole.pt", "tables.safetensors", "shape.json"
"""The files besides those of the products."""

PRODUCTS = "products-{}.safetensors"
"""The file of the weights of one layer's products, or of the head: one each, so that no more than
one is in memory twice. `_WHOLE` is without them."""


def save(packed: Packed, told: dict[str, str], folder: Path) -> None:
    """Write it into an empty folder, with what is `told` of it."""
    products = _products(packed.recording)
    for part, of_part in products.items():
        save_file(_unpacked(of_part), folder / PRODUCTS.format(part))
    with _left_out(products), (folder / _WHOLE).open("wb") as file:
        # Into a file of ours: torch's own writer ends the process where the disk is full.
        _without_warnings(torch.jit.save, packed.recording, file)
    angles = torch.view_as_real(packed.angles).contiguous()
    save_file({"angles": angles, "embedding": _short(packed.embedding)}, folder / _TABLES)
    shape = json.dumps({**told, "context": packed.context, "shape": asdict(packed.shape)})
    (folder / _SHAPE).write_text(shape, encoding="utf-8")
    for path in folder.iterdir():
        with path.open("rb") as file:
            os.fsync(file.fileno())  # the manifest must not be there before them


def _products(whole: Any) -> dict[str, dict[str, Any]]:
    """Return the products of a recording, by layer and name."""
    found: dict[str, dict[str, Any]] = {}
    for name, module in whole.named_modules():
        if module._c.hasattr(_WEIGHT):
            layer = name.split(".")[2] if name.startswith("decode._layers.") else name
            found.setdefault(layer, {})[name] = module
    return found


_WEIGHT = "_weight"  # of `linear.Int8Linear`


def _unpacked(products: dict[str, Any]) -> dict[str, Tensor]:
    tensors = {}
    for name, module in products.items():
        tensors[f"{name}.whole"], tensors[f"{name}.scales"] = linear.unpacked(module._weight)
    return tensors


@contextlib.contextmanager
def _left_out(products: dict[str, dict[str, Any]]) -> Iterator[None]:
    """Take the weights of the products out of the recording while the block runs."""
    modules = [module for of_part in products.values() for module in of_part.values()]
    weights = [module._weight for module in modules]
    nothing = linear.prepacked(torch.zeros(1, 1, dtype=torch.int8), torch.ones(1))
    try:
        for module in modules:
            module._c.setattr(_WEIGHT, nothing)
        yield
    finally:
        for module, weight in zip(modules, weights, strict=True):
            module._c.setattr(_WEIGHT, weight)


def _put_in(whole: Any, folder: Path) -> None:
    """Put the weights that were left out into a recording, one file after the other. They are
    copied: a file that changes later must not change the model."""
    for part, products in _products(whole).items():
        tensors = load_file(folder / PRODUCTS.format(part))
        for name, module in products.items():
            weight = linear.prepacked(tensors[f"{name}.whole"], tensors[f"{name}.scales"])
            module._c.setattr(_WEIGHT, weight)


def read(
    folder: Path, precision: Precision, check: Callable[[Shape, int, int], None]
) -> tuple[Packed, str]:
    """Read what is kept; return it with the class of the model's tokenizer. `check` gets its shape,
    its context and its bytes first. Raises an exception of any kind if something does not fit."""
    told = json.loads((folder / _SHAPE).read_text(encoding="utf-8"))
    if (told["name"], told["precision"]) != (folder.name, str(precision)):
        raise ValueError(f"{folder} is another one's")
    size = sum(path.stat().st_size for path in folder.iterdir())
    check(Shape(**told["shape"]), told["context"], size)
    # Copied: a file that changes later must not change the model.
    tables = {name: table.clone() for name, table in load_file(folder / _TABLES).items()}
    angles = torch.view_as_complex(tables["angles"])
    whole = _without_warnings(torch.jit.load, str(folder / _WHOLE))
    _put_in(whole, folder)
    embedding = tables["embedding"].to(precision.activations)
    packed = from_recording(whole, Shape(**told["shape"]), angles, embedding)
    return packed, str(told["tokenizer"])


def _short(table: Tensor) -> Tensor:
    """Return a table in bfloat16 if that loses nothing, as with models that come in it."""
    short = table.bfloat16()
    return short if torch.equal(short.to(table.dtype), table) else table.contiguous()


def _without_warnings(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function of TorchScript, which warns that it is deprecated; see
    `attention.torchscript`."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*torch.jit", category=DeprecationWarning)
        return function(*arguments)
