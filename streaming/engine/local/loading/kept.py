"""Keeps what the first start makes of a model in the cache folder, for the next ones: to read it
takes a third of the time that it takes to make, and imports none of transformers' modelling code.

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
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout

from streaming.engine import base
from streaming.engine.base import EngineError
from streaming.engine.faults import told_by
from streaming.engine.local.forward import linear
from streaming.engine.local.forward.packed import Packed
from streaming.engine.local.forward.precision import AUTO, Precision, choose_precision
from streaming.engine.local.forward.weights import Shape
from streaming.engine.local.loading.kept_files import FILES, PRODUCTS, read, save
from streaming.engine.models.manifest import identity_of, is_intact, note_seen, write_manifest

logger = logging.getLogger("streaming.engine.models")

_FOLDER = "packed"
_FOLDERS_KEPT = 3  # the last used ones, of all models together
_MOST_BYTES = 12 << 30
"""The most that is kept of all models together, for on the disk it comes on top of them. A model of
8 billion parameters takes 9 GB, and starts in a fifth of the time; larger ones are made at every
start."""

_OTHERS_WRITE = 0o022
_GENERAL = "TokenizersBackend"  # the class of a tokenizer.json that needs none of its own


class KeptPass:
    """The kept pass of the model in the folder `model`, below the folder `cache`, for a context of
    `asked` tokens (None: as `check_supported` says), with the adapter in the folder `adapter`
    merged. Only int8 weights on a CPU are kept."""

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
        """Return whether an earlier start has kept it intact: then the model was found fit to be
        served, too. Computes nothing: a thread that does has a team of OpenMP threads from then on,
        see `LocalEngine`."""
        try:
            return self._may_be and _is_sound(self._folder)
        except Exception:
            return False

    @property
    def _may_be(self) -> bool:
        return self._device.type == "cpu" and self._dtype in (AUTO, "int8")

    @functools.cached_property
    def _precision(self) -> Precision | None:
        """The precision of what is kept; None where nothing is."""
        if self._may_be:
            with contextlib.suppress(EngineError):  # is raised by whoever goes on without it
                precision = choose_precision(self._dtype, self._device, packable=True)
                return precision if precision.is_int8 else None
        return None

    def load(
        self, check: Callable[[Shape, int, int], None] = lambda shape, context, size: None
    ) -> Packed | None:
        """Return what an earlier start has kept, if it is intact; else None. `check` gets its
        shape, context and bytes before it is read, and may raise an EngineError."""
        if self._precision is None:
            return None
        try:
            folder = self._folder
            if not _is_sound(folder):
                return None
            packed, self._tokenizer = read(folder, self._precision, check)
        except EngineError:
            raise
        except Exception as error:  # whatever it is, the model itself is there
            logger.warning("What was kept of the model is not used: %s", told_by(error))
            return None
        with contextlib.suppress(OSError):
            os.utime(folder)
        return packed

    def tokenizer(self) -> Any:
        """Return the model's tokenizer. transformers finds its class by the model's configuration,
        and imports the modelling code for that; after a successful `load` the class is known."""
        import transformers

        if self._tokenizer == _GENERAL:
            return transformers.PreTrainedTokenizerFast.from_pretrained(str(self._model))
        found: Any = transformers.AutoTokenizer.from_pretrained(str(self._model))
        self._tokenizer = type(found).__name__
        return found

    def keep(self, packed: Packed) -> None:
        """Write it for the next start, if it is all recorded. At most one process writes."""
        if packed.recording is None or self._precision is None:
            return
        try:
            self._root.mkdir(parents=True, exist_ok=True)
            with FileLock(self._root / "lock", timeout=0):
                self._write(packed, self._folder)
        except Timeout:
            return
        except Exception as error:
            logger.info("The next start takes as long as this one: %s", told_by(error))

    @functools.cached_property
    def _folder(self) -> Path:
        """The folder, whose name is a digest of all that its content depends on, as it is when
        `load` begins. Raises OSError if a file cannot be read."""
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
        """Write into the folder. The caller holds the lock."""
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
            save(packed, self._told(folder), target)
            write_manifest(target)
            usual = (target / FILES[0]).stat().st_mode  # safetensors lets only the owner read
            for path in target.iterdir():
                path.chmod(usual & ~_OTHERS_WRITE)
            target.chmod(target.stat().st_mode & ~_OTHERS_WRITE)
            os.replace(target, folder)
        note_seen(folder)

    def _told(self, folder: Path) -> dict[str, str]:
        precision = str(self._precision)
        return {"name": folder.name, "precision": precision, "tokenizer": self._tokenizer}

    def _tidy(self, room: int) -> None:
        """Remove what killed processes left, and the least recently used folders, until the others
        take `room` bytes at most."""
        folders = [path for path in self._root.iterdir() if path.is_dir()]
        left = [path for path in folders if path.name.startswith("tmp-")]
        used = sorted(set(folders) - set(left), key=lambda path: -path.stat().st_mtime)
        for number, path in enumerate(used, start=2):
            room -= sum(file.stat().st_size for file in path.iterdir())
            if number > _FOLDERS_KEPT or room < 0:
                left.append(path)
        for path in left:
            shutil.rmtree(path, ignore_errors=True)


def _is_sound(folder: Path) -> bool:
    return _is_ours(folder) and is_intact(folder, whatever_size=True)


def _is_ours(folder: Path) -> bool:
    """Whether nobody but this user or root can have written the files."""
    if os.name != "posix":
        return True
    products = folder.glob(PRODUCTS.format("*"))
    for path in (folder, *(folder / name for name in FILES), *products):
        try:
            stat = path.stat()
        except OSError:
            return False
        if stat.st_uid not in (0, os.geteuid()) or stat.st_mode & _OTHERS_WRITE:
            return False
    return True


def _digest_of_sources() -> str:
    """Return a digest of all code that decides what is kept and which models are served."""
    engine = Path(base.__file__).parent
    digest = hashlib.sha256()
    for path in sorted(engine.rglob("*.py")):
        name = path.relative_to(engine).as_posix()
        if not name.startswith("upstream/"):
            content = path.read_bytes()
            digest.update(f"{name} {len(content)}\n".encode() + content)
    return digest.hexdigest()
