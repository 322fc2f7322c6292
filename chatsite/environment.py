"""Values of the site's environment variables, checked: what is not allowed is said by its name."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import environ
from django.core.exceptions import ImproperlyConfigured

from streaming.system import private_files
from streaming.waiting_list.redis.address import RedisAddress
from streaming.waiting_list.redis.url import AddressError, parse

env = environ.Env()


def flag(name: str) -> bool:
    """Return whether a variable is true; not if it is empty. Raises ImproperlyConfigured."""
    value = env.str(name, default="").lower()
    if value not in ("", "true", "false", "1", "0", "yes", "no", "on", "off"):
        raise ImproperlyConfigured(f"{name}={value!r} is not allowed: it is true or false.")
    return value in ("true", "1", "yes", "on")


def choice(name: str, default: str, allowed: Sequence[str]) -> str:
    """Return a variable that is one of `allowed`, in their case. Raises ImproperlyConfigured."""
    value: str = env.str(name, default=default)
    for each in allowed:
        if value.lower() == each.lower():
            return each
    words = f"{', '.join(allowed[:-1])} or {allowed[-1]}"
    raise ImproperlyConfigured(f"{name}={value!r} is not allowed: it is {words}.")


def redis_address(url: str) -> RedisAddress | None:
    """Return Redis' address, None without one.

    Raises ImproperlyConfigured, which does not repeat the address: there may be a password in it.
    """
    try:
        return parse(url) if url else None
    except AddressError as error:
        raise ImproperlyConfigured(f"REDIS_URL is not allowed: {error}.") from None


def make_data_dir(folder: Path) -> None:
    """Make the data folder if it is not there, private. Raises ImproperlyConfigured."""
    try:
        private_files.make_folder(folder)
    except OSError as error:
        raise ImproperlyConfigured(
            f"The data folder {folder} cannot be made: {error.strerror}. "
            "CHATSTREAM_DATA_DIR names another one."
        ) from None


def file_storage(folder: Path) -> dict[str, Any]:
    """Return the entry of STORAGES for attached files: what `FILES_STORAGE` names, with
    `FILES_STORAGE_OPTIONS`, or files in a folder, private. Raises ImproperlyConfigured."""
    backend = env.str("FILES_STORAGE", default="").strip()
    if backend:
        return {"BACKEND": backend, "OPTIONS": _storage_options()}
    modes = {"file_permissions_mode": 0o600, "directory_permissions_mode": 0o700}
    return {
        "BACKEND": "django.core.files.storage.FileSystemStorage",
        "OPTIONS": {"location": folder, **modes},
    }


def _storage_options() -> dict[str, Any]:
    try:
        options = json.loads(env.str("FILES_STORAGE_OPTIONS", default="") or "{}")
    except ValueError:
        options = None
    if not isinstance(options, dict):  # without its value, which may have a password in it
        raise ImproperlyConfigured("FILES_STORAGE_OPTIONS is not allowed: it is a JSON object.")
    return options
