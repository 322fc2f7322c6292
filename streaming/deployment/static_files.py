"""Static files under names that contain their hash, compressed, so that they are cached for good.

`serve` makes them by itself when they are missing or old; behind another server, `collectstatic`
does. Without either, the plain files are served under their plain names.
"""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path

from django.conf import settings
from django.contrib.staticfiles import finders
from django.contrib.staticfiles.storage import staticfiles_storage
from django.core.management import call_command
from filelock import FileLock
from servestatic.storage import CompressedManifestStaticFilesStorage

logger = logging.getLogger(__name__)

_STAMP = ".source"


class HashedStorage(CompressedManifestStaticFilesStorage):
    """Gives files names with hashes, and plain names where they are not collected."""

    support_js_module_import_aggregation = True  # modules import each other by hashed names, too

    def read_manifest(self) -> str | None:
        """Return the names of what is collected; None if the file cannot be read."""
        try:
            manifest: str | None = super().read_manifest()
        except OSError:
            return None
        return manifest

    def stored_name(self, name: str) -> str:
        """Return the name under which a file is served."""
        collected = self.hash_key(self.clean_name(name)) in self.hashed_files
        return super().stored_name(name) if collected else name


def collect_if_old() -> None:
    """Collect the static files unless those collected are of the present sources.

    Several processes may do so at once: one collects, the others wait for it. A folder that
    cannot be written is no reason not to start.
    """
    if settings.DEBUG or not isinstance(_storage(), HashedStorage):
        return
    root = Path(settings.STATIC_ROOT)
    try:
        root.mkdir(parents=True, exist_ok=True)
        with FileLock(root / ".lock"):
            stamp, source = root / _STAMP, _source()
            if not stamp.is_file() or stamp.read_text(encoding="ascii") != source:
                stamp.unlink(missing_ok=True)
                call_command("collectstatic", interactive=False, verbosity=0)
                stamp.write_text(source, encoding="ascii")
            _storage().hashed_files, _storage().manifest_hash = _storage().load_manifest()
    except OSError as error:
        logger.warning("Static files are served as they are; they cannot be collected: %s", error)


def _storage() -> HashedStorage:
    staticfiles_storage.exists("")  # it is made when first used
    storage: HashedStorage = staticfiles_storage._wrapped  # type: ignore[attr-defined]
    return storage


def _source() -> str:
    """Return a digest of everything that is collected."""
    digest = hashlib.sha256()
    for finder in finders.get_finders():
        for name, storage in sorted(finder.list(None), key=lambda found: found[0]):
            digest.update(f"{name}\0".encode())
            with storage.open(name) as file:
                digest.update(hashlib.sha256(file.read()).digest())
    return digest.hexdigest()
