"""Whatever the case and the script: searches, and names that are taken, on SQLite.

PostgreSQL folds letters by the locale that its cluster was made with; that of the tests has none.
"""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client

from streaming.accounts.forms import SignUpForm
from streaming.admin.search import condition
from streaming.models import Conversation, Message
from streaming.record.any_case import glob_of
from tests.integration.conftest import owner_of

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(connection.vendor != "sqlite", reason="its locale says how letters fold"),
]

PAIRS = [
    ("ÄPFEL", "äpfel"),
    ("Привет", "ПРИВЕТ"),
    ("ΟΔΟΣ", "οδος"),  # with the sigma of a word's end
    ("οδος", "ΟΔΟΣ"),
    ("οδοσ", "οδος"),
    ("ՀԱՅԵՐԵՆ", "հայերեն"),
    ("ＡＢＣ", "ａｂｃ"),
    ("𐐀𐐁", "𐐨𐐩"),  # Deseret, beyond the first plane
    ("ĲSSEL", "ĳssel"),
    ("Straße", "STRAẞE"),
    ("日本語 ABC", "日本語 abc"),
]


@pytest.mark.parametrize(("written", "searched"), PAIRS)
@pytest.mark.parametrize("where", ["title", "text"])
def test_the_side_list_finds_it(written: str, searched: str, where: str) -> None:
    client = Client()
    client.get("/")
    row = Conversation.objects.create(
        owner=owner_of(client), title=f"über {written}!" if where == "title" else "x"
    )
    text = f"früher {written}, später" if where == "text" else "y"
    Message.objects.create(conversation=row, role="user", content=text)
    Conversation.objects.create(owner=owner_of(client), title="another")
    for query in (written, searched):
        page = client.get("/conversations/", {"q": query}).text
        assert page.count('class="side-item"') == 1, query
    assert "Nothing found" in client.get("/conversations/", {"q": searched + "q"}).text


@pytest.mark.parametrize(("written", "searched"), PAIRS)
def test_the_admin_finds_it(written: str, searched: str) -> None:
    row = Conversation.objects.create(owner="visitor:1", title=f"on {written}")
    found = condition(f'"{searched}"', ids=(), owner="owner", texts=("title",))
    assert list(Conversation.objects.filter(found)) == [row]


def test_the_admin_finds_accounts(admin_client: Client) -> None:
    User.objects.create_user("Äpfel-Ömer")
    for path in ("/admin/auth/user/", "/admin/streaming/apikey/"):
        assert admin_client.get(path, {"q": "äPFEL-öMER"}).status_code == 200
    assert "Äpfel-Ömer" in admin_client.get("/admin/auth/user/", {"q": "äPFEL-öMER"}).text


def test_a_name_in_another_case_is_taken(rf: Any) -> None:
    User.objects.create_user("Äpfel")
    fields = {"username": "äPFEL", "password1": "correct horse", "password2": "correct horse"}
    form = SignUpForm(fields, request=rf.post("/"))
    assert not form.is_valid()
    assert "username" in form.errors


SIGNS = ["ä*b", "ä?b", "ä[b]", "ä]b[", "ä%b", "ä_b", "ä\\b", "ä-b", "ä^b"]


@pytest.mark.parametrize("signs", SIGNS)
def test_signs_of_patterns_are_letters(signs: str) -> None:
    row = Conversation.objects.create(owner="v", title=f"so {signs} is")
    Conversation.objects.create(owner="v", title="so äxb is ab äb äb]")
    assert list(Conversation.objects.filter(title__icontains=signs.upper())) == [row]


def test_the_other_lookups() -> None:
    row = Conversation.objects.create(owner="v", title="Ärger im Büro")
    titles = Conversation.objects.filter
    assert list(titles(title__iexact="äRGER IM BÜRO")) == [row]
    assert list(titles(title__istartswith="äRGER")) == [row]
    assert list(titles(title__iendswith="BÜRO")) == [row]
    for wrong in ({"iexact": "ärger"}, {"istartswith": "büro"}, {"iendswith": "ärger"}):
        assert not titles(**{f"title__{name}": text for name, text in wrong.items()})
    assert not titles(title__icontains="ä" * 20_000)


def test_a_pattern_stays_small() -> None:
    assert len(glob_of("σ" * 200)) == 1000
    assert glob_of("日本") == "日本"
