"""How often somebody may try to sign in or up."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.contrib.auth import authenticate
from django.contrib.auth.models import User
from django.core.cache import cache
from django.test import RequestFactory
from hypothesis import given
from hypothesis import strategies as st

from streaming.accounts import backend
from streaming.accounts.backend import is_limited
from streaming.accounts.limits import Limit

PASSWORD = "correct horse battery"


@pytest.fixture(autouse=True)
def _no_attempts_yet() -> Iterator[None]:
    cache.clear()
    yield
    cache.clear()


def test_attempts_are_counted_each_for_themselves() -> None:
    limit = Limit("test", bound=2, seconds=60)
    assert [limit.take("ann") for _ in range(4)] == [True, True, False, False]
    assert limit.is_used_up("ann")
    assert limit.take("bob")
    limit.forget("ann")
    assert limit.take("ann")


def test_what_is_given_back_does_not_count() -> None:
    limit = Limit("test", bound=1, seconds=60)
    assert limit.take("ann")
    limit.give_back("ann")
    assert not limit.is_used_up("ann")
    assert limit.take("ann")
    limit.give_back("nobody")


def test_the_count_expires(monkeypatch: Any) -> None:
    now = 1_000_000.0
    monkeypatch.setattr("django.core.cache.backends.locmem.time.time", lambda: now)
    monkeypatch.setattr("django.core.cache.backends.base.time.time", lambda: now)
    limit = Limit("test", bound=1, seconds=60)
    assert limit.take("ann")
    now += 59
    assert not limit.take("ann")  # and does not make it longer
    now += 2
    assert limit.take("ann")


def test_attempts_at_once_do_not_all_get_in() -> None:
    limit = Limit("test", bound=5, seconds=60)
    with ThreadPoolExecutor(8) as pool:
        taken = list(pool.map(lambda _: limit.take("ann"), range(64)))
    assert taken.count(True) == 5


@given(name=st.text(max_size=300), address=st.text(max_size=60))
def test_any_name_and_address_can_be_counted(name: str, address: str) -> None:
    Limit("any", bound=1, seconds=1).take(address, backend.folded(name))


def attempt(rf: RequestFactory, name: str, password: str, address: str = "192.0.2.1") -> bool:
    request = rf.post("/", REMOTE_ADDR=address)
    return authenticate(request, username=name, password=password) is not None


@pytest.mark.django_db
def test_a_right_password_is_refused_after_five_wrong_ones(rf: RequestFactory) -> None:
    User.objects.create_user("ann", password=PASSWORD)
    assert not any(attempt(rf, "ann", "wrong") for _ in range(5))
    assert is_limited(rf.post("/", REMOTE_ADDR="192.0.2.1"), "ANN ")
    assert not attempt(rf, "ann", PASSWORD)
    assert attempt(rf, "ann", PASSWORD, "192.0.2.2")  # she herself is elsewhere


@pytest.mark.django_db
def test_a_right_password_begins_the_count_anew(rf: RequestFactory) -> None:
    User.objects.create_user("ann", password=PASSWORD)
    for _ in range(3):
        assert not any(attempt(rf, "ann", "wrong") for _ in range(4))
        assert attempt(rf, "ann", PASSWORD)


@pytest.mark.django_db
def test_one_address_cannot_try_many_names(rf: RequestFactory, monkeypatch: Any) -> None:
    monkeypatch.setattr(backend, "SIGN_IN_ADDRESS", Limit("test", bound=3, seconds=60))
    User.objects.create_user("ann", password=PASSWORD)
    for number in range(3):
        assert attempt(rf, "ann", PASSWORD)  # what succeeds does not count
        assert not attempt(rf, f"name{number}", "wrong")
    assert not attempt(rf, "ann", PASSWORD)
    assert attempt(rf, "ann", PASSWORD, "192.0.2.2")
