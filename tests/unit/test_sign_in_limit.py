"""How often somebody may try to sign in or up."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth import authenticate
from django.contrib.auth.models import User
from django.db import OperationalError, connection
from django.test import Client, RequestFactory
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from streaming.accounts import backend
from streaming.accounts.attempt_limits import Limit
from streaming.accounts.backend import is_limited
from streaming.accounts.hashing import BusyError
from streaming.models import Attempts
from streaming.record import allowance

PASSWORD = "correct horse battery"


pytestmark = pytest.mark.django_db


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
    now = datetime(2026, 3, 10, tzinfo=UTC)
    monkeypatch.setattr("streaming.accounts.attempt_limits.timezone.now", lambda: now)
    limit = Limit("test", bound=1, seconds=60)
    assert limit.take("ann")
    now += timedelta(seconds=59)
    assert not limit.take("ann")  # and does not make it longer
    now += timedelta(seconds=2)
    assert limit.take("ann")


def test_counts_that_are_over_are_deleted(monkeypatch: Any) -> None:
    """Whatever is counted: also what is imported, where nobody signs in."""
    now = datetime(2026, 3, 10, tzinfo=UTC)
    monkeypatch.setattr("streaming.record.allowance.timezone.now", lambda: now)
    assert allowance.take("import", "ann", units=3, most=8, seconds=60)
    now += timedelta(seconds=180)
    assert allowance.take("import", "bob", units=3, most=8, seconds=60)
    assert [row.count for row in Attempts.objects.all()] == [3]


@pytest.mark.django_db(transaction=True)
def test_attempts_at_once_do_not_all_get_in() -> None:
    limit = Limit("test", bound=5, seconds=60)

    def take(_: int) -> bool:
        try:
            return limit.take("ann")
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as pool:
        taken = list(pool.map(take, range(64)))
    assert taken.count(True) == 5


@given(name=st.text(max_size=300), address=st.text(max_size=60))
def test_any_name_and_address_can_be_counted(name: str, address: str) -> None:
    Limit("any", bound=1, seconds=1).take(address, backend.folded(name))


def attempt(rf: RequestFactory, name: str, password: str, address: str = "192.0.2.1") -> bool:
    request = rf.post("/", REMOTE_ADDR=address)
    return authenticate(request, username=name, password=password) is not None


def test_a_right_password_is_refused_after_five_wrong_ones(rf: RequestFactory) -> None:
    User.objects.create_user("ann", password=PASSWORD)
    assert not any(attempt(rf, "ann", "wrong") for _ in range(5))
    assert is_limited(rf.post("/", REMOTE_ADDR="192.0.2.1"), "ANN ")
    assert not attempt(rf, "ann", PASSWORD)
    assert attempt(rf, "ann", PASSWORD, "192.0.2.2")  # she herself is elsewhere


def test_a_right_password_begins_the_count_anew(rf: RequestFactory) -> None:
    User.objects.create_user("ann", password=PASSWORD)
    for _ in range(3):
        assert not any(attempt(rf, "ann", "wrong") for _ in range(4))
        assert attempt(rf, "ann", PASSWORD)


def test_one_address_cannot_try_many_names(rf: RequestFactory, monkeypatch: Any) -> None:
    monkeypatch.setattr(backend, "SIGN_IN_ADDRESS", Limit("test", bound=3, seconds=60))
    User.objects.create_user("ann", password=PASSWORD)
    for number in range(3):
        assert attempt(rf, "ann", PASSWORD)  # what succeeds does not count
        assert not attempt(rf, f"name{number}", "wrong")
    assert not attempt(rf, "ann", PASSWORD)
    assert attempt(rf, "ann", PASSWORD, "192.0.2.2")


def test_invented_names_flush_no_count(rf: RequestFactory) -> None:
    """The default cache keeps 300 counts, and a full one forgets the oldest."""
    User.objects.create_user("ann", password=PASSWORD)
    assert not any(attempt(rf, "ann", "wrong") for _ in range(5))
    for number in range(330):
        attempt(rf, f"name{number}", "wrong", f"198.51.100.{number % 200}")
    assert not attempt(rf, "ann", PASSWORD)
    assert is_limited(rf.post("/", REMOTE_ADDR="192.0.2.1"), "ann")


def test_invented_names_flush_no_count_of_sign_ups() -> None:
    limit = Limit("test", bound=2, seconds=60)
    assert [limit.take("192.0.2.1") for _ in range(3)] == [True, True, False]
    for number in range(330):
        limit.take(f"198.51.100.{number}")
    assert not limit.take("192.0.2.1")


def test_a_network_of_ipv6_is_one_address(rf: RequestFactory) -> None:
    User.objects.create_user("ann", password=PASSWORD)
    assert not any(attempt(rf, "ann", "wrong", f"2001:db8::{n:x}") for n in range(5))
    assert not attempt(rf, "ann", PASSWORD, "2001:db8::ffff")
    assert attempt(rf, "ann", PASSWORD, "2001:db8:0:1::1")


def test_beyond_its_bound_an_address_leaves_nothing_behind(
    rf: RequestFactory, monkeypatch: Any
) -> None:
    monkeypatch.setattr(backend, "SIGN_IN_ADDRESS", Limit("test", bound=3, seconds=60))
    for number in range(20):
        attempt(rf, f"name{number}", "wrong")
    assert Attempts.objects.count() == 4  # the address, and three names


def test_a_name_that_is_refused_does_not_use_up_its_address(
    rf: RequestFactory, monkeypatch: Any
) -> None:
    monkeypatch.setattr(backend, "SIGN_IN_ADDRESS", Limit("test", bound=10, seconds=60))
    User.objects.create_user("bob", password=PASSWORD)
    for _ in range(20):
        attempt(rf, "ann", "wrong")
    assert attempt(rf, "bob", PASSWORD)


def test_what_is_over_is_deleted() -> None:
    limit = Limit("test", bound=1, seconds=60)
    for number in range(20):
        limit.take(f"name{number}")
    Attempts.objects.update(until=timezone.now() - timedelta(minutes=2))
    limit.take("ann")
    assert Attempts.objects.count() == 1


class AwayError(OperationalError):
    pass


def without_attempts(execute: Any, sql: str, *args: Any) -> Any:
    """As a database that goes away while attempts are counted."""
    if "streaming_attempts" in sql:
        raise AwayError("the database is away")
    return execute(sql, *args)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("page", ["/accounts/login/", "/admin/login/"])
def test_a_database_that_is_away_opens_no_door(client: Client, page: str) -> None:
    User.objects.create_superuser("ann", password=PASSWORD)
    data = {"username": "ann", "password": PASSWORD}
    with connection.execute_wrapper(without_attempts):
        answer = client.post(page, data)
    assert answer.status_code == 200
    assert "_auth_user_id" not in client.session
    if "admin" not in page:
        assert "cannot be checked right now" in answer.text
    assert client.post(page, data).status_code == 302


@pytest.mark.django_db(transaction=True)
def test_nobody_signs_up_uncounted(client: Client) -> None:
    data = {"username": "ann", "password1": PASSWORD, "password2": PASSWORD}
    with connection.execute_wrapper(without_attempts):
        answer = client.post("/accounts/signup/", data)
    assert answer.status_code == 200
    assert "cannot be checked right now" in answer.text
    assert not User.objects.exists()


def test_who_finds_no_turn_is_told_so_and_not_counted(client: Client, monkeypatch: Any) -> None:
    User.objects.create_user("ann", password=PASSWORD)
    data = {"username": "ann", "password": PASSWORD}

    def no_turn(*args: Any) -> bool:
        raise BusyError

    with monkeypatch.context() as context:
        context.setattr(User, "check_password", no_turn)
        for _ in range(8):
            answer = client.post("/accounts/login/", data)
            assert (answer.status_code, "cannot be checked right now" in answer.text) == (200, True)
    assert client.post("/accounts/login/", data).status_code == 302
