"""The cache folder's models: each is made once, in a temporary folder that is renamed when it is
complete, under a lock, so that neither a kill nor a second process can leave or see half a model.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock, Timeout

from streaming.engine.base import EngineError
from streaming.engine.models.download import disk_error
from streaming.engine.models.manifest import is_intact, names_in, write_manifest

logger = logging.getLogger("streaming.engine.models")

_FIRST_LAYOUT = re.compile(r".+-[0-9a-f]{12}")


def cached(cache: Path, key: str, build: Callable[[Path, Path], None]) -> Path:
    """Return the intact folder `cache/models/key`, built if need be.

    `build(temporary, target)` writes into `target`, and may use `temporary`, which vanishes. Raises
    EngineError if the disk is full or the cache cannot be written, and what `build` raises.
    """
    models = cache / "models"
    folder = models / key
    if is_intact(folder):
        return folder
    try:
        models.mkdir(parents=True, exist_ok=True)
        with _Locked(models / f"{key}.lock"):
            if is_intact(folder):  # another process was faster
                return folder
            _discard(models, folder, key)
            with tempfile.TemporaryDirectory(dir=models, prefix=f"{key}.tmp-") as temporary:
                target = Path(temporary) / "model"
                target.mkdir()
                build(Path(temporary), target)
                write_manifest(target)
                os.replace(target, folder)
    except OSError as error:
        raise disk_error(error, cache) from error
    except EngineError:
        raise
    except Exception as error:
        # tokenizers reports a full disk as an exception of its own
        if "No space left" in str(error) or "os error 28" in str(error):
            raise disk_error(OSError(28, "No space left on device"), cache) from error
        raise
    return folder


def remove_unpacked(models: Path, spared: str = "") -> None:
    """Remove the folders with unpacked weights that versions with layout 1 have made: each is
    several times as large as its GGUF file, and no later version reads it.

    Only folders with those versions' names and manifests are removed, not the one named `spared`,
    nor one that is being made.
    """
    with contextlib.suppress(OSError):
        for folder in list(models.iterdir()):
            if folder.name == spared or not _FIRST_LAYOUT.fullmatch(folder.name):
                continue
            if folder.is_symlink() or not names_in(folder):
                continue
            lock = models / f"{folder.name}.lock"
            with contextlib.suppress(Timeout, OSError), FileLock(lock, timeout=0):
                logger.info("Removing %s, which an earlier version has unpacked", folder)
                shutil.rmtree(folder)
                lock.unlink(missing_ok=True)


def _discard(models: Path, folder: Path, key: str) -> None:
    """Remove a damaged folder and what killed processes left. The caller holds the lock."""
    if folder.exists():
        logger.warning("The cached model %s is damaged and will be rebuilt", folder)
    for path in [folder, *models.glob(f"{key}.tmp-*")]:
        shutil.rmtree(path, ignore_errors=True)


class _Locked:
    """A file lock that logs when it has to wait."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = FileLock(path)

    def __enter__(self) -> None:
        try:
            self._lock.acquire(timeout=0.5)
        except Timeout:
            logger.info("Another process is preparing the model; waiting for it")
            self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()
