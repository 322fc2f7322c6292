"""What the drawer and the account's page say and keep of instructions."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth.models import User
from django.test import Client

from streaming.identity.owners import owner_of_user
from streaming.models import AccountInstructions, Conversation
from tests.integration.conftest import owner_of

pytestmark = pytest.mark.django_db

BRIEF = "Be brief.\nBe kind."


@pytest.fixture
def client() -> Client:
    """A browser, where the others of this folder connect sockets."""
    return Client()


@pytest.fixture
def ada(client: Client) -> User:
    user = User.objects.create_user("ada")
    client.force_login(user)
    return user


def of(owner: str, user: User | None = None, **fields: Any) -> Conversation:
    return Conversation.objects.create(owner=owner, user=user, title="x", **fields)


def kept(user: User) -> list[str]:
    return list(AccountInstructions.objects.filter(user=user).values_list("text", flat=True))


def test_the_drawer_keeps_those_of_an_account(client: Client, ada: User) -> None:
    told = client.get("/instructions/").json()
    assert told == {"account": "", "conversation": None, "limit": 4000, "operator": False}
    assert client.post("/instructions/", {"text": BRIEF}).status_code == 204
    assert client.get("/instructions/").json()["account"] == BRIEF
    assert client.post("/instructions/", {"text": " \n"}).status_code == 204
    assert kept(ada) == []
    html = client.get("/drawer/").content.decode()
    assert 'id="i-account"' in html


def test_the_drawer_keeps_those_of_a_conversation(client: Client, ada: User) -> None:
    row = of(owner_of_user(ada), ada)
    used_at = row.updated_at
    address, told = f"/c/{row.pk}/instructions/", f"/instructions/?conversation={row.pk}"
    assert client.get(told).json()["conversation"] is None
    for fields, own in (({"text": BRIEF}, BRIEF), ({"text": ""}, ""), ({"inherits": "1"}, None)):
        assert client.post(address, fields).status_code == 204
        assert client.get(told).json()["conversation"] == own
    row.refresh_from_db()
    assert row.updated_at == used_at


def test_nobody_else_reads_or_changes_them(client: Client, ada: User) -> None:
    row = of("visitor:somebody", instructions=BRIEF)
    for pk in (row.pk, uuid4()):
        assert client.get(f"/instructions/?conversation={pk}").json()["conversation"] is None
        assert client.post(f"/c/{pk}/instructions/", {"text": "Mine."}).status_code == 404
    assert client.get("/instructions/?conversation=nonsense").status_code == 404
    row.refresh_from_db()
    assert row.instructions == BRIEF


def test_a_visitor_has_those_of_a_conversation_alone(client: Client, chatstream: Any) -> None:
    chatstream(instructions="House rules.")
    client.get("/")
    told = client.get("/instructions/").json()
    assert (told["account"], told["operator"]) == (None, True)
    assert "House rules." not in str(told)
    assert client.post("/instructions/", {"text": BRIEF}).status_code == 401
    row = of(owner_of(client))
    assert client.post(f"/c/{row.pk}/instructions/", {"text": BRIEF}).status_code == 204
    assert 'id="i-account"' not in client.get("/drawer/").content.decode()


def test_who_must_sign_in_is_told_nothing(client: Client, chatstream: Any) -> None:
    chatstream(anonymous=False)
    for address in ("/instructions/", "/drawer/"):
        assert client.get(address).status_code == 401


def test_what_is_too_long_is_refused_and_stays_in_the_form(
    client: Client, ada: User, chatstream: Any
) -> None:
    chatstream(max_instructions_chars=10)
    row = of(owner_of_user(ada), ada)
    for address in ("/instructions/", f"/c/{row.pk}/instructions/"):
        refused = client.post(address, {"text": "x" * 11})
        assert refused.status_code == 400
        assert "11 characters; at most 10" in refused.json()["message"]
    page = client.post("/accounts/instructions/", {"text": "<b>" + "x" * 8})
    assert page.status_code == 400
    html = page.content.decode()
    assert "11 characters; at most 10" in html
    assert "&lt;b&gt;xxxxxxxx</textarea>" in html
    assert kept(ada) == []
    # A line break that a form sends as two characters counts as one.
    assert client.post("/accounts/instructions/", {"text": "12345\r\n789"}).status_code == 302
    assert kept(ada) == ["12345\n789"]


def test_the_accounts_page_has_them_without_a_script(client: Client, ada: User) -> None:
    saved = client.post("/accounts/instructions/", {"text": "<i>Be\x00 brief."}, follow=True)
    html = saved.content.decode()
    assert "Your instructions were saved." in html
    assert "&lt;i&gt;Be brief.</textarea>" in html
    assert client.get("/instructions/").json()["account"] == "<i>Be brief."
    ada.delete()
    assert AccountInstructions.objects.count() == 0
    client.logout()
    assert client.post("/accounts/instructions/", {"text": "x"}).status_code == 302
    assert AccountInstructions.objects.count() == 0


def test_the_empty_page_offers_what_the_operator_says(client: Client, chatstream: Any) -> None:
    html = client.get("/").content.decode()
    assert html.count('class="starter"') == 4
    japanese = client.get("/", headers={"accept-language": "ja"}).content.decode()
    assert "空が青い理由" in japanese
    chatstream(starters='["<One>?", "Two?"]')
    html = client.get("/").content.decode()
    assert html.count('class="starter"') == 2
    assert "&lt;One&gt;?" in html
    chatstream(starters="[]")
    assert 'id="starters"' not in client.get("/").content.decode()
