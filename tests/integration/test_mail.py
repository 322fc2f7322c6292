"""The e-mail address of an account, and a forgotten password."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.forms import SetPasswordForm
from django.contrib.auth.models import User
from django.core import mail as outgoing
from django.core.mail.backends.locmem import EmailBackend
from django.test import Client

from streaming.accounts import email_address, mail
from streaming.accounts.attempt_limits import Limit
from streaming.accounts.hashing import BusyError
from tests.integration.test_guard import PASSWORD, open_socket, signed_in

pytestmark = pytest.mark.django_db(transaction=True)

__all__ = ["open_socket"]

NEW = "another horse battery"
OFF = "django.core.mail.backends.dummy.EmailBackend"
FORGOTTEN = "/accounts/password/forgotten/"


@pytest.fixture(autouse=True)
def sent() -> Iterator[None]:
    yield
    mail.SENDER.wait()


def mails() -> list[Any]:
    """What was sent."""
    mail.SENDER.wait()
    return list(outgoing.outbox)


def link_in(message: Any) -> str:
    """The path of the one link."""
    found = re.findall(r"http://testserver(/\S+)", message.body)
    assert len(found) == 1
    return str(found[0])


@pytest.fixture
def ann() -> User:
    return User.objects.create_user("ann", "ann@here.example", PASSWORD)


def ask(browser: Client, address: str) -> Any:
    return browser.post(FORGOTTEN, {"email": address})


def set_password(browser: Client, link: str, password: str = NEW) -> Any:
    """Open a mailed link, and fill in its form."""
    page = browser.get(link, follow=True)
    assert page.status_code == 200
    there = page.redirect_chain[-1][0]
    return browser.post(there, {"new_password1": password, "new_password2": password})


# --- a forgotten password ---


def test_a_mailed_link_sets_a_new_password_once(ann: User) -> None:
    stranger = Client()
    assert ask(stranger, "ANN@here.example").url == f"{FORGOTTEN}mailed/"
    (message,) = mails()
    assert message.to == ["ann@here.example"]
    assert "ann" in message.body
    link = link_in(message)
    answer = set_password(stranger, link)
    assert (answer.status_code, answer.url) == (302, "/accounts/login/")
    assert "Your new password is set" in stranger.get("/accounts/login/").text
    assert "does not work any more" in Client().get(link, follow=True).text
    assert stranger.post("/accounts/login/", {"username": "ann", "password": NEW}).url == "/"


async def test_all_sessions_and_sockets_end_with_it(ann: User, open_socket: Any) -> None:
    browser = await sync_to_async(signed_in)()
    socket = await open_socket("/ws/chat/", browser)
    await sync_to_async(ask)(browser, "ann@here.example")
    link = link_in((await sync_to_async(mails)())[0])
    await sync_to_async(set_password)(Client(), link)
    assert await socket.ends() == ("session_changed", 4409)
    assert "You are not signed in" in (await sync_to_async(browser.get)("/accounts/")).text


def test_nobody_learns_who_has_an_account(ann: User) -> None:
    User.objects.create_user("idle", "idle@here.example", PASSWORD, is_active=False)
    User.objects.create_user("bare", "bare@here.example")
    pages = []
    for name in ("ann", "idle", "bare", "nobody"):
        browser = Client()
        answer = browser.post(FORGOTTEN, {"email": f"{name}@here.example"}, follow=True)
        text = re.sub(r'value="[^"]*"', "", answer.text)
        pages.append((answer.status_code, answer.redirect_chain, text))
    assert pages[1:] == pages[:1] * 3
    assert [message.to for message in mails()] == [["ann@here.example"]]


@pytest.mark.parametrize("address", ["ann@here.example", "nobody@here.example"])
def test_no_mailbox_is_filled(ann: User, monkeypatch: Any, address: str) -> None:
    monkeypatch.setattr(mail, "TO_ADDRESS", Limit("test", bound=2, seconds=60))
    for _ in range(2):
        assert ask(Client(), address).status_code == 302
    assert "Too many mails" in ask(Client(), address.upper()).text
    assert len(mails()) == (2 if address.startswith("ann") else 0)


def test_one_network_asks_for_few(ann: User, monkeypatch: Any) -> None:
    monkeypatch.setattr(mail, "FROM_ADDRESS", Limit("test", bound=2, seconds=60))
    for number in range(2):
        ask(Client(), f"a{number}@here.example")
    assert "Too many mails" in ask(Client(), "ann@here.example").text
    assert mails() == []


def test_a_link_ends_with_the_address_and_the_password(ann: User) -> None:
    for change in ({"email": "new@here.example"}, {"password": "other"}):
        ask(Client(), ann.email)
        User.objects.filter(pk=ann.pk).update(**change)
        page = Client().get(link_in(mails()[-1]), follow=True)
        assert "does not work any more" in page.text
        User.objects.filter(pk=ann.pk).update(email=ann.email)


@pytest.mark.parametrize("path", ["password/new/x/y-z/", "password/new/MQ/set-password/"])
def test_a_made_up_link_does_not_work(ann: User, path: str) -> None:
    assert "does not work any more" in Client().get(f"/accounts/{path}", follow=True).text


def test_a_busy_server_says_so(ann: User, monkeypatch: Any) -> None:
    ask(Client(), ann.email)

    def busy(*args: Any) -> None:
        raise BusyError

    stranger = Client()
    monkeypatch.setattr(SetPasswordForm, "save", busy)
    assert "Try again in a moment" in set_password(stranger, link_in(mails()[0])).text


@pytest.mark.parametrize("contact", ["", "help@here.example", "<b>the porter</b>"])
def test_without_mail_it_says_whom_to_ask(
    ann: User, settings: Any, chatstream: Any, contact: str
) -> None:
    settings.EMAIL_BACKEND = OFF
    chatstream(contact=contact)
    for page in (Client().get(FORGOTTEN), ask(Client(), "ann@here.example")):
        assert "No e-mail can be sent from this site" in page.text
        assert 'name="email"' not in page.text
        assert "<b>" not in page.text
        said = {"help@here.example": "mailto:help@here.example", "": "Ask whoever runs"}
        assert said.get(contact, "&lt;b&gt;the porter") in page.text
    signup = Client().get("/accounts/signup/").text
    assert 'name="address"' not in signup
    assert "No e-mail can be sent" in signed_in().get("/accounts/").text


def test_a_mail_server_that_is_away_holds_up_nobody(
    ann: User, monkeypatch: Any, caplog: Any
) -> None:
    def away(self: Any, messages: Any) -> int:
        raise OSError("away: ann@here.example")

    monkeypatch.setattr(EmailBackend, "send_messages", away)
    assert ask(Client(), "ann@here.example").status_code == 302
    mail.SENDER.wait()
    assert [line for line in caplog.messages if "mail" in line] == [
        "A mail could not be sent: OSError"
    ]


def test_mails_are_bounded_at_a_time(ann: User, monkeypatch: Any, caplog: Any) -> None:
    monkeypatch.setattr(mail, "SENDER", mail.Sender(bound=0))
    assert ask(Client(), "ann@here.example").status_code == 302
    assert mails() == []
    assert "A mail was not sent" in caplog.text


# --- the account's address ---


def give(browser: Client, address: str, password: str = PASSWORD) -> Any:
    return browser.post("/accounts/email/", {"email": address, "password": password})


def test_an_address_is_the_accounts_when_its_link_was_opened(ann: User) -> None:
    browser = signed_in()
    assert give(browser, "new@here.example").url == "/accounts/"
    page = browser.get("/accounts/").text
    assert "Not confirmed yet: new@here.example." in page
    assert "E-mail: ann@here.example" in page
    (message,) = mails()
    assert message.to == ["new@here.example"]
    link = link_in(message)
    elsewhere = Client()  # the mail is read on the phone
    assert "new@here.example becomes the address" in elsewhere.get(link).text
    assert User.objects.get().email == "ann@here.example"  # a mail program has looked
    assert elsewhere.post(link).status_code == 302
    assert User.objects.get().email == "new@here.example"
    assert "Not confirmed yet" not in browser.get("/accounts/").text
    assert [each.to for each in mails()[1:]] == [["ann@here.example"]]  # who is told
    assert elsewhere.post(link).status_code == 404
    assert "does not work any more" in elsewhere.get(link).text


def test_changing_it_takes_the_password(ann: User) -> None:
    browser = signed_in()
    answer = give(browser, "new@here.example", "wrong")
    assert answer.status_code == 400
    assert "This is not your password." in answer.text
    assert give(browser, "no address").status_code == 400
    assert mails() == []


def test_it_can_be_taken_away_also_without_mail(ann: User, settings: Any) -> None:
    settings.EMAIL_BACKEND = OFF
    browser = signed_in()
    assert "You can take yours away." in browser.get("/accounts/email/").text
    assert give(browser, "new@here.example").url == "/accounts/"
    assert User.objects.get().email == ""
    assert 'name="email"' not in browser.get("/accounts/email/").text


@pytest.mark.parametrize("change", [{"password": "x"}, {"email": "x@here.example"}])
def test_its_link_ends_with_either(ann: User, change: Any) -> None:
    token = email_address.token_of(ann, "new@here.example")
    User.objects.filter(pk=ann.pk).update(**change)
    assert Client().post(f"/accounts/email/confirm/{token}/").status_code == 404


@pytest.mark.parametrize("token", ["x", "a:b:c", "x" * 2000])
def test_a_forged_link_confirms_nothing(ann: User, token: str) -> None:
    assert Client().post(f"/accounts/email/confirm/{token}/").status_code == 404


def test_signing_up_may_give_one(db: None) -> None:
    browser = Client()
    fields = {"username": "bo", "password1": PASSWORD, "password2": PASSWORD}
    browser.post("/accounts/signup/", {**fields, "address": "bo@here.example"})
    assert User.objects.get().email == ""
    browser.post(link_in(mails()[0]))
    assert User.objects.get().email == "bo@here.example"
