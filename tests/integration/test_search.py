"""The side list's search: what it finds, where it leads, and the index that makes it fast."""

from __future__ import annotations

import html as html_of
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.db import DatabaseError, connection
from django.test import Client

from streaming.models import Conversation, Message, Response, Status
from streaming.record import deletion, endings, search_index
from streaming.record.output import Output
from streaming.record.search import Search, pattern_of, terms_of
from tests.integration.conftest import owner_of
from tests.integration.test_conversations import new, titles

pytestmark = pytest.mark.django_db(transaction=True)

on_sqlite = pytest.mark.skipif(connection.vendor != "sqlite", reason="PostgreSQL keeps its own")


@pytest.fixture
def web() -> Client:
    """A visitor's browser."""
    browser = Client()
    browser.get("/")
    return browser


def turn(row: Conversation, prompt: str, answer: str, **fields: Any) -> Response:
    """A prompt with its answer."""
    asked = Message.objects.create(conversation=row, role="user", content=prompt)
    said = Message.objects.create(conversation=row, role="assistant", content=answer, parent=asked)
    values = {"status": Status.COMPLETED, "message": said, "text": answer, **fields}
    return Response.objects.create(conversation=row, prompt=asked, owner=row.owner, **values)


def search(web: Client, query: str) -> str:
    answer = web.get("/conversations/", {"q": query})
    assert answer.status_code == 200
    return answer.text


def found(web: Client, query: str) -> list[str]:
    return titles(search(web, query))


def places(html: str) -> list[tuple[str, str]]:
    """The addresses and the texts of what was found."""
    pattern = r'class="side-found" href="([^"]+)" dir="auto">(.*?)</a>'
    return [(html_of.unescape(url), text) for url, text in re.findall(pattern, html)]


TEXTS = [
    "Where does the Shinkansen to Kyōto leave?",
    "東京駅からです。",
    "Die Größe zählt",
    "a_b 100% [x]",
]
QUERIES = {
    "shinkansen": True,
    "SHINK": True,
    "leave shinkansen": True,
    '"does the"': True,
    '"the does"': False,
    "東京": True,
    "京": True,
    "東京駅から": True,
    "京東": False,
    "_b 100%": True,
    "b_": False,
    "[x]": True,
    "ab": False,
    "leave 東京": False,  # in two messages
}


@pytest.mark.parametrize("indexed", [True, False])
def test_words_are_found_in_any_script(web: Client, monkeypatch: Any, indexed: bool) -> None:
    if not indexed:
        monkeypatch.setattr(search_index, "candidates", lambda terms: None)
    row = new(owner_of(web), "Trip")
    for number in range(0, len(TEXTS), 2):
        turn(row, TEXTS[number], TEXTS[number + 1])
    new(owner_of(web), "another")
    assert {query: found(web, query) == ["Trip"] for query in QUERIES} == QUERIES


def test_it_leads_to_the_newest_place(web: Client) -> None:
    row = new(owner_of(web), "title")
    turn(row, "needle", "one", ordinal=1)
    second = turn(row, "two", "hay, a <needle> & more hay", ordinal=2)
    turn(row, "three", "nothing", ordinal=3)
    ((url, text),) = places(search(web, '"<NEEDLE>"'))
    assert url == f"/c/{row.pk}/?leaf={second.pk}&find=%22%3CNEEDLE%3E%22"
    assert text == "hay, a <mark>&lt;needle&gt;</mark> &amp; more hay"
    assert web.get(url).status_code == 200


def test_a_prompt_leads_to_its_newest_answer(web: Client) -> None:
    row = new(owner_of(web), "title")
    first = turn(row, "needle", "one", ordinal=1)
    again = Response.objects.create(
        conversation=row, prompt=first.prompt, owner=row.owner, status=Status.QUEUED, ordinal=2
    )
    ((url, _),) = places(search(web, "needle"))
    assert f"leaf={again.pk}&" in url
    # One that went on and said nothing stands in nobody's place.
    again.delete()
    Response.objects.create(
        conversation=row, prompt=first.prompt, owner=row.owner, status=Status.FAILED,
        continues=first, ordinal=3,
    )  # fmt: skip
    ((url, _),) = places(search(web, "needle"))
    assert f"leaf={first.pk}&" in url


def test_a_message_without_a_response_leads_to_its_conversation(web: Client) -> None:
    row = new(owner_of(web), "title", text="needle")
    assert places(search(web, "needle")) == [(f"/c/{row.pk}/", "<mark>needle</mark>")]


def test_a_snippet_is_short_and_on_one_line(web: Client) -> None:
    row = new(owner_of(web), "title")
    turn(row, "x " * 5000 + "\n\n# A\tneedle\r\nand another NEEDLE " + "y " * 5000, "-")
    ((_, text),) = places(search(web, "needle"))
    assert text.startswith("…x x ")
    assert "# A <mark>needle</mark> and another <mark>NEEDLE</mark> y" in text
    assert text.endswith("…")
    assert len(text) < 250


def test_an_earlier_turn_is_on_the_page_that_it_leads_to(web: Client) -> None:
    row = new(owner_of(web), "long")
    previous = None
    for number in range(40):
        previous = turn(
            row, f"Question {number}.", "needle" if number == 3 else "-",
            previous=previous, ordinal=number + 1,
        )  # fmt: skip
    ((url, _),) = places(search(web, "needle"))
    page = web.get(url).text
    assert "Question 3." in page
    assert "Question 2." not in page
    assert "Question 39." in page
    assert "show-earlier" in page
    assert "Question 3." not in web.get(f"/c/{row.pk}/").text


def test_what_is_archived_or_filed_is_found_and_marked(web: Client) -> None:
    for title, fields in {"a": {"archived": True}, "b": {"folder": "<Box>"}, "c": {}}.items():
        row = new(owner_of(web), title, text="needle")
        Conversation.objects.filter(pk=row.pk).update(**fields)
    html = search(web, "needle")
    assert titles(html) == ["c", "b", "a"]
    assert re.findall(r'class="side-badge"[^>]*>([^<]*)<', html) == ["&lt;Box&gt;", "Archived"]


def test_others_and_programs_texts_are_not_found(web: Client) -> None:
    new("visitor:else", "theirs", text="needle")
    program = Conversation.objects.create(owner=owner_of(web), title="needle", source="api")
    Message.objects.create(conversation=program, role="user", content="needle")
    row = new(owner_of(web), "title")
    Message.objects.create(conversation=row, role="system", content="needle")
    assert found(web, "needle") == []


HOSTILE = [
    '"', '""', '"" ""', "''", "a\0b", "\0", " \t\n ", "AND", "a AND", "NOT (", "NEAR(a b, 3)",
    "a*", "^a", "-a", "col:x", "{a b}:c", "a + b", "a; DROP TABLE streaming_message", "%", "_",
    "\\", "*?[", "(a+)+$", "(?P<x>", "[[:alpha:]]", "\ud83d", "🙂" * 150, "x" * 10_000,
    "a " * 5_000, '"a ' * 3_000, "ΐΐΐ", "σςΣ" * 60, "İıẞß", "\u202eabc", "ﷺ" * 70, "é" * 200,
]  # fmt: skip


@pytest.mark.parametrize("query", HOSTILE, ids=range(len(HOSTILE)))
def test_a_hostile_query_is_only_text(web: Client, query: str) -> None:
    row = new(owner_of(web), "title")
    turn(row, "something else", "entirely")
    query = query.encode("utf-8", "surrogatepass").decode("utf-8", "replace")
    html = search(web, query)
    assert "<mark>" not in html or "<mark>a" in html.lower()
    # And as a text it finds itself.
    if wanted := " ".join(query.replace("\0", "").split())[:200]:
        new(owner_of(web), "itself", text=wanted)
        assert "itself" in found(web, query)


def test_words_of_a_query() -> None:
    assert terms_of('one  "two  three" fo"ur five') == ["one", "two  three", "fo", "ur five"]
    assert terms_of("a a A") == ["a", "A"]
    assert terms_of('""') == ['""']
    assert terms_of(" ") == []
    assert pattern_of(["ab", "abc"]).findall("xABCab") == ["ABC", "ab"]
    assert pattern_of(["οδος"]).search("ΟΔΟΣ")


def test_the_expression_is_bounded() -> None:
    assert search_index.match_of(["ab", "東京"]) == ""
    assert search_index.match_of(["abc"]) == '("abc")'
    assert search_index.match_of(['a"b']) == '("a""b")'
    assert len(search_index.match_of(["ΐ" * 200, "σ" * 200, "x" * 200])) < 5_000


# --- the index follows the record ---


def indexed() -> set[str]:
    """The ids of the messages that the index names, by its own tables."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT message FROM streaming_search_rows")
        rows = {message for (message,) in cursor.fetchall()}
        cursor.execute("SELECT count(*) FROM streaming_search")
        assert cursor.fetchone()[0] == len(rows)
        # It raises for an index that does not agree with itself.
        cursor.execute("INSERT INTO streaming_search(streaming_search) VALUES('integrity-check')")
    return rows


def named(term: str) -> int:
    """How many messages the index names."""
    ids = search_index.candidates([term])
    assert ids is not None
    return len(ids)


@on_sqlite
def test_the_index_follows_what_is_written(web: Client) -> None:
    row = new(owner_of(web), "title")
    message = Message.objects.create(conversation=row, role="user", content="first needle")
    other = Message.objects.create(conversation=row, role="user", content="another")
    assert indexed() == {message.pk.hex, other.pk.hex}
    assert named("needle") == 1
    message.content = "second thread"
    message.save(update_fields=["content"])
    assert (named("needle"), named("thread")) == (0, 1)
    Message.objects.filter(pk=message.pk).update(searchable=False)
    assert indexed() == {other.pk.hex}
    Message.objects.filter(pk=message.pk).update(searchable=True)
    Message.objects.bulk_create(
        Message(conversation=row, role="user", content=f"many {n}") for n in range(3)
    )
    assert (named("thread"), named("many")) == (1, 3)


def test_what_is_deleted_is_not_found_any_more(web: Client) -> None:
    rows = [new(owner_of(web), f"title {number}", text="needle one") for number in range(3)]
    assert found(web, "needle") == ["title 2", "title 1", "title 0"]
    rows[0].messages.all().delete()
    deletion.delete(Conversation.objects.filter(pk=rows[1].pk))
    assert found(web, "needle") == ["title 2"]
    assert web.post(f"/conversations/{rows[2].pk}/delete/").status_code == 204
    assert found(web, "needle") == []
    if connection.vendor == "sqlite":
        assert indexed() == set()
        assert named("needle") == 0


@on_sqlite
def test_what_is_there_already_is_indexed_in_batches(web: Client, monkeypatch: Any) -> None:
    row = new(owner_of(web), "title")
    Message.objects.bulk_create(
        Message(conversation=row, role="user", content=f"needle {n}") for n in range(12)
    )
    Message.objects.create(conversation=row, role="user", content="needle", searchable=False)
    with connection.cursor() as cursor:  # as by a migration that made the table anew
        for name in ("inserted", "deleted", "changed"):
            cursor.execute(f"DROP TRIGGER streaming_search_{name}")
    Message.objects.filter(content="needle 3").delete()
    assert search_index.candidates(["needle"]) is None
    assert found(web, "needle 11") == ["title"]  # without it
    monkeypatch.setattr(search_index, "_BATCH", 5)
    batches: list[int] = []
    index = search_index._index

    def count(database: Any, ids: list[str]) -> None:
        batches.append(len(ids))
        if len(batches) == 2:
            raise DatabaseError("killed")
        index(database, ids)

    monkeypatch.setattr(search_index, "_index", count)
    call_command("migrate", verbosity=0, interactive=False)  # it goes on where it can
    assert search_index.candidates(["needle"]) is None
    call_command("migrate", verbosity=0, interactive=False)
    assert batches == [5, 5, 5, 1]
    assert named("needle") == 11
    assert len(indexed()) == 11


@on_sqlite
def test_an_sqlite_without_fts5_is_searched_all_the_same(
    web: Client, monkeypatch: Any, caplog: Any
) -> None:
    row = new(owner_of(web), "title", text="needle")
    with monkeypatch.context() as patch:
        patch.setattr(search_index, "has_fts", lambda database: False)
        with caplog.at_level("INFO", "streaming.record.search_index"):
            call_command("migrate", verbosity=0, interactive=False)
        assert "no FTS5" in caplog.text
        assert search_index.candidates(["needle"]) is None
        Message.objects.create(conversation=row, role="user", content="written without it")
        assert found(web, "needle") == found(web, "without it") == ["title"]
    call_command("migrate", verbosity=0, interactive=False)
    assert named("without it") == 1
    assert named("needle") == 1


@on_sqlite
def test_too_many_candidates_are_not_asked_one_by_one(web: Client, monkeypatch: Any) -> None:
    monkeypatch.setattr(search_index, "MOST_CANDIDATES", 2)
    for number in range(3):
        new(owner_of(web), f"title {number}", text=f"needle {number}")
    assert search_index.candidates(["needle"]) is None
    assert len(found(web, "needle")) == 3
    assert found(web, '"needle 1"') == ["title 1"]


def test_other_tables_can_be_made_anew_beside_the_index(web: Client) -> None:
    """SQLite refuses that for a table that a trigger of another one names."""
    row = new(owner_of(web), "title", text="needle")
    field = Conversation._meta.get_field("title")
    wider = type(field)(max_length=130, blank=True)
    wider.set_attributes_from_name("title")
    with connection.schema_editor() as editor:
        editor.alter_field(Conversation, field, wider)
        editor.alter_field(Conversation, wider, field)
    assert found(web, "needle") == ["title"]
    assert row.messages.count() == 1


def test_an_answer_of_a_program_is_not_indexed() -> None:
    row = Conversation.objects.create(owner="user:1", source="api")
    prompt = Message.objects.create(
        conversation=row, role="user", content="needle", searchable=False
    )
    response = Response.objects.create(
        conversation=row, prompt=prompt, owner=row.owner, status=Status.IN_PROGRESS
    )
    ending = endings.Ending(Status.COMPLETED, "stop", Output("needle too"))
    endings.end.func([response.pk], ending)
    assert list(Message.objects.values_list("searchable", flat=True)) == [False, False]
    assert not Search(row.owner, "needle").newest_in([row])


MIGRATE_BACK = """
import django
django.setup()
from django.core.management import call_command
for target in ([], ["streaming", "0011"], []):
    call_command("migrate", *target, verbosity=0, interactive=False)
from django.db import connection
from streaming.record import search_index
assert search_index._is_whole(connection)
"""


@on_sqlite
def test_an_indexed_database_can_be_migrated_back(tmp_path: Path) -> None:
    """As before an earlier version is installed again; then forward, with the index."""
    ours = {"CHATSTREAM_DATA_DIR": str(tmp_path), "DATABASE_URL": "", "REDIS_URL": ""}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", MIGRATE_BACK],
        env={**os.environ, **ours},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
