"""What the first start makes of a model, kept in the cache folder for the next ones: there it is
read in a third of the time that it takes to make, and transformers' modelling code stays away.

Nothing here may keep a server from starting: what is damaged, foreign or of another version is
made anew, and where it cannot be written, every start makes it.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import logging
import os
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout
from safetensors.torch import load_file, save_file
from torch import Tensor

from streaming.engine.base import EngineError
from streaming.engine.local import linear
from streaming.engine.local.packed import Packed, from_recording
from streaming.engine.local.precision import AUTO, Precision, choose_precision
from streaming.engine.local.weights import Shape
from streaming.engine.model_manifest import identity_of, is_intact, note_seen, write_manifest

logger = logging.getLogger("streaming.engine.models")

_FOLDER = "packed"
_WHOLE, _TABLES, _SHAPE = "whole.pt", "tables.safetensors", "shape.json"
_PRODUCTS = "products-{}.safetensors"
"""The weights of a layer's products, and of the head: a file each, so that no more than one is in
memory twice. In `_WHOLE` they are left out."""

_FOLDERS_KEPT = 3  # the last used ones, of all models together
_MOST_BYTES = 6 << 30
"""Of all that is kept. A model of more is not: it would be there twice on the disk, and its files
have to be read at every start anyhow."""

_OTHERS_WRITE = 0o022
_GENERAL = "TokenizersBackend"  # the class of a tokenizer.json that needs none of its own


class KeptPass:
    """Of the model in the folder `model`, for a context of `asked` tokens (None: as
    `check_supported` says), with the adapter in the folder `adapter` merged. Only weights of 8
    bits on a CPU are kept: of others little is recorded."""

    def __init__(
        self, cache: Path, model: Path, device: torch.device, dtype: str, asked: int | None,
        adapter: Path | None = None,
    ) -> None:  # fmt: skip
        self._root = cache / _FOLDER
        self._model, self._asked, self._adapter = model, asked, adapter
        self._device, self._dtype = device, dtype
        self._tokenizer = ""  # its class

    @property
    def is_there(self) -> bool:
        """Whether an earlier start has kept it, and it is as it was written: then the model was
        found fit to be served, too. Computes nothing: a thread that does has threads of its own
        from then on, see `LocalEngine`."""
        try:
            return self._may_be and _is_sound(self._folder)
        except Exception:
            return False

    @property
    def _may_be(self) -> bool:
        return self._device.type == "cpu" and self._dtype in (AUTO, "int8")

    @functools.cached_property
    def _precision(self) -> Precision | None:
        """None where nothing is kept."""
        if self._may_be:
            with contextlib.suppress(EngineError):  # is raised by whoever goes on without it
                precision = choose_precision(self._dtype, self._device, packable=True)
                return precision if precision.is_int8 else None
        return None

    def load(self) -> Packed | None:
        """What an earlier start has kept, if it is as it was written; else None."""
        if self._precision is None:
            return None
        try:
            folder = self._folder
            if not _is_sound(folder):
                return None
            packed, self._tokenizer = _read(folder, self._precision)
        except Exception as error:  # whatever it is, the model itself is there
            logger.warning("What was kept of the model is not used: %s", _first_line(error))
            return None
        with contextlib.suppress(OSError):
            os.utime(folder)
        return packed

    def tokenizer(self) -> Any:
        """The model's. transformers looks for its class in the model's configuration, and imports
        for that all that could compute it; where `load` had success, the class is known."""
        import transformers

        if self._tokenizer == _GENERAL:
            return transformers.PreTrainedTokenizerFast.from_pretrained(str(self._model))
        found: Any = transformers.AutoTokenizer.from_pretrained(str(self._model))
        self._tokenizer = type(found).__name__
        return found

    def keep(self, packed: Packed) -> None:
        """Write it for the next start, if it is all recorded. At most one process writes."""
        if packed.whole is None or self._precision is None:
            return
        try:
            self._root.mkdir(parents=True, exist_ok=True)
            with FileLock(self._root / "lock", timeout=0):
                self._write(packed, self._folder)
        except Timeout:
            return
        except Exception as error:
            logger.info("The next start takes as long as this one: %s", _first_line(error))

    @functools.cached_property
    def _folder(self) -> Path:
        """Named after all that it depends on, as it is when `load` begins: a model that changes
        later is another one. Raises OSError if a file cannot be read."""
        depends_on = [
            identity_of(self._model), self._dtype, self._asked,
            identity_of(self._adapter) if self._adapter else None,
            torch.__version__, torch.version.git_version, version("transformers"),
            torch.backends.cpu.get_cpu_capability(), torch.backends.quantized.engine,
            linear.has_vnni(), _digest_of_sources(),
        ]  # fmt: skip
        name = hashlib.sha256(json.dumps(depends_on).encode()).hexdigest()
        return self._root / name[:32]

    def _write(self, packed: Packed, folder: Path) -> None:
        """The lock is held."""
        if _is_sound(folder):
            return  # another process was faster
        needed = packed.shape.parameters + packed.embedding.nbytes
        if needed > _MOST_BYTES:
            raise OSError(f"its {needed / 1e9:.1f} GB are more than are kept twice")
        shutil.rmtree(folder, ignore_errors=True)
        self._tidy(_MOST_BYTES - needed)
        if shutil.disk_usage(self._root).free < 2 * needed:
            raise OSError(f"there is little room left in {self._root}")
        with tempfile.TemporaryDirectory(dir=self._root, prefix="tmp-") as temporary:
            target = Path(temporary) / folder.name
            target.mkdir()
            _save(packed, self._told(folder), target)
            write_manifest(target)
            usual = (target / _SHAPE).stat().st_mode  # safetensors lets only the owner read
            for path in target.iterdir():
                path.chmod(usual & ~_OTHERS_WRITE)
            target.chmod(target.stat().st_mode & ~_OTHERS_WRITE)
            os.replace(target, folder)
        note_seen(folder)

    def _told(self, folder: Path) -> dict[str, str]:
        precision = str(self._precision)
        return {"name": folder.name, "precision": precision, "tokenizer": self._tokenizer}

    def _tidy(self, room: int) -> None:
        """Remove what killed processes left, and all but the last used of the others, as many as
        `room` bytes hold."""
        folders = [path for path in self._root.iterdir() if path.is_dir()]
        left = [path for path in folders if path.name.startswith("tmp-")]
        used = sorted(set(folders) - set(left), key=lambda path: -path.stat().st_mtime)
        for number, path in enumerate(used, start=2):
            room -= sum(file.stat().st_size for file in path.iterdir())
            if number > _FOLDERS_KEPT or room < 0:
                left.append(path)
        for path in left:
            shutil.rmtree(path, ignore_errors=True)


def _save(packed: Packed, told: dict[str, str], folder: Path) -> None:
    products = _products(packed.whole)
    for part, of_part in products.items():
        save_file(_unpacked(of_part), folder / _PRODUCTS.format(part))
    with _left_out(products), (folder / _WHOLE).open("wb") as file:
        # Into a file of ours: torch's own writer ends the process where the disk is full.
        _without_warnings(torch.jit.save, packed.whole, file)
    angles = torch.view_as_real(packed.angles).contiguous()
    save_file({"angles": angles, "embedding": _short(packed.embedding)}, folder / _TABLES)
    shape = json.dumps({**told, "shape": asdict(packed.shape)})
    (folder / _SHAPE).write_text(shape, encoding="utf-8")
    for path in folder.iterdir():
        with path.open("rb") as file:
            os.fsync(file.fileno())  # the manifest must not be there before them


def _products(whole: Any) -> dict[str, dict[str, Any]]:
    """The products of a recording by the layer that they are in, and by their names."""
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
    """The recording without the weights of its products, meanwhile."""
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
    """The weights that were left out. One file after the other, and copied: a file that changes
    later must not change the model."""
    for part, products in _products(whole).items():
        tensors = load_file(folder / _PRODUCTS.format(part))
        for name, module in products.items():
            weight = linear.prepacked(tensors[f"{name}.whole"], tensors[f"{name}.scales"])
            module._c.setattr(_WEIGHT, weight)


def _read(folder: Path, precision: Precision) -> tuple[Packed, str]:
    """Raises an exception of whatever kind if something does not fit."""
    told = json.loads((folder / _SHAPE).read_text(encoding="utf-8"))
    if (told["name"], told["precision"]) != (folder.name, str(precision)):
        raise ValueError(f"{folder} is another one's")
    # Copied, for a file that changes later must not change the model.
    tables = {name: table.clone() for name, table in load_file(folder / _TABLES).items()}
    angles = torch.view_as_complex(tables["angles"])
    whole = _without_warnings(torch.jit.load, str(folder / _WHOLE))
    _put_in(whole, folder)
    embedding = tables["embedding"].to(precision.activations)
    packed = from_recording(whole, Shape(**told["shape"]), angles, embedding)
    return packed, str(told["tokenizer"])


def _short(table: Tensor) -> Tensor:
    """In 16 bits, where these say the same: models come in them."""
    short = table.bfloat16()
    return short if torch.equal(short.to(table.dtype), table) else table.contiguous()


def _is_sound(folder: Path) -> bool:
    return _is_ours(folder) and is_intact(folder, whatever_size=True)


def _is_ours(folder: Path) -> bool:
    """Whether nobody but this user, or root, can have written what is there."""
    if os.name != "posix":
        return True
    products = folder.glob(_PRODUCTS.format("*"))
    for path in (folder, *(folder / name for name in (_WHOLE, _TABLES, _SHAPE)), *products):
        try:
            stat = path.stat()
        except OSError:
            return False
        if stat.st_uid not in (0, os.geteuid()) or stat.st_mode & _OTHERS_WRITE:
            return False
    return True


def _digest_of_sources() -> str:
    """Of all code that says what is kept, and which models are served."""
    here = Path(__file__).parent
    digest = hashlib.sha256()
    for path in (*sorted(here.glob("*.py")), here.parent / "model_support.py"):
        content = path.read_bytes()
        digest.update(f"{path.name} {len(content)}\n".encode() + content)
    return digest.hexdigest()


def _without_warnings(function: Callable[..., Any], *arguments: Any) -> Any:
    """TorchScript is to be given up some day, see `recording`."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*torch.jit", category=DeprecationWarning)
        return function(*arguments)


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
