"""How many passwords are hashed at a time."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.contrib.auth.hashers import PBKDF2PasswordHasher, check_password, make_password

from chatsite import settings as site
from streaming.accounts import hashing
from streaming.accounts.hashing import BoundedPBKDF2PasswordHasher, BusyError, ConcurrencyLimit

PATIENCE = 20.0


def test_so_many_hash_and_so_many_wait() -> None:
    limit = ConcurrencyLimit(at_once=2, waiting=3, seconds=PATIENCE)
    inside, most = 0, 0
    lock = threading.Lock()
    go = threading.Event()
    refused = threading.Semaphore(0)

    def work(_: int) -> bool:
        nonlocal inside, most
        try:
            with limit.slot():
                with lock:
                    inside += 1
                    most = max(most, inside)
                go.wait(PATIENCE)
                with lock:
                    inside -= 1
            return True
        except BusyError:
            refused.release()
            return False

    with ThreadPoolExecutor(12) as pool:
        done = pool.map(work, range(12))
        for _ in range(7):
            assert refused.acquire(timeout=PATIENCE)  # at once, while the others wait
        go.set()
        assert sorted(done) == [False] * 7 + [True] * 5
    assert most == 2
    with limit.slot():
        pass  # all have been given back


def test_nobody_waits_for_ever() -> None:
    limit = ConcurrencyLimit(at_once=1, waiting=1, seconds=0.01)
    with limit.slot(), pytest.raises(BusyError), limit.slot():
        pass
    with limit.slot():
        pass


def test_the_site_hashes_by_turns_as_django_does(settings: Any, monkeypatch: Any) -> None:
    settings.PASSWORD_HASHERS = site.PASSWORD_HASHERS
    monkeypatch.setattr(PBKDF2PasswordHasher, "iterations", 1000)
    stored = make_password("a password")
    assert stored.startswith("pbkdf2_sha256$1000$")
    assert check_password("a password", stored)
    assert PBKDF2PasswordHasher().verify("a password", stored)
    of_django = PBKDF2PasswordHasher().encode("a password", "salt")
    assert BoundedPBKDF2PasswordHasher().verify("a password", of_django)
    monkeypatch.setattr(hashing, "HASHES", ConcurrencyLimit(at_once=1, waiting=0, seconds=0))
    with hashing.HASHES.slot(), pytest.raises(BusyError):
        check_password("a password", stored)
