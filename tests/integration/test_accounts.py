"""Accounts as a browser without scripts uses them."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from streaming.accounts import forms
from streaming.accounts.attempt_limits import Limit
from streaming.identity import keys
from streaming.identity.visitors import COOKIE
from streaming.models import ApiKey, Conversation, Message, Response, Status
from tests.integration.conftest import owner_of

pytestmark = pytest.mark.django_db

PASSWORD = "correct horse battery"
SIGN_UP = {"username": "hanako", "password1": PASSWORD, "password2": PASSWORD}


@pytest.fixture
def web() -> Client:
    """A browser."""
    return Client()


@pytest.fixture
def visitor(web: Client) -> Client:
    """A browser that has a conversation."""
    web.get("/")
    owner = owner_of(web)
    mine = Conversation.objects.create(owner=owner, title="Mine")
    prompt = Message.objects.create(conversation=mine, role="user", content="hello")
    Response.objects.create(
        conversation=mine, prompt=prompt, owner=owner, status=Status.COMPLETED, text="hi"
    )
    return web


@pytest.fixture
def ann(web: Client) -> User:
    user = User.objects.create_user("ann", password=PASSWORD)
    web.force_login(user)
    return user


def sign_in(browser: Client, name: str, password: str, **fields: str) -> Any:
    data = {"username": name, "password": password, **fields}
    return browser.post("/accounts/login/", data)


# --- sign up, in and out ---


def test_signing_up_keeps_the_visitors_conversations(visitor: Client) -> None:
    before = visitor.session.session_key
    answer = visitor.post("/accounts/signup/", SIGN_UP)
    assert (answer.status_code, answer.url) == (302, "/")
    user = User.objects.get(username="hanako")
    assert Conversation.objects.get().owner == f"user:{user.pk}"
    assert visitor.session.session_key != before
    assert "Mine" in visitor.get("/").text


def test_signing_out_leaves_nothing_behind_and_signing_in_finds_it_again(visitor: Client) -> None:
    visitor.post("/accounts/signup/", SIGN_UP)
    address = f"/c/{Conversation.objects.get().pk}/"
    assert visitor.get("/accounts/logout/").status_code == 405
    assert visitor.post("/accounts/logout/").url == "/"
    assert "Mine" not in visitor.get("/").text
    assert visitor.get(address).status_code == 404
    other = Client()
    assert sign_in(other, "hanako", PASSWORD, next=address).url == address
    assert other.get(address).status_code == 200


@pytest.mark.parametrize("page", ["login", "signup"])
@pytest.mark.parametrize(
    "next_", ["https://evil.example/", "//evil.example", "javascript:alert(1)"]
)
def test_nobody_is_sent_to_another_site(web: Client, page: str, next_: str) -> None:
    User.objects.create_user("ann", password=PASSWORD)
    data = {**SIGN_UP, "next": next_, "password": PASSWORD}
    if page == "login":
        data["username"] = "ann"
    answer = web.post(f"/accounts/{page}/", data)
    assert (answer.status_code, answer.url) == (302, "/")


def test_a_wrong_password_says_the_same_with_and_without_an_account(web: Client) -> None:
    User.objects.create_user("ann", password=PASSWORD)
    pages = [sign_in(web, name, "wrong") for name in ("ann", "nobody")]
    texts = [re.sub(r'value="[^"]*"', "", page.text) for page in pages]
    assert texts[0] == texts[1]
    assert 'role="alert"' in texts[0]


def test_too_many_wrong_passwords_say_so(web: Client) -> None:
    User.objects.create_user("ann", password=PASSWORD)
    for name in ("ann", "nobody"):
        for _ in range(5):
            assert "Too many failed attempts" not in sign_in(web, name, "wrong").text
        assert "Too many failed attempts" in sign_in(web, name, PASSWORD).text
    assert "_auth_user_id" not in web.session


def test_the_admins_login_is_bounded_too(web: Client) -> None:
    User.objects.create_superuser("boss", password=PASSWORD)
    data = {"username": "boss", "next": "/admin/"}
    for _ in range(5):
        web.post("/admin/login/", {**data, "password": "wrong"})
    assert web.post("/admin/login/", {**data, "password": PASSWORD}).status_code == 200


def test_a_forwarded_address_is_not_believed_from_anybody(web: Client) -> None:
    User.objects.create_user("ann", password=PASSWORD)
    data = {"username": "ann", "password": "wrong"}
    for number in range(5):
        web.post("/accounts/login/", data, headers={"X-Forwarded-For": f"192.0.2.{number}"})
    assert "Too many failed attempts" in sign_in(web, "ann", PASSWORD).text


def test_sign_up_errors_stand_at_their_fields(web: Client) -> None:
    page = web.post("/accounts/signup/", {**SIGN_UP, "password2": "another"}).text
    assert 'aria-invalid="true"' in page
    described = re.search(r'id="id_password2"[^>]*aria-describedby="([^"]+)"', page) or re.search(
        r'aria-describedby="([^"]+)"[^>]*id="id_password2"', page
    )
    assert described
    for element in described[1].split():
        assert f'id="{element}"' in page
    assert not User.objects.exists()


def test_a_name_is_taken_in_any_case(web: Client) -> None:
    User.objects.create_user("Hanako", password=PASSWORD)
    assert "already exists" in web.post("/accounts/signup/", SIGN_UP).text


def test_sign_up_is_bounded(web: Client, monkeypatch: Any) -> None:
    monkeypatch.setattr(forms, "SIGN_UP", Limit("test", bound=2, seconds=60))
    User.objects.create_user("hanako", password=PASSWORD)
    for _ in range(2):
        assert "already exists" in web.post("/accounts/signup/", SIGN_UP).text
    page = web.post("/accounts/signup/", SIGN_UP).text
    assert "Too many accounts" in page
    assert "already exists" not in page
    web.post("/accounts/signup/", {**SIGN_UP, "username": "taro"})
    assert User.objects.count() == 1


def test_sign_up_can_be_switched_off(web: Client, chatstream: Any) -> None:
    assert "/accounts/signup/" in web.get("/").text
    chatstream(signup=False)
    assert web.get("/accounts/signup/").status_code == 404
    assert web.post("/accounts/signup/", SIGN_UP).status_code == 404
    assert not User.objects.exists()
    for page in ("/", "/accounts/login/", "/accounts/"):
        assert "/accounts/signup/" not in web.get(page).text


def test_without_anonymous_use_everything_asks_to_sign_in(web: Client, chatstream: Any) -> None:
    chatstream(anonymous=False)
    for page in ("/", f"/c/{'1' * 8}-1111-4111-8111-{'1' * 12}/", "/accounts/"):
        assert web.get(page).url == f"/accounts/login/?next={page}"
    assert web.get("/accounts/conversations/delete/").status_code == 302
    assert web.get("/conversations/").status_code == 401
    assert web.post(f"/conversations/{'1' * 32}/delete/").status_code in (401, 404)
    assert COOKIE not in web.cookies
    User.objects.create_user("ann", password=PASSWORD)
    assert sign_in(web, "ann", PASSWORD, next="/").url == "/"
    assert web.get("/").status_code == 200


def test_changing_the_password_signs_other_browsers_out(web: Client) -> None:
    User.objects.create_user("ann", password=PASSWORD)
    other = Client()
    for browser in (web, other):
        sign_in(browser, "ann", PASSWORD)
    new = "another horse battery"
    data = {"old_password": PASSWORD, "new_password1": new, "new_password2": new}
    assert web.post("/accounts/password/", data).url == "/accounts/"
    assert "Your password was changed." in web.get("/accounts/").text
    assert "Signed in" in web.get("/accounts/").text
    assert "You are not signed in" in other.get("/accounts/").text


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("get", "password/"),
        ("post", "keys/"),
        ("get", "keys/1/revoke/"),
        ("post", "keys/1/revoke/"),
    ],
)
def test_an_accounts_pages_ask_to_sign_in(web: Client, method: str, path: str) -> None:
    answer = getattr(web, method)(f"/accounts/{path}")
    assert answer.url.startswith("/accounts/login/?next=")


def test_forms_need_their_token(ann: User) -> None:
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(ann)
    for path in ("/accounts/keys/", "/accounts/logout/", "/preferences/", "/accounts/login/"):
        answer = strict.post(path, {"name": "x", "theme": "dark"})
        assert answer.status_code == 403
        assert "Please try again" in answer.text
    assert strict.get("/accounts/").text.count("Signed in") == 1


# --- API keys ---


def test_a_keys_secret_is_shown_once(web: Client, ann: User) -> None:
    page = web.post("/accounts/keys/", {"name": "laptop"})
    found = re.search(r'value="(cs-[^"]+)"', page.text)
    assert found
    assert keys.user_of(found[1]) == ann
    assert "no-store" in page.headers["Cache-Control"]
    again = web.get("/accounts/").text
    assert found[1] not in again
    assert "laptop" in again
    assert found[1][:8] in again


@pytest.mark.parametrize("name", ["", "   ", "x" * 81])
def test_a_key_needs_a_name(web: Client, ann: User, name: str) -> None:
    page = web.post("/accounts/keys/", {"name": name})
    assert page.status_code == 400
    assert 'role="alert"' in page.text
    assert not ApiKey.objects.exists()


def test_keys_are_bounded(web: Client, ann: User, monkeypatch: Any) -> None:
    monkeypatch.setattr(forms, "MAX_KEYS", 1)
    first, _ = keys.create(ann, "first")
    assert "revoke one first" in web.post("/accounts/keys/", {"name": "second"}).text
    keys.revoke(first)
    assert web.post("/accounts/keys/", {"name": "second"}).status_code == 200


def test_revoking_asks_first(web: Client, ann: User) -> None:
    key, secret = keys.create(ann, "<b>laptop</b>")
    address = f"/accounts/keys/{key.pk}/revoke/"
    assert "&lt;b&gt;laptop&lt;/b&gt;" in web.get(address).text
    assert keys.user_of(secret) == ann
    assert web.post(address).url == "/accounts/"
    assert keys.user_of(secret) is None
    assert web.post(address).status_code == 404


def test_somebody_elses_key_cannot_be_revoked(web: Client, ann: User) -> None:
    key, secret = keys.create(User.objects.create_user("bob"), "his")
    assert web.get(f"/accounts/keys/{key.pk}/revoke/").status_code == 404
    assert web.post(f"/accounts/keys/{key.pk}/revoke/").status_code == 404
    assert keys.user_of(secret) is not None
    assert "his" not in web.get("/accounts/").text


# --- language and theme ---


def test_the_language_follows_the_browser_and_then_the_choice(web: Client) -> None:
    english = web.get("/", headers={"Accept-Language": "fr, en;q=0.5"})
    assert '<html lang="en"' in english.text
    japanese = web.get("/", headers={"Accept-Language": "ja"})
    assert '<html lang="ja"' in japanese.text
    assert "新しいチャット" in japanese.text
    assert web.post("/preferences/", {"language": "ja", "next": "/accounts/"}).url == "/accounts/"
    assert "ログインしていません" in web.get("/accounts/").text
    web.post("/preferences/", {"language": "en", "next": "/"})
    assert '<html lang="en"' in web.get("/", headers={"Accept-Language": "ja"}).text


@pytest.mark.parametrize("language", ["xx", "", "../../etc", "ja\r\nSet-Cookie: a=b"])
def test_no_other_language_is_taken(web: Client, language: str) -> None:
    web.post("/preferences/", {"language": language, "next": "/"})
    assert "django_language" not in web.cookies


def test_the_theme_is_in_the_page_from_the_start(web: Client) -> None:
    assert "data-theme" not in web.get("/").text
    web.post("/preferences/", {"theme": "dark", "next": "/"})
    assert 'data-theme="dark"' in web.get("/").text
    web.post("/preferences/", {"theme": "system", "next": "/"})
    assert "data-theme" not in web.get("/").text
    web.cookies["theme"] = '"><script>'
    assert "data-theme" not in web.get("/").text


def test_choosing_does_not_lead_elsewhere(web: Client) -> None:
    answer = web.post("/preferences/", {"theme": "dark", "next": "https://evil.example/"})
    assert answer.url == "/"
    assert web.get("/preferences/").status_code == 405


# --- headers ---


@pytest.mark.parametrize("path", ["/", "/accounts/", "/accounts/login/", "/admin/login/", "/none/"])
def test_every_page_has_its_policy(web: Client, path: str) -> None:
    page = web.get(path)
    policy = page.headers["Content-Security-Policy"]
    directives = dict(part.strip().split(" ", 1) for part in policy.split(";"))
    assert directives["default-src"] == "'none'"
    assert directives["script-src"] == directives["style-src"] == "'self'"
    assert "unsafe" not in policy
    assert page.headers["Referrer-Policy"] == "same-origin"
    assert page.headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert "camera=()" in page.headers["Permissions-Policy"]
    assert page.headers["X-Frame-Options"] == "DENY"
    assert not re.search(
        r"<style|\sstyle=|<script(?![^>]*(src=|application/json))|\son\w+=", page.text
    )
