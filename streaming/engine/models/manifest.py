"""Finds damage in a converted model's folder by digests of its files.

To digest hundreds of megabytes takes a good part of a start. So files that were found intact are
recognised by size, inode and times: no program can change a file and keep its time of change.
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
_LAYOUT = 1  # raise it when the manifest's content changes: old folders are then rebuilt
_HASH_UP_TO = 1 << 30  # bytes; larger models are compared by file sizes only, to start fast


def write_manifest(folder: Path) -> None:
    """Write sizes and digests of all files of a folder that is complete."""
    files = {
        path.name: {"size": path.stat().st_size, "sha256": sha256_of(path)}
        for path in sorted(folder.iterdir())
    }
    content = json.dumps({"layout": _LAYOUT, "files": files}, indent=1)
    (folder / _MANIFEST).write_text(content, encoding="utf-8")


def names_in(folder: Path) -> list[str]:
    """Return the files of the manifest; none if it is missing or damaged."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
        return list(_written(folder))
    return []


def identity_of(folder: Path) -> dict[str, Any]:
    """Return what identifies the files of a model's folder, without reading them: the manifest's
    digests, or else sizes, inodes and times. Raises OSError."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        return _written(folder)
    return {path.name: status_of(path.stat()) for path in sorted(folder.iterdir())}


def status_of(stat: os.stat_result) -> list[int]:
    """Return a file's size, inode and times (ns), which tell whether it has changed."""
    return [stat.st_size, stat.st_ino, stat.st_mtime_ns, stat.st_ctime_ns]


def note_seen(folder: Path) -> None:
    """Remember that the files are intact, since the manifest was just written."""
    _note(folder, _identities(folder, _written(folder)))


def is_intact(folder: Path, *, whatever_size: bool = False) -> bool:
    """Return whether every file is as the manifest says. Files over 1 GiB are compared by size
    alone, unless `whatever_size`."""
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
    """Return what each file is and should be, so that another manifest is compared anew."""
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
    """Remember them for the next start; where nothing can be written, it compares all files
    again."""
    temporary = folder / f"{_SEEN}.{os.getpid()}"
    with contextlib.suppress(OSError):
        temporary.write_text(json.dumps(identities), encoding="utf-8")
        os.replace(temporary, folder / _SEEN)
