"""An account is deleted with all that is its own, while it is busy, and wherever that stops."""

from __future__ import annotations

from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.apps import apps
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth.models import User
from django.contrib.contenttypes.models import ContentType
from django.test import Client
from django.utils import timezone

from streaming.accounts import deletion
from streaming.identity import keys
from streaming.lifecycle import reconciler
from streaming.models import AccountSession, ApiKey, Conversation, Message, Response
from tests.integration.conftest import eventually, owner_of
from tests.integration.test_conversations import is_empty
from tests.integration.test_guard import PASSWORD, open_socket, signed_in
from tests.support.fake_engine import FakeEngine

pytestmark = pytest.mark.django_db(transaction=True)

__all__ = ["open_socket"]

YES = {"name": "zoe", "password": PASSWORD}


def remains(pk: int, *words: str) -> list[str]:
    """Where the database, sessions in plain text, refers to an account, or has any of the words."""
    found = []
    words = (*words, f"user:{pk}")
    for model in apps.get_models():
        fields = model._meta.concrete_fields
        for row in model._default_manager.all():
            values = {field.name: str(field.value_from_object(row)) for field in fields}
            of_users = [field.name for field in fields if field.related_model is User]
            found += [f"{model._meta.label}.{name}" for name in of_users if values[name] == str(pk)]
            if hasattr(row, "get_decoded"):
                values["decoded"] = str(row.get_decoded())
            for name, value in values.items():
                hits = [word for word in words if word in value]
                found += [f"{model._meta.label}.{name}: {word}" for word in hits]
    return found


def zoe() -> User:
    return User.objects.create_user("zoe", "zoe@here.example", PASSWORD)


async def test_all_of_it_goes_while_it_runs_and_waits(
    start_worker: Any, client: Any, layer: Any, open_socket: Any, monkeypatch: Any
) -> None:
    async def reconcile(layer: Any) -> None:
        pass

    monkeypatch.setattr(reconciler, "reconcile", reconcile)
    engine = FakeEngine(max_running=1, step_seconds=0.05)
    await start_worker(engine)
    await sync_to_async(zoe)()
    visitor = Client()
    await sync_to_async(visitor.get)("/")
    was = await sync_to_async(owner_of)(visitor)
    await sync_to_async(visitor.post)("/accounts/login/", {"username": "zoe", "password": PASSWORD})
    user = await User.objects.aget(username="zoe")
    _, secret = await sync_to_async(keys.create)(user, "laptop")
    other = await sync_to_async(signed_in)("zoe")
    sockets = [
        await open_socket("/ws/chat/", visitor),
        await open_socket("/ws/chat/", other),
        await open_socket("/ws/chat/", key=secret),
    ]
    await sync_to_async(other.get)("/")
    chat = await client(user=user)
    running = await chat.ask("go", params={"max_tokens": 1000})
    await chat.until("response.output_text.delta")
    await chat.ask("stop 1")
    await chat.ask("stop 1", conversation_id=running["conversation_id"])
    await Response.objects.filter(pk=running["response_id"]).aupdate(rating=1)
    bob = await User.objects.acreate_user("bob")
    others = await client(user=bob)
    kept = await others.ask("stop 2")
    words = ("zoe", was.removeprefix("visitor:"), secret[:8])
    assert len(await sync_to_async(remains)(user.pk, *words)) > 12  # it would be found

    answer = await sync_to_async(visitor.post)("/accounts/delete/", YES)
    assert answer.status_code == 200
    assert "The account is deleted" in answer.text
    assert [await socket.ends() for socket in sockets] == [
        ("session_changed", 4409),
        ("session_changed", 4409),
        ("login_required", 4401),
    ]
    assert await sync_to_async(keys.user_of)(secret) is None
    assert (await others.end())["status"] == "completed"
    await eventually(lambda: is_empty(layer))
    assert not engine.rows
    assert await sync_to_async(remains)(user.pk, *words) == []
    assert [str(row.pk) async for row in Response.objects.all()] == [kept["response_id"]]
    for model in (AccountSession, ApiKey):
        assert not await model.objects.aexists()
    page = await sync_to_async(visitor.get)("/accounts/")
    assert "You are not signed in" in page.text
    assert (await sync_to_async(other.get)("/accounts/delete/")).status_code == 302


def busy(user: User) -> None:
    row = Conversation.objects.create(owner=f"user:{user.pk}", user=user, title="mine")
    Message.objects.create(conversation=row, role="user", content="hello")
    keys.create(user, "laptop")


@pytest.mark.parametrize("dies_in", ["forget", "_anonymize_log"])
def test_where_it_died_it_is_begun_again(layer: Any, monkeypatch: Any, dies_in: str) -> None:
    user = zoe()
    busy(user)
    browser, other = signed_in("zoe"), signed_in("zoe")
    browser.raise_request_exception = False
    with monkeypatch.context() as context:
        context.setattr(deletion, dies_in, lambda *args: 1 / 0)
        assert browser.post("/accounts/delete/", YES).status_code == 500
    assert not user.api_keys.filter(revoked_at=None).exists()  # nothing new comes in by them
    assert "You are not signed in" in other.get("/accounts/").text
    assert browser.post("/accounts/delete/", YES).status_code == 200
    assert remains(user.pk, "zoe") == []
    assert not Conversation.objects.exists()


def test_the_only_superuser_stays(layer: Any) -> None:
    User.objects.create_superuser("zoe", password=PASSWORD)
    User.objects.create_superuser("gone", password=PASSWORD, is_active=False)
    browser = signed_in("zoe")
    for answer in (browser.get("/accounts/delete/"), browser.post("/accounts/delete/", YES)):
        assert answer.status_code == 409
        assert "Make another one a superuser first" in answer.text
        assert 'name="password"' not in answer.text
    User.objects.filter(username="gone").update(is_active=True)
    assert browser.post("/accounts/delete/", YES).status_code == 200
    assert list(User.objects.values_list("username", flat=True)) == ["gone"]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"name": "Zoe"}, "This is not your username."),
        ({"name": ""}, "This field is required."),
        ({"password": "wrong"}, "This is not your password."),
        ({"password": ""}, "This field is required."),
    ],
)
def test_it_is_confirmed_by_name_and_password(layer: Any, changed: Any, said: str) -> None:
    zoe()
    browser = signed_in("zoe")
    answer = browser.post("/accounts/delete/", {**YES, **changed})
    assert answer.status_code == 400
    assert said in answer.text
    assert User.objects.exists()


def test_the_password_cannot_be_guessed_there(layer: Any) -> None:
    zoe()
    browser = signed_in("zoe")
    paths = {
        "/accounts/delete/": {**YES, "password": "wrong"},
        "/accounts/email/": {"email": "new@here.example", "password": "wrong"},
        "/accounts/password/": {
            "old_password": "wrong", "new_password1": "a-b-c-d-e-f", "new_password2": "a-b-c-d-e-f",
        },
    }  # fmt: skip
    for path, wrong in [*paths.items(), *paths.items()][:5]:
        assert "Too many failed attempts" not in browser.post(path, wrong).text
    for path, wrong in paths.items():
        right = {**wrong, "password": PASSWORD, "old_password": PASSWORD}
        assert "Too many failed attempts" in browser.post(path, right).text
    assert User.objects.get().email == "zoe@here.example"


def test_an_account_without_a_password_types_its_name(layer: Any) -> None:
    user = User.objects.create_user("zoe")
    browser = Client()
    browser.force_login(user)
    assert 'name="password"' not in browser.get("/accounts/delete/").text
    assert browser.post("/accounts/delete/", {"name": "zoe"}).status_code == 200
    assert not User.objects.exists()


def test_what_an_operator_set_stays_without_the_name(layer: Any) -> None:
    user = zoe()
    rows = apps.get_model("streaming", "Announcement")._default_manager
    rows.create(text="Closed at noon", written_by="zoe", starts_at=timezone.now())
    assert signed_in("zoe").post("/accounts/delete/", YES).status_code == 200
    assert remains(user.pk, "zoe") == []
    assert rows.get().text == "Closed at noon"


def test_operators_log_keeps_no_name(layer: Any) -> None:
    user = zoe()
    boss = User.objects.create_superuser("boss")
    key, _ = keys.create(user, "zoe's laptop")
    for row in (user, key):
        LogEntry.objects.create(
            user=boss,
            content_type=ContentType.objects.get_for_model(type(row)),
            object_id=str(row.pk),
            object_repr=str(row),
            action_flag=CHANGE,
        )
    assert signed_in("zoe").post("/accounts/delete/", YES).status_code == 200
    assert remains(user.pk, "zoe") == []
    assert LogEntry.objects.count() == 2
