"""An environment of the tests' own.

A plugin (`-p` in pyproject.toml) and no conftest: pytest-django reads the settings before any
conftest is imported.
"""

from __future__ import annotations

import json
import os
import signal
import tempfile
from pathlib import Path

# Before Django's settings are read: tests never touch the user's own database or key.
_data = Path(tempfile.mkdtemp(prefix="chatstream-tests-"))
for name in [name for name in os.environ if name.startswith("CHATSTREAM_")]:
    if name not in ("CHATSTREAM_REQUIRE_ALL", "CHATSTREAM_CACHE_DIR", "CHATSTREAM_TEST_LONG"):
        del os.environ[name]
for name in (
    "REDIS_URL",
    "DATABASE_URL",
    "ALLOWED_HOSTS",
    "DEBUG",
    "LOG_LEVEL",
    "LOG_FORMAT",
    "HTTPS",
    "FILES_STORAGE",
    "FILES_STORAGE_OPTIONS",
):
    os.environ.pop(name, None)
# Nor its files; the servers of tests, which have folders of their own, are told so again.
os.environ["FILES_STORAGE"] = "django.core.files.storage.FileSystemStorage"
os.environ["FILES_STORAGE_OPTIONS"] = json.dumps({"location": str(_data / "files")})
os.environ["SECRET_KEY"] = "only-for-tests"
# TEST_DATABASE_URL: the same tests on another database, as `tests/e2e/test_on_postgresql.py` does.
os.environ["DATABASE_URL"] = os.environ.get("TEST_DATABASE_URL", f"sqlite:///{_data}/db.sqlite3")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # So it is in the background of a shell, and so the servers that tests interrupt would have it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
