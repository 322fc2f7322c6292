"""The side list: found, searched, renamed, deleted, and by nobody but the owner."""

from __future__ import annotations

import re
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import User
from django.db import IntegrityError, OperationalError, transaction
from django.db.models import QuerySet
from django.test import Client
from django.utils import timezone

from streaming.lifecycle import forgetting, reconciler
from streaming.models import Conversation, Message, Response, Status
from streaming.pages.conversations import side_list
from streaming.record import deletion
from tests.integration.conftest import eventually, owner_of
from tests.support.fake_engine import FakeEngine

NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)


@pytest.fixture
def web() -> Client:
    """A visitor's browser."""
    browser = Client()
    browser.get("/")
    return browser


def new(owner: str, title: str, *, text: str = "", age: timedelta = timedelta(0)) -> Conversation:
    row = Conversation.objects.create(owner=owner, title=title)
    Conversation.objects.filter(pk=row.pk).update(updated_at=timezone.now() - age)
    if text:
        Message.objects.create(conversation=row, role="user", content=text)
    return row


def titles(html: str) -> list[str]:
    return re.findall(r'class="side-link"[^>]*>([^<]*)</a>', html)


# --- the list ---


@pytest.mark.django_db
def test_the_newest_is_first_and_others_are_not_there(web: Client) -> None:
    owner = owner_of(web)
    new(owner, "old", age=timedelta(days=1))
    new(owner, "new")
    new(owner, "")
    new("visitor:else", "not mine")
    Conversation.objects.create(owner=owner, title="by a program", source="api")
    assert titles(web.get("/conversations/").text) == ["Untitled", "new", "old"]
    assert titles(web.get("/").text)[:3] == ["Untitled", "new", "old"]


@pytest.mark.django_db
def test_nothing_is_said_of_an_empty_list(web: Client) -> None:
    assert "No conversations yet." in web.get("/conversations/").text
    assert "Nothing found." in web.get("/conversations/?q=x").text


@pytest.mark.django_db
def test_titles_are_text(web: Client) -> None:
    new(owner_of(web), "<script>alert(1)</script>")
    html = web.get("/conversations/").text
    assert "<script" not in html
    assert "&lt;script&gt;" in html


@pytest.mark.django_db
def test_the_open_one_is_marked(web: Client) -> None:
    row = new(owner_of(web), "this one")
    new(owner_of(web), "another")
    marked = re.findall(r'aria-current="page"[^>]*>([^<]*)', web.get(f"/c/{row.pk}/").text)
    assert marked == ["this one"]
    assert 'aria-current="page"' not in web.get("/").text


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("zone", "moment", "group"),
    [
        ("", NOW - timedelta(hours=11), "today"),
        ("", NOW - timedelta(hours=13), "yesterday"),
        ("", NOW - timedelta(days=7), "week"),
        ("", NOW - timedelta(days=8), "older"),
        ("", NOW + timedelta(hours=13), "today"),  # another machine's clock
        ("Asia/Tokyo", NOW - timedelta(hours=11), "today"),  # 10:00 of the same day
        ("Asia/Tokyo", NOW - timedelta(hours=22), "yesterday"),
        ("Pacific/Kiritimati", NOW - timedelta(hours=3), "yesterday"),
        ("../../etc/passwd", NOW - timedelta(hours=13), "yesterday"),  # as in UTC
        ("No/Where", NOW, "today"),
    ],
)
def test_days_are_the_readers(
    web: Client, monkeypatch: Any, zone: str, moment: datetime, group: str
) -> None:
    row = new(owner_of(web), "title")
    Conversation.objects.filter(pk=row.pk).update(updated_at=moment)
    monkeypatch.setattr(side_list.timezone, "now", lambda: NOW)
    web.cookies["timezone"] = zone
    assert re.findall(r'data-group="(\w+)"', web.get("/conversations/").text) == [group]


@pytest.mark.django_db
def test_pages_follow_each_other_without_a_hole(web: Client, monkeypatch: Any) -> None:
    monkeypatch.setattr(side_list, "PAGE_SIZE", 3)
    owner = owner_of(web)
    moment = timezone.now()
    for number in range(8):
        row = new(owner, f"title {number}")
        # Pairs of the very same moment.
        Conversation.objects.filter(pk=row.pk).update(
            updated_at=moment - timedelta(minutes=number // 2)
        )
    seen: list[str] = []
    html = web.get("/conversations/").text
    for _ in range(3):
        seen += titles(html)
        more = re.search(r'data-after="([^"]+)"', html)
        if more:
            html = web.get("/conversations/", {"after": more[1]}).text
    assert sorted(seen) == [f"title {number}" for number in range(8)]
    assert "data-after" not in html


@pytest.mark.django_db
@pytest.mark.parametrize(
    "cursor",
    ["x", "1", "1.", ".", "1.x", f"-1.{uuid.UUID(int=1)}", f"{'9' * 40}.{uuid.UUID(int=1)}", "٣.x"],
)
def test_a_damaged_cursor_is_named(web: Client, cursor: str) -> None:
    answer = web.get("/conversations/", {"after": cursor})
    assert answer.status_code == 400
    assert "Reload" in answer.json()["message"]


@pytest.mark.django_db
def test_search_looks_into_titles_and_texts(web: Client) -> None:
    owner = owner_of(web)
    new(owner, "Bread", text="How long must the dough rest?")
    new(owner, "Kyoto", text="A weekend trip")
    new("visitor:else", "Bread of others")

    def found(query: str) -> list[str]:
        return titles(web.get("/conversations/", {"q": query}).text)

    assert found("bREAD") == ["Bread"]
    assert found("dough") == ["Bread"]
    assert found("  weekend   trip ") == ["Kyoto"]
    assert found("100%") == found("_") == []  # no wildcards
    assert found("\0") == ["Kyoto", "Bread"]  # nothing to search for
    assert found("x" * 5000) == []


# --- rename ---


@pytest.mark.django_db
def test_renaming_keeps_the_place(web: Client) -> None:
    row = new(owner_of(web), "old", age=timedelta(hours=1))
    new(owner_of(web), "newer")
    answer = web.post(f"/conversations/{row.pk}/rename/", {"title": "  a \n new\0 name "})
    assert answer.json() == {"id": str(row.pk), "title": "a new name"}
    assert titles(web.get("/conversations/").text) == ["newer", "a new name"]


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("title", "said"), [("", "empty"), (" \n\0 ", "empty"), ("x" * 121, "120 characters")]
)
def test_bad_titles_are_refused(web: Client, title: str, said: str) -> None:
    row = new(owner_of(web), "kept")
    answer = web.post(f"/conversations/{row.pk}/rename/", {"title": title})
    assert answer.status_code == 400
    assert said in answer.json()["message"]
    row.refresh_from_db()
    assert row.title == "kept"
    assert web.post(f"/conversations/{row.pk}/rename/", {"title": "𝔘" * 120}).status_code == 200


# --- whose it is ---


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("action", ["rename", "delete"])
def test_what_is_not_the_readers_does_not_exist(web: Client, action: str) -> None:
    user = User.objects.create_user("ann")
    rows = [
        new("visitor:else", "kept"),
        new(f"user:{user.pk}", "kept"),
        Conversation.objects.create(owner=owner_of(web), title="kept", source="api"),
    ]
    for pk in [*(row.pk for row in rows), uuid.uuid4()]:
        answer = web.post(f"/conversations/{pk}/{action}/", {"title": "mine now"})
        assert answer.status_code == 404
    assert web.get(f"/conversations/{rows[0].pk}/{action}/").status_code == 405
    assert [row.title for row in Conversation.objects.all()] == ["kept"] * 3


@pytest.mark.django_db(transaction=True)
def test_deleting_needs_the_forms_token(web: Client) -> None:
    strict = Client(enforce_csrf_checks=True)
    strict.get("/")
    row = new(owner_of(strict), "kept")
    assert strict.post(f"/conversations/{row.pk}/delete/").status_code == 403
    token = strict.cookies["csrftoken"].value
    answer = strict.post(f"/conversations/{row.pk}/delete/", headers={"X-CSRFToken": token})
    assert answer.status_code == 204
    assert not Conversation.objects.exists()


# --- deleting while something is open ---


async def open_browser() -> tuple[Client, dict[str, str]]:
    """A browser, and its cookies as its socket has them."""
    browser = Client()
    await sync_to_async(browser.get)("/")
    return browser, {name: morsel.value for name, morsel in browser.cookies.items()}


@pytest.mark.django_db(transaction=True)
async def test_deleting_stops_what_runs_and_what_is_held(
    start_worker: Any, client: Any, layer: Any
) -> None:
    engine = FakeEngine(max_running=1)
    await start_worker(engine)
    browser, cookies = await open_browser()
    chat = await client(cookies=cookies)
    running = await chat.ask("go", params={"max_tokens": 1000})
    await chat.until("response.output_text.delta")
    held = await chat.ask("stop 1", conversation_id=running["conversation_id"])
    kept = await chat.ask("stop 3")
    address = f"/conversations/{running['conversation_id']}/delete/"
    assert (await sync_to_async(browser.post)(address)).status_code == 204
    ends = {}
    while len(ends) < 3:
        done = await chat.end()
        ends[done["response_id"]] = done["status"]
    assert ends == {
        running["response_id"]: "cancelled",
        held["response_id"]: "cancelled",
        kept["response_id"]: "completed",
    }
    assert [str(row.pk) async for row in Response.objects.all()] == [kept["response_id"]]
    await eventually(lambda: is_empty(layer))
    assert not engine.rows


@pytest.mark.django_db(transaction=True)
async def test_what_was_accepted_after_the_cancelling_is_no_orphan(
    start_worker: Any, client: Any, layer: Any, monkeypatch: Any
) -> None:
    engine = FakeEngine(max_running=1)
    await start_worker(engine)
    browser, cookies = await open_browser()
    chat = await client(cookies=cookies)
    running = await chat.ask("go", params={"max_tokens": 1000})
    await chat.until("response.output_text.delta")
    waiting = await chat.ask("stop 1")
    # Both came too late for the cancelling: it looks, and sees nothing yet.
    looked: list[Any] = []
    look = deletion.open_responses

    def look_too_early(rows: Any) -> QuerySet[Response]:
        looked.append(rows)
        return look(rows).none() if len(looked) == 1 else look(rows)

    monkeypatch.setattr(deletion, "open_responses", look_too_early)
    answer = await sync_to_async(browser.post)("/accounts/conversations/delete/")
    assert (answer.status_code, len(looked)) == (302, 2)
    ends = {(await chat.end())["response_id"] for _ in range(2)}
    assert ends == {running["response_id"], waiting["response_id"]}
    await eventually(lambda: is_empty(layer))
    assert not engine.rows
    assert not await Conversation.objects.aexists()


async def _in_its_admin_page(staff: Client, user: User) -> None:
    address = f"/admin/auth/user/{user.pk}/delete/"
    assert (await sync_to_async(staff.post)(address, {"post": "yes"})).status_code == 302


async def _by_the_admins_action(staff: Client, user: User) -> None:
    chosen = {"action": "delete_selected", "_selected_action": [user.pk], "post": "yes"}
    assert (await sync_to_async(staff.post)("/admin/auth/user/", chosen)).status_code == 302


async def _by_a_program(staff: Client, user: User) -> None:
    await user.adelete()


async def _with_many_others(staff: Client, user: User) -> None:
    await User.objects.filter(is_superuser=False).adelete()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    "delete", [_in_its_admin_page, _by_the_admins_action, _by_a_program, _with_many_others]
)
async def test_deleting_an_account_stops_what_it_has_open(
    start_worker: Any, client: Any, layer: Any, monkeypatch: Any, delete: Any
) -> None:
    """At once, not when the reconciler finds no row any more."""

    async def reconcile(layer: Any) -> None:
        pass

    monkeypatch.setattr(reconciler, "reconcile", reconcile)
    engine = FakeEngine(max_running=1, step_seconds=0.05)
    await start_worker(engine)
    ada = await User.objects.acreate_user("ada")
    bob = await User.objects.acreate_user("bob", is_superuser=True)
    chat, others = await client(user=ada), await client(user=bob)
    running = await chat.ask("go", params={"max_tokens": 1000})
    await chat.until("response.output_text.delta")
    waiting = await chat.ask("stop 1")
    held = await chat.ask("stop 1", conversation_id=running["conversation_id"])
    kept = await others.ask("stop 3")
    staff = Client()
    chief = await User.objects.acreate_superuser("chief")
    await sync_to_async(staff.force_login)(chief)
    await delete(staff, ada)
    ends = {}
    while len(ends) < 3:
        done = await chat.end()
        ends[done["response_id"]] = done["status"]
    assert ends == {asked["response_id"]: "cancelled" for asked in (running, waiting, held)}
    assert (await others.end())["status"] == "completed"
    assert [str(row.pk) async for row in Response.objects.all()] == [kept["response_id"]]
    await eventually(lambda: is_empty(layer))
    assert not engine.rows
    assert len(engine.steps) < 1000  # it was not answered to its end


@pytest.mark.django_db(transaction=True)
def test_an_account_that_is_not_deleted_after_all_loses_nothing() -> None:
    ada = User.objects.create_user("ada")
    row = Conversation.objects.create(owner=f"user:{ada.pk}", user=ada)
    prompt = Message.objects.create(conversation=row, role="user", content="hello")
    Response.objects.create(conversation=row, prompt=prompt, owner=row.owner)

    def withdraw(late: Any) -> None:
        raise AssertionError("it is still there")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(forgetting, "withdraw", withdraw)
        with transaction.atomic():
            ada.delete()
            transaction.set_rollback(True)
    assert Response.objects.get().status == Status.ACCEPTING


@pytest.mark.django_db(transaction=True)
async def test_a_place_without_a_row_is_taken_away(
    start_worker: Any, client: Any, layer: Any
) -> None:
    """As when the rows went between a prompt's writing and its place."""
    engine = FakeEngine(max_running=1)
    await start_worker(engine)
    chat = await client()
    running = await chat.ask("go", params={"max_tokens": 1000})
    await chat.until("response.output_text.delta")
    waiting = await chat.ask("stop 1")
    await Conversation.objects.all().adelete()
    await reconciler.reconcile(layer)
    ends = {}
    while len(ends) < 2:
        done = await chat.end()
        ends[done["response_id"]] = done["status"]
    assert ends == {running["response_id"]: "cancelled", waiting["response_id"]: "cancelled"}
    await eventually(lambda: is_empty(layer))
    assert not engine.rows


@pytest.mark.django_db(transaction=True)
def test_deleting_is_tried_again_when_a_worker_wrote_at_the_same_moment(
    web: Client, monkeypatch: Any
) -> None:
    row = new(owner_of(web), "title", text="hello")
    faults = [IntegrityError("a row points here"), OperationalError("deadlock detected")]
    delete = QuerySet.delete

    def delete_at_last(rows: Any) -> Any:
        if faults:
            raise faults.pop()
        return delete(rows)

    monkeypatch.setattr(QuerySet, "delete", delete_at_last)
    assert web.post(f"/conversations/{row.pk}/delete/").status_code == 204
    assert not faults
    assert not Conversation.objects.exists()


async def is_empty(layer: Any) -> bool:
    snapshot = await layer.waiting_list.snapshot()
    return not (snapshot.running or snapshot.waiting)


@pytest.mark.django_db(transaction=True)
def test_all_conversations_are_deleted_after_a_question(web: Client) -> None:
    for number in range(3):
        new(owner_of(web), f"title {number}", text="hello")
    Conversation.objects.create(owner=owner_of(web), source="api")
    new("visitor:else", "kept")
    assert "Delete all conversations?" in web.get("/accounts/conversations/delete/").text
    assert Conversation.objects.count() == 5
    assert web.post("/accounts/conversations/delete/").url == "/accounts/"
    assert "3 conversations were deleted." in web.get("/accounts/").text
    assert Conversation.objects.filter(source="chat").count() == 1
    assert Conversation.objects.count() == 2
