"""What a converted model's folder holds: a digest of each file, to find damage at the start.

Digests of hundreds of megabytes take a good part of a start. Files that were found intact are
known again by size, inode and times: no program can change a file and keep its time of change.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
from pathlib import Path
from typing import Any

from streaming.engine.models.download import sha256_of

_MANIFEST = "chatstream.json"
_SEEN = "seen.json"
_LAYOUT = 1  # raise it when what is written down is another thing: old folders are then rebuilt
_HASH_UP_TO = 1 << 30  # bytes; larger models are compared by file sizes only, to start fast


def write_manifest(folder: Path) -> None:
    """Write down every file of a folder that is complete."""
    files = {
        path.name: {"size": path.stat().st_size, "sha256": sha256_of(path)}
        for path in sorted(folder.iterdir())
    }
    content = json.dumps({"layout": _LAYOUT, "files": files}, indent=1)
    (folder / _MANIFEST).write_text(content, encoding="utf-8")


def names_in(folder: Path) -> list[str]:
    """The files that were written down; none if it is no folder of ours, or damaged."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
        return list(_written(folder))
    return []


def identity_of(folder: Path) -> dict[str, Any]:
    """What the files of a model's folder are, told without reading them: by the digests that were
    written down, or by sizes, inodes and times. Raises OSError."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        return _written(folder)
    return {path.name: status_of(path.stat()) for path in sorted(folder.iterdir())}


def status_of(stat: os.stat_result) -> list[int]:
    """What tells a file from what it was before, whatever its bytes: its size, inode, times."""
    return [stat.st_size, stat.st_ino, stat.st_mtime_ns, stat.st_ctime_ns]


def note_seen(folder: Path) -> None:
    """Remember that the files are what was just written down."""
    _note(folder, _identities(folder, _written(folder)))


def is_intact(folder: Path, *, whatever_size: bool = False) -> bool:
    """Return whether every file is as it was written; large ones are read only with
    `whatever_size`."""
    try:
        files = _written(folder)
        if not files:
            return False
        identities = _identities(folder, files)
        if identities == _seen(folder):
            return True
        most = math.inf if whatever_size else _HASH_UP_TO
        if not all(_is_as_written(folder / name, entry, most) for name, entry in files.items()):
            return False
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False
    _note(folder, identities)
    return True


def _written(folder: Path) -> dict[str, Any]:
    manifest = json.loads((folder / _MANIFEST).read_text(encoding="utf-8"))
    files: dict[str, Any] = manifest["files"] if manifest["layout"] == _LAYOUT else {}
    return files


def _is_as_written(path: Path, entry: dict[str, Any], most: float) -> bool:
    size = path.stat().st_size
    if size != entry["size"]:
        return False
    return bool(size > most or sha256_of(path) == entry["sha256"])


def _identities(folder: Path, files: dict[str, Any]) -> dict[str, list[Any]]:
    """Who each file is, and what it should be: another manifest is looked at anew."""
    found = {}
    for name, entry in files.items():
        stat = (folder / name).stat()
        times = stat.st_mtime_ns, stat.st_ctime_ns
        found[name] = [
            entry["sha256"],
            entry["size"],
            stat.st_size,
            stat.st_dev,
            stat.st_ino,
            *times,
        ]
    return found


def _seen(folder: Path) -> Any:
    try:
        return json.loads((folder / _SEEN).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _note(folder: Path, identities: dict[str, list[Any]]) -> None:
    """Remember them, for the next start; without a right to write all is looked at again."""
    temporary = folder / f"{_SEEN}.{os.getpid()}"
    with contextlib.suppress(OSError):
        temporary.write_text(json.dumps(identities), encoding="utf-8")
        os.replace(temporary, folder / _SEEN)
