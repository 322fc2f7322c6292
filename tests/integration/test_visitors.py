"""Who somebody without an account is, from the first page on, and that nothing is stored for it."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.core import signing
from django.test import Client
from django.utils import timezone

from streaming.identity import visitors
from streaming.identity.visitors import COOKIE, SESSION_KEY
from streaming.models import Conversation, MergedVisitor, Message, Response
from streaming.sockets.guard import Guard
from tests.integration.conftest import owner_of
from tests.support.fake_engine import FakeEngine

pytestmark = pytest.mark.django_db(transaction=True)

PASSWORD = "correct horse battery"
NOWHERE = "11111111-1111-4111-8111-111111111111"
PATHS = [
    "/",
    f"/c/{NOWHERE}/",
    f"/c/{NOWHERE}/newest/",
    "/conversations/",
    "/conversations/?q=x",
    "/accounts/",
    "/accounts/login/",
    "/accounts/signup/",
    "/accounts/conversations/delete/",
    "/admin/",
    "/admin/login/",
    "/v1/models",
    "/v1/none",
    "/static/streaming/chat/chat.js",
    "/favicon.ico",
    "/none/",
]


def cookies_of(browser: Client) -> dict[str, str]:
    return {name: morsel.value for name, morsel in browser.cookies.items()}


def conversation_of(browser: Client, title: str = "Mine") -> Conversation:
    made = Conversation.objects.create(owner=owner_of(browser), title=title)
    prompt = Message.objects.create(conversation=made, role="user", content="hello")
    Response.objects.create(conversation=made, prompt=prompt, owner=made.owner)
    return made


@pytest.mark.parametrize("path", PATHS)
def test_a_crawler_leaves_no_row(path: str) -> None:
    for _ in range(5):
        browser = Client()
        browser.get(path)
        browser.head(path)
    assert Session.objects.count() == 0
    assert MergedVisitor.objects.count() == 0


def test_nor_does_who_comes_back_or_chooses_something() -> None:
    browser = Client()
    for _ in range(3):
        for path in PATHS:
            browser.get(path)
        browser.post("/preferences/", {"theme": "dark", "language": "ja", "next": "/"})
        browser.post(f"/r/{NOWHERE}/rating/", {"rating": "1"})
    assert Session.objects.count() == 0


def test_the_cookie_is_for_this_site_and_no_script(settings: Any) -> None:
    browser = Client()
    browser.get("/")
    cookie = browser.cookies[COOKIE]
    assert cookie["httponly"]
    assert (cookie["samesite"], cookie["path"], cookie["secure"]) == ("Lax", "/", "")
    assert cookie["max-age"] == 365 * 24 * 3600
    settings.SESSION_COOKIE_SECURE = True  # as HTTPS=true sets it
    other = Client()
    assert other.get("/", secure=True).cookies[COOKIE]["secure"]
    assert owner_of(other) != owner_of(browser)


def test_below_a_path_the_cookie_is_of_that_path_as_the_sessions(settings: Any) -> None:
    """Another service on the same host has its own visitors."""
    settings.SESSION_COOKIE_PATH = "/chat/"
    browser = Client()
    assert browser.get("/").cookies[COOKIE]["path"] == "/chat/"
    User.objects.create_user("ann", password=PASSWORD)
    data = {"username": "ann", "password": PASSWORD}
    gone = browser.post("/accounts/login/", data).cookies[COOKIE]
    assert (gone.value, gone["path"]) == ("", "/chat/")


def test_a_visitor_comes_back_and_the_cookie_is_not_sent_again() -> None:
    browser = Client()
    browser.get("/")
    conversation = conversation_of(browser)
    again = browser.get(f"/c/{conversation.pk}/")
    assert (again.status_code, COOKIE in again.cookies) == (200, False)
    assert Client().get(f"/c/{conversation.pk}/").status_code == 404


FORGED: dict[str, Callable[[], str]] = {
    "empty": lambda: "",
    "plain": lambda: "guest",
    "parts": lambda: "a:b:c",
    "no ASCII": lambda: "é",
    "signed for nothing": lambda: signing.dumps("guest"),
    "signed for something else": lambda: signing.dumps("guest", salt="other"),
    "damaged": lambda: visitors.token_of("guest")[:-1],
}


@pytest.mark.parametrize("kind", FORGED)
def test_nobody_says_who_they_are_by_themselves(kind: str) -> None:
    value = FORGED[kind]()
    Conversation.objects.create(owner="visitor:guest", title="Theirs")
    browser = Client()
    browser.cookies[COOKIE] = value
    answer = browser.get("/")
    assert answer.status_code == 200
    assert "Theirs" not in answer.text
    assert visitors.of_token(browser.cookies[COOKIE].value)


def test_who_comes_back_after_months_stays_for_another_year(monkeypatch: Any) -> None:
    browser = Client()
    browser.get("/")
    owner, now = owner_of(browser), time.time()
    monkeypatch.setattr("django.core.signing.time.time", lambda: now + 300 * 86400)
    assert COOKIE in browser.get("/").cookies
    monkeypatch.setattr("django.core.signing.time.time", lambda: now + 600 * 86400)
    browser.get("/")
    assert owner_of(browser) == owner
    monkeypatch.setattr("django.core.signing.time.time", lambda: now + 1000 * 86400)
    browser.get("/")
    assert owner_of(browser) != owner


def test_a_session_of_before_goes_on_and_its_visitor_gets_the_cookie() -> None:
    browser = Client()
    session = browser.session
    session[SESSION_KEY] = "guest"
    session.save()
    conversation = Conversation.objects.create(owner="visitor:guest", title="Mine")
    assert browser.get(f"/c/{conversation.pk}/").status_code == 200
    assert owner_of(browser) == "visitor:guest"
    Session.objects.all().delete()  # it has expired
    assert browser.get(f"/c/{conversation.pk}/").status_code == 200


@pytest.mark.parametrize("page", ["/accounts/login/", "/admin/login/?next=/admin/"])
def test_what_the_visitor_had_becomes_the_accounts(page: str) -> None:
    user = User.objects.create_superuser("ann", password=PASSWORD)
    browser = Client()
    browser.get("/")
    conversation, visitor = conversation_of(browser), owner_of(browser)
    answer = browser.post(page, {"username": "ann", "password": PASSWORD})
    assert answer.status_code == 302
    assert answer.cookies[COOKIE].value == ""
    conversation.refresh_from_db()
    assert (conversation.owner, conversation.user) == (f"user:{user.pk}", user)
    assert browser.get(f"/c/{conversation.pk}/").status_code == 200
    browser.post("/accounts/logout/")
    assert owner_of(browser) != visitor  # with the answer: pages that are open need one at once
    assert browser.get(f"/c/{conversation.pk}/").status_code == 404


def test_without_anonymous_use_nobody_is_a_visitor(chatstream: Any) -> None:
    chatstream(anonymous=False)
    User.objects.create_user("ann", password=PASSWORD)
    browser = Client()
    browser.post("/accounts/login/", {"username": "ann", "password": PASSWORD})
    browser.get("/")
    browser.post("/accounts/logout/")
    browser.get("/")
    assert not browser.cookies.get(COOKIE)


def test_who_kept_the_cookie_of_a_merged_visitor_comes_anew() -> None:
    """The answer to the sign-in was lost on its way."""
    User.objects.create_user("ann", password=PASSWORD)
    browser = Client()
    browser.get("/")
    kept = browser.cookies[COOKIE].value
    browser.post("/accounts/login/", {"username": "ann", "password": PASSWORD})
    stale = Client()
    stale.cookies[COOKIE] = kept
    stale.get("/")
    assert stale.cookies[COOKIE].value != kept
    assert Session.objects.count() == 1  # the account's


def test_merged_visitors_are_remembered_for_a_day() -> None:
    visitors.merged("old")
    visitors.merged("old")
    MergedVisitor.objects.update(merged_at=timezone.now() - timedelta(days=2))
    visitors.merged("new")
    assert [row.visitor for row in MergedVisitor.objects.all()] == ["new"]


def test_a_project_that_sets_no_cookie_is_told_so(settings: Any) -> None:
    assert not visitors.check_middleware()
    settings.MIDDLEWARE = []
    assert [error.id for error in visitors.check_middleware()] == ["streaming.E005"]


async def test_the_socket_is_of_the_pages_visitor(start_worker: Any, client: Any) -> None:
    await start_worker(FakeEngine())
    browser = Client()
    await sync_to_async(browser.get)("/")
    chat = await client(cookies=cookies_of(browser))
    queued = await chat.ask("stop 2")
    await chat.end()
    row = await Response.objects.aget(pk=queued["response_id"])
    assert row.owner == owner_of(browser)
    page = await sync_to_async(browser.get)(f"/c/{queued['conversation_id']}/")
    assert page.status_code == 200
    assert await Session.objects.acount() == 0


async def test_a_socket_of_a_visitor_who_has_signed_in_writes_nothing_more(
    start_worker: Any, client: Any
) -> None:
    await start_worker(FakeEngine())
    await User.objects.acreate_user("ann", password=PASSWORD)
    browser = Client()
    await sync_to_async(browser.get)("/")
    chat = await client(cookies=cookies_of(browser))
    data = {"username": "ann", "password": PASSWORD}
    await sync_to_async(browser.post)("/accounts/login/", data)
    await chat.send("response.create", input="stop 1")
    assert (await chat.until("error"))["code"] == "session_changed"
    assert await chat.close_code() == 4409
    assert not await Response.objects.aexists()


async def test_so_is_a_program_that_went_on_as_that_visitor(
    start_worker: Any, client: Any, monkeypatch: Any
) -> None:
    """By the token; nor does anybody become that visitor by it again."""
    monkeypatch.setattr(Guard, "interval", 0.05)
    await start_worker(FakeEngine())
    await User.objects.acreate_user("ann", password=PASSWORD)
    browser = Client()
    await sync_to_async(browser.get)("/")
    token = browser.cookies[COOKIE].value
    writer, reader = await client(), await client()
    for chat in (writer, reader):
        await chat.send("chatstream:session", session_token=token)
        assert await chat.until("chatstream:session")
    monkeypatch.setattr(Guard, "_alarm_all", lambda: None)
    data = {"username": "ann", "password": PASSWORD}
    await sync_to_async(browser.post)("/accounts/login/", data)
    await writer.send("response.create", input="stop 1")
    for chat in (writer, reader):
        assert (await chat.until("error"))["code"] == "session_changed"
        assert await chat.close_code() == 4409
    assert not await Response.objects.aexists()
    late = await client()
    await late.send("chatstream:session", session_token=token)
    assert (await late.until("error"))["code"] == "forbidden"
