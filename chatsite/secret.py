"""A secret key for the embedded start: made once, kept outside version control."""

import os
import secrets
import time
from pathlib import Path

from streaming.system import private_files


def read_or_create_secret(path: Path) -> str:
    """Return the key in `path`; it is made, with owner-only rights, if the file is not there.

    Safe against two processes starting at once: exactly one creates, the other reads.
    """
    private_files.make_folder(path.parent)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        private_files.tighten_file(path)
        return _read(path)
    key = secrets.token_urlsafe(50)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(key)
    return key


def _read(path: Path) -> str:
    # The creator may be between open and write.
    for _ in range(50):
        if key := path.read_text(encoding="ascii").strip():
            return key
        time.sleep(0.02)
    raise OSError(f"The secret key file {path} is empty. Delete it, and a new one is made.")
