"""Password hashing with a bound: each hash occupies a core for a good part of a second.

Without the bound, sign-ins from many addresses would take all cores from generation.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.contrib.auth.hashers import PBKDF2PasswordHasher
from django.core.exceptions import PermissionDenied


class BusyError(PermissionDenied):
    """Too many passwords are being hashed. Django answers 403 where no form catches it."""


class ConcurrencyLimit:
    """At most `at_once` threads hold a slot; `waiting` more wait, each for `seconds` at most."""

    def __init__(self, at_once: int, waiting: int, seconds: float) -> None:
        self._inside = threading.BoundedSemaphore(at_once)
        self._room = threading.BoundedSemaphore(at_once + waiting)
        self._seconds = seconds

    @contextmanager
    def slot(self) -> Iterator[None]:
        """Hold a slot within the block.

        Raises BusyError if too many wait already, or none is free in time.
        """
        if not self._room.acquire(blocking=False):
            raise BusyError
        try:
            if not self._inside.acquire(timeout=self._seconds):
                raise BusyError
            try:
                yield
            finally:
                self._inside.release()
        finally:
            self._room.release()


HASHES = ConcurrencyLimit(at_once=max(1, (os.cpu_count() or 1) // 4), waiting=16, seconds=10)
"""Of all password hashes in this process: a quarter of the cores."""


class BoundedPBKDF2PasswordHasher(PBKDF2PasswordHasher):
    """Django's default hasher, as many at a time as `HASHES` allows in this process."""

    def encode(self, *args: Any, **kwargs: Any) -> str:
        """Hash a password in a slot of `HASHES`. Raises BusyError."""
        with HASHES.slot():
            return super().encode(*args, **kwargs)
