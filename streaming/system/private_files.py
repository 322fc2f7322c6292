"""Files and folders that nobody but their owner may read.

What lies there already is mended, if it is ours: what belongs to somebody else, or cannot be
changed, is left as it is.
"""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path


def make_folder(path: Path) -> None:
    """Make a folder if it is not there, and see that it is private. Its parents are left as they
    are."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        path.mkdir(mode=0o700)
    if not path.is_symlink():  # one that leads elsewhere may have others' things in it
        _tighten(path, 0o700)


def make_file(path: Path) -> None:
    """Make a file if it is not there, and see that it is private. Raises OSError."""
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    except FileExistsError:
        tighten_file(path)


def tighten_file(path: Path) -> None:
    """Make a file private, if it is there."""
    _tighten(path, 0o600)


def _tighten(path: Path, mode: int) -> None:
    if os.name != "posix":
        return
    with contextlib.suppress(OSError):
        found = path.stat()
        is_ours = found.st_uid == os.geteuid()
        if is_ours and stat.S_IMODE(found.st_mode) & ~mode & 0o777:
            path.chmod(mode)
