"""Pinned, filed and archived conversations: what is listed where, and by whom it is changed."""

from __future__ import annotations

import re
import uuid
from typing import Any

import pytest
from django.test import Client

from streaming.models import Conversation, Message, Response, Status
from streaming.pages.conversations import side_list
from tests.integration.conftest import owner_of
from tests.integration.test_conversations import new, titles

pytestmark = pytest.mark.django_db


@pytest.fixture
def web() -> Client:
    """A visitor's browser."""
    browser = Client()
    browser.get("/")
    return browser


def keep(web: Client, row: Conversation, **fields: str) -> Any:
    return web.post(f"/conversations/{row.pk}/keep/", fields)


def groups(html: str) -> dict[str, list[str]]:
    """Titles by their groups."""
    found = re.findall(r'data-group="(\w+)">(.*?)</section>', html, re.S)
    return {key: titles(part) for key, part in found}


def listed(web: Client, **query: Any) -> dict[str, list[str]]:
    return groups(web.get("/conversations/", query).text)


def test_each_stands_in_one_place(web: Client) -> None:
    owner = owner_of(web)
    plain, pinned, filed, old, both = (
        new(owner, title) for title in ("plain", "pinned", "filed", "old", "both")
    )
    assert keep(web, pinned, pinned="1").status_code == 204
    keep(web, filed, folder="  Taxes \n 2026 ")
    keep(web, both, folder="Taxes 2026", pinned="1")
    keep(web, old, folder="Taxes 2026", archived="1")
    assert listed(web) == {"pinned": ["both", "pinned"], "today": ["plain"]}
    assert groups(web.get("/").text)["pinned"] == ["both", "pinned"]
    assert listed(web, folder="Taxes 2026") == {"shelf": ["filed"]}
    assert listed(web, archived="1") == {"shelf": ["old"]}
    page = web.get("/conversations/").text
    assert re.findall(r'data-folder="(Taxes 2026)"><summary>.*?side-count">(\d+)<', page) == [
        ("Taxes 2026", "1")
    ]
    assert re.findall(r'data-archived="1"><summary>.*?side-count">(\d+)<', page) == ["1"]
    keep(web, old, archived="0")
    keep(web, both, pinned="0")
    assert listed(web, folder="Taxes 2026") == {"shelf": ["both", "old", "filed"]}
    keep(web, filed, folder="")
    assert listed(web)["today"] == ["filed", "plain"]
    assert "Nothing is here any more." in web.get("/conversations/?folder=gone").text
    assert plain.pk


def test_archiving_takes_the_pin_out_and_keeps_the_place(web: Client) -> None:
    row = new(owner_of(web), "first")
    new(owner_of(web), "second")
    keep(web, row, pinned="1")
    keep(web, row, archived="1")
    keep(web, row, archived="0")
    assert listed(web) == {"today": ["second", "first"]}


def test_shelves_are_read_page_by_page(web: Client, monkeypatch: Any) -> None:
    monkeypatch.setattr(side_list, "PAGE_SIZE", 2)
    for number in range(5):
        keep(web, new(owner_of(web), f"title {number}"), archived="1")
    seen: list[str] = []
    html = web.get("/conversations/?archived=1").text
    while True:
        seen += titles(html)
        if not (more := re.search(r'data-after="([^"]+)" data-archived="1"', html)):
            break
        html = web.get("/conversations/", {"archived": "1", "after": more[1]}).text
    assert seen == [f"title {number}" for number in (4, 3, 2, 1, 0)]


def test_a_folders_name_is_a_text(web: Client) -> None:
    row = new(owner_of(web), "title")
    name = "<b>\"&'</b>"
    keep(web, row, folder=name)
    html = web.get("/conversations/").text
    assert "<b>" not in html
    assert 'data-folder="&lt;b&gt;&quot;&amp;&#x27;&lt;/b&gt;"' in html
    assert listed(web, folder=name) == {"shelf": ["title"]}
    answer = keep(web, row, folder="x" * 61)
    assert answer.status_code == 400
    assert "60 characters" in answer.json()["message"]
    assert keep(web, row, folder="𝔘" * 60).status_code == 204


def test_nobody_else_keeps_it(web: Client) -> None:
    rows = [
        new("visitor:else", "theirs"),
        Conversation.objects.create(owner=owner_of(web), title="a program's", source="api"),
    ]
    for row in rows:
        assert keep(web, row, pinned="1", archived="1", folder="mine").status_code == 404
        row.refresh_from_db()
        assert (row.pinned, row.archived, row.folder) == (False, False, "")
    assert web.post(f"/conversations/{uuid.uuid4()}/keep/", {"pinned": "1"}).status_code == 404
    assert web.get(f"/conversations/{rows[0].pk}/keep/").status_code == 405
    mine = new(owner_of(web), "mine")
    assert keep(web, mine, other="1").status_code == 204  # nothing of ours
    strict = Client(enforce_csrf_checks=True)
    assert strict.post(f"/conversations/{mine.pk}/keep/", {"pinned": "1"}).status_code == 403


def test_the_list_says_what_waits_and_runs(web: Client) -> None:
    owner = owner_of(web)
    rows = {
        status: new(owner, status) for status in ("accepting", "queued", "in_progress", "failed")
    }
    rows["both"] = new(owner, "both")
    theirs = new("visitor:else", "theirs")
    opened = [*rows.items(), ("in_progress", rows["both"]), ("in_progress", theirs)]
    for status, row in opened:
        prompt = Message.objects.create(conversation=row, role="user", content="?")
        status = Status.QUEUED if status == "both" else status
        Response.objects.create(conversation=row, prompt=prompt, owner=row.owner, status=status)
    expected = {
        "accepting": "waiting", "queued": "waiting", "in_progress": "running", "both": "running",
    }  # fmt: skip
    said = web.get("/conversations/states/").json()
    assert said == {str(rows[name].pk): state for name, state in expected.items()}
    html = web.get("/conversations/").text
    for name, row in rows.items():
        state = f' data-state="{expected[name]}"' if name in expected else ""
        assert f'data-id="{row.pk}"{state}>' in html


def test_who_must_sign_in_is_told_so(web: Client, settings: Any) -> None:
    settings.CHATSTREAM = {**settings.CHATSTREAM, "anonymous": False}
    assert web.get("/conversations/states/").status_code == 401


def test_what_is_pinned_beyond_the_bound_is_listed_all_the_same(
    web: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after an import: nothing may be found by the search alone."""
    monkeypatch.setattr(side_list, "MOST_PINNED", 2)
    for title in ("first", "second", "third"):
        keep(web, new(owner_of(web), title), pinned="1")
    keep(web, new(owner_of(web), "filed"), pinned="1", folder="mine")
    assert listed(web) == {"pinned": ["filed", "third"], "today": ["second", "first"]}
    keep(web, new(owner_of(web), "fourth"), pinned="1")
    keep(web, new(owner_of(web), "fifth"), pinned="1")
    assert listed(web, folder="mine") == {"shelf": ["filed"]}
    assert "mine" in web.get("/conversations/").text
