"""The account's sessions: listed with their last use, ended one by one or together, sockets too."""

from __future__ import annotations

import re
from datetime import timedelta
from importlib import import_module
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.conf import settings as django_settings
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.db import DatabaseError
from django.test import Client
from django.utils import timezone

from streaming.accounts.devices import device_name
from streaming.identity import sessions
from streaming.models import AccountSession
from streaming.sockets.guard import Guard
from tests.integration.test_guard import PASSWORD, open_socket

pytestmark = pytest.mark.django_db(transaction=True)

__all__ = ["open_socket"]

CHROME = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/140.0.0.0 Safari/537.36"
)
SAFARI = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 "
    "(KHTML, like Gecko) Version/18.6 Mobile/15E148 Safari/604.1"
)


def browser(agent: str = CHROME, name: str = "ann") -> Client:
    """A browser in which the account, made if it is not there, is signed in."""
    if not User.objects.filter(username=name).exists():
        User.objects.create_user(name, password=PASSWORD)
    client = Client(headers={"User-Agent": agent})
    assert client.post("/accounts/login/", {"username": name, "password": PASSWORD}).url == "/"
    return client


def is_signed_in(client: Client) -> bool:
    return "Signed in as" in client.get("/accounts/").text


def test_they_are_listed_this_one_first() -> None:
    own, phone = browser(), browser(SAFARI)
    browser(name="bob")
    page = own.get("/accounts/").text
    assert re.findall(r"<strong>([^<]* on [^<]*|Safari[^<]*)</strong>", page) == [
        "Chrome on Windows",
        "Safari on iPhone",
    ]
    assert page.index("current browser") < page.index("Safari on iPhone")
    assert phone.session.session_key not in page
    assert own.session.session_key not in page


def test_one_is_ended() -> None:
    own, phone = browser(), browser(SAFARI)
    row = AccountSession.objects.get(session_key=phone.session.session_key)
    assert own.post(f"/accounts/sessions/{row.pk}/end/").url == "/accounts/"
    assert not is_signed_in(phone)
    assert is_signed_in(own)
    assert AccountSession.objects.count() == 1
    assert own.post(f"/accounts/sessions/{row.pk}/end/").status_code == 302  # twice is no fault


def test_somebody_elses_cannot_be_ended() -> None:
    own, bob = browser(), browser(name="bob")
    row = AccountSession.objects.get(session_key=bob.session.session_key)
    own.post(f"/accounts/sessions/{row.pk}/end/")
    assert is_signed_in(bob)
    assert own.get(f"/accounts/sessions/{row.pk}/end/").status_code == 405


def test_all_others_are_ended_also_those_never_noted() -> None:
    own, others, bob = browser(), [browser(SAFARI), browser()], browser(name="bob")
    AccountSession.objects.exclude(session_key=own.session.session_key).delete()  # an upgrade
    answer = own.post("/accounts/sessions/end/", follow=True)
    assert "2 other browsers are signed out." in answer.text
    assert [is_signed_in(each) for each in (own, *others, bob)] == [True, False, False, True]


async def test_sockets_end_with_theirs_at_once(open_socket: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(Guard, "interval", 3600.0)
    own = await sync_to_async(browser)()
    phone = await sync_to_async(browser)(SAFARI)
    stays, goes = [await open_socket("/ws/chat/", each) for each in (own, phone)]
    await sync_to_async(own.post)("/accounts/sessions/end/")
    assert await goes.ends() == ("session_changed", 4409)
    assert await stays.receive_nothing(0.1)


def test_their_use_is_written_once_a_minute_at_most() -> None:
    own = browser()
    row = AccountSession.objects.get()
    own.get("/")
    assert AccountSession.objects.get().last_used_at == row.last_used_at
    before = timezone.now() - timedelta(minutes=2)
    AccountSession.objects.update(last_used_at=before)
    own.get("/")
    assert AccountSession.objects.get().last_used_at > before + timedelta(minutes=1)
    assert AccountSession.objects.get().created_at == row.created_at


def test_a_new_password_leaves_one() -> None:
    own, phone = browser(), browser(SAFARI)
    new = "another horse battery"
    own.post(
        "/accounts/password/",
        {"old_password": PASSWORD, "new_password1": new, "new_password2": new},
    )
    assert is_signed_in(own)
    assert not is_signed_in(phone)
    assert [row.session_key for row in AccountSession.objects.all()] == [own.session.session_key]


def test_signing_out_leaves_none() -> None:
    own, phone = browser(), browser(SAFARI)
    phone.post("/accounts/logout/")
    assert "Safari" not in own.get("/accounts/").text


def test_visitors_have_no_row_and_files_cost_no_query(django_assert_num_queries: Any) -> None:
    visitor = Client()
    for path in ("/", "/accounts/", "/accounts/login/"):
        visitor.get(path)
    assert not AccountSession.objects.exists()
    own = browser()
    with django_assert_num_queries(0):
        own.get("/jsi18n/en/")


def test_where_sessions_are_not_in_the_database(settings: Any) -> None:
    settings.SESSION_ENGINE = "django.contrib.sessions.backends.cache"
    own, phone = browser(), browser(SAFARI)
    assert "Safari on iPhone" in own.get("/accounts/").text
    assert "1 other browser is" in own.post("/accounts/sessions/end/", follow=True).text
    assert is_signed_in(own)
    assert not is_signed_in(phone)
    assert not Session.objects.exists()


def test_a_project_without_the_middleware_lists_none(settings: Any) -> None:
    settings.MIDDLEWARE = [each for each in settings.MIDDLEWARE if each != sessions.MIDDLEWARE]
    own = browser()
    assert "Where you are signed in" not in own.get("/accounts/").text
    assert not AccountSession.objects.exists()


def test_a_database_that_is_away_costs_no_page(monkeypatch: Any) -> None:
    own = browser()

    def away(request: Any) -> None:
        raise DatabaseError("away")

    monkeypatch.setattr(sessions, "note_use", away)
    assert own.get("/").status_code == 200


def test_the_key_is_never_shown() -> None:
    store = import_module(django_settings.SESSION_ENGINE).SessionStore()
    store.create()
    row = AccountSession(session_key=store.session_key, user=User(username="ann"))
    assert store.session_key not in f"{row!s} {row!r}"


@pytest.mark.parametrize(
    ("agent", "name"),
    [
        (CHROME, "Chrome on Windows"),
        (SAFARI, "Safari on iPhone"),
        (CHROME + " Edg/140.0.0.0", "Edge on Windows"),
        ("Mozilla/5.0 (X11; Linux x86_64; rv:143.0) Gecko/1 Firefox/143.0", "Firefox on Linux"),
        ("Mozilla/5.0 (Linux; Android 15) Chrome/140.0 Mobile Safari/537.36", "Chrome on Android"),
        ("curl/8.14.1", "curl"),
        ("<script>alert(1)</script>", "<script>alert(1)<"),
        ("", "Unknown device"),
    ],
)  # fmt: skip
def test_devices_have_names(agent: str, name: str) -> None:
    assert device_name(agent) == name
